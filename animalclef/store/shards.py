"""Arrays per image on disk: whole files of a few dozen entries, checked entry by entry when read.

One folder holds one kind of entry (one extractor with one set of settings). A shard is written beside and renamed into
place, so a killed run loses at most the shard it was writing, and two writers never touch the same file.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from animalclef.store.files import write_with

__all__ = ["Entry", "ShardStore"]

logger = logging.getLogger(__name__)

Entry = Mapping[str, NDArray[np.generic]]


class ShardStore:
    """Entries by content key; a damaged entry counts as absent, so it is made again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shard_of: dict[str, Path] = {}
        self._names: dict[str, list[str]] = {}
        self._checksums: dict[str, int] = {}
        self._open: dict[Path, safe_open] = {}
        for path in sorted(folder.glob("*.safetensors")):
            self._index(path)

    def __contains__(self, key: str) -> bool:
        return key in self._shard_of

    def __len__(self) -> int:
        return len(self._shard_of)

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Keys without an entry, each once, in their order."""
        return [key for key in dict.fromkeys(keys) if key not in self._shard_of]

    def put(self, entries: Mapping[str, Entry]) -> None:
        """Add entries as one whole file.

        Raises:
            OutputError: the file cannot be written.
        """
        if not entries:
            return
        named = {f"{key}/{name}": array for key, entry in entries.items() for name, array in entry.items()}
        arrays = {name: np.ascontiguousarray(array) for name, array in named.items()}
        checksums = {key: _checksum(entry) for key, entry in entries.items()}
        path = self.folder / f"{min(entries)}-{len(entries)}.safetensors"
        write_with(path, lambda part: save_file(arrays, part, metadata={"crc32": json.dumps(checksums)}))
        self._open.pop(path, None)
        self._index(path)

    def get(self, key: str) -> dict[str, NDArray[np.generic]]:
        """The arrays of one entry.

        Raises:
            KeyError: there is no such entry, or its bytes are damaged (it is then forgotten).
        """
        path = self._shard_of[key]
        try:
            file = self._file(path)
            entry = {name: file.get_tensor(f"{key}/{name}") for name in self._names[key]}
        except (SafetensorError, OSError) as error:
            self._forget(key)
            raise KeyError(key) from error
        if _checksum(entry) != self._checksums[key]:
            self._forget(key)
            raise KeyError(key)
        return entry

    def verify(self, keys: Iterable[str]) -> list[str]:
        """Read every entry once; the keys that are absent or damaged."""
        bad = []
        for key in dict.fromkeys(keys):
            try:
                self.get(key)
            except KeyError:
                bad.append(key)
        return bad

    def _file(self, path: Path) -> safe_open:
        if path not in self._open:
            self._open[path] = safe_open(path, framework="np")
        return self._open[path]

    def _forget(self, key: str) -> None:
        logger.warning("%s: the entry %s is damaged and will be made again.", self._shard_of[key], key)
        del self._shard_of[key]

    def _index(self, path: Path) -> None:
        try:
            file = self._file(path)
            checksums = json.loads((file.metadata() or {})["crc32"])
        except (SafetensorError, OSError, KeyError, ValueError):
            logger.warning("%s: not a whole shard; its entries will be made again.", path)
            self._open.pop(path, None)
            return
        names: dict[str, list[str]] = {key: [] for key in checksums}
        for name in file.keys():  # noqa: SIM118 - safe_open is no mapping
            key, _, array = name.partition("/")
            names[key].append(array)
        self._names.update({key: sorted(arrays) for key, arrays in names.items()})
        self._checksums.update(checksums)
        self._shard_of.update(dict.fromkeys(checksums, path))


def _checksum(entry: Entry) -> int:
    total = 0
    for name in sorted(entry):
        array = np.ascontiguousarray(entry[name])
        total = zlib.crc32(f"{name}{array.dtype.str}{array.shape}".encode(), total)
        total = zlib.crc32(array.tobytes(), total)
    return total
