"""Store arrays per image on disk, in files of a few dozen entries with a checksum for each.

One folder holds one kind of entry (one extractor with one set of settings). A shard is written under a temporary name
and renamed, so an interrupted run loses at most one shard, and two writers never write the same file.
"""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from animalclef.errors import OutputError
from animalclef.runtime.atomic_files import write_bytes

__all__ = ["Entry", "ShardStore"]

logger = logging.getLogger(__name__)

Entry = Mapping[str, NDArray[np.generic]]

_MOST_OPEN = 1024  # files of a store at once: Linux maps 65,530 for a process
_MOST_INDEXED = 16_384  # files whose entries are remembered

# The errors that damaged bytes can cause.
_DAMAGE = (SafetensorError, OSError, KeyError, ValueError, TypeError, AttributeError)


@dataclass(frozen=True)
class _Place:
    """The place of an entry on disk; `names` are its arrays, sorted."""

    path: Path
    names: tuple[str, ...]
    checksum: int


class ShardStore:
    """Entries by key; a damaged entry counts as missing, so it is made again.

    `made_by` (settings and weights) is written into every file; files with another `made_by` are not used.
    """

    def __init__(self, folder: Path, made_by: str = "") -> None:
        self.folder, self.made_by = folder, made_by
        self._places: dict[str, tuple[_Place, ...]] = {}
        self._open: dict[Path, safe_open] = {}
        self._files: set[Path] = set()  # that this process put or included
        for path in sorted(folder.glob("*.safetensors")):
            self._index(path)

    def __reduce__(self) -> tuple[type[ShardStore], tuple[Path, str]]:
        """Open the folder anew in another process."""
        return ShardStore, (self.folder.absolute(), self.made_by)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Return the keys without an entry, each once, in their order."""
        return [key for key in dict.fromkeys(keys) if key not in self._places]

    def put(self, entries: Mapping[str, Entry]) -> Path | None:
        """Add entries as one file, and return it; `None` where there are none.

        Raises:
            OutputError: the file cannot be written.
        """
        if not entries:
            return None
        named = {f"{key}/{name}": array for key, entry in entries.items() for name, array in entry.items()}
        arrays = {name: np.ascontiguousarray(array) for name, array in named.items()}
        checksums = {key: _checksum(entry) for key, entry in entries.items()}
        digest = hashlib.sha256("".join(sorted(entries)).encode()).hexdigest()[:16]
        path = self.folder / f"{digest}-{len(entries)}.safetensors"
        made_by = {"made_by": self.made_by} if self.made_by else {}
        write_bytes(path, save(arrays, metadata={"crc32": json.dumps(checksums), **made_by}))
        self._renew(path)
        return path

    def include(self, path: Path | None) -> None:
        """Add a file that another process put into the folder.

        Raises:
            OutputError: it is not there, so that process has another disk.
        """
        if path is None or (here := self.folder / path.name) in self._files:
            return
        if not path.exists():
            raise OutputError(
                f"{path}: another node wrote this file, but it is not here. The run folder must lie on a disk that "
                "every node sees."
            )
        self._renew(here)

    def get(self, key: str) -> dict[str, NDArray[np.generic]]:
        """Return the arrays of one entry.

        Raises:
            KeyError: there is no such entry, or it is damaged (it is then removed from the index).
        """
        for place in reversed(self._places[key]):
            entry = self._read(key, place)
            if entry is not None:
                return entry
        logger.warning("%s: the entry %s is damaged and will be made again.", self._places[key][-1].path, key)
        del self._places[key]
        raise KeyError(key)

    def verify(self, keys: Iterable[str]) -> list[str]:
        """Read every entry once; return the keys that are missing or damaged."""
        bad = []
        for key in dict.fromkeys(keys):
            try:
                self.get(key)
            except KeyError:
                bad.append(key)
        return bad

    def _read(self, key: str, place: _Place) -> dict[str, NDArray[np.generic]] | None:
        """Read an entry at one of its places; return `None` if it is damaged."""
        try:
            file = self._file(place.path)
            entry = {name: file.get_tensor(f"{key}/{name}") for name in place.names}
        except _DAMAGE:
            return None
        return entry if _checksum(entry) == place.checksum else None

    def _file(self, path: Path) -> safe_open:
        file = self._open.get(path)
        if file is None:
            file = self._open[path] = safe_open(path, framework="np")
            for oldest in list(self._open)[:-_MOST_OPEN]:
                self._open.pop(oldest, None)
        return file

    def _renew(self, path: Path) -> None:
        """Index a file that was written just now, perhaps in place of one that is open."""
        self._open.pop(path, None)
        self._index(path)
        self._files.add(path)

    def _index(self, path: Path) -> None:
        """Index a file; an entry that was damaged and made again is in several files."""
        try:
            status = path.stat()
            made_by, found = _entries_of(path, status.st_mtime_ns, status.st_size)
        except _DAMAGE:
            logger.warning("%s: not a complete shard; its entries will be made again.", path)
            return
        if made_by != self.made_by:
            logger.warning("%s: made by other settings or weights; it is not used.", path)
            return
        again = {key: (*self._places[key], *found[key]) for key in found.keys() & self._places.keys()}
        self._places.update(found)
        self._places.update(again)


@lru_cache(maxsize=_MOST_INDEXED)
def _entries_of(path: Path, written_ns: int, size: int) -> tuple[str, Mapping[str, tuple[_Place, ...]]]:
    """Return what made a file, and the place of each of its entries; files seen before are not opened again.

    A catalogue opens its stores for every photograph that is asked about.
    """
    names: dict[str, list[str]] = defaultdict(list)
    with safe_open(path, framework="np") as file:
        metadata = file.metadata() or {}
        checksums = dict(json.loads(metadata["crc32"]))
        for name in file.keys():  # noqa: SIM118 - safe_open is no mapping
            key, _, array = name.partition("/")
            names[key].append(array)
    places = {key: (_Place(path, tuple(sorted(names[key])), checksum),) for key, checksum in checksums.items()}
    return metadata.get("made_by", ""), places


def _checksum(entry: Entry) -> int:
    total = 0
    for name in sorted(entry):
        array = np.ascontiguousarray(entry[name])
        total = zlib.crc32(f"{name}{array.dtype.str}{array.shape}".encode(), total)
        total = zlib.crc32(array.tobytes(), total)
    return total
