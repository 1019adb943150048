"""Read photographs that lie in a bucket (s3:// or gs://) through a bounded folder here.

The folder of a bucket's copy holds a marker that says where its files come from: any process that misses a file of it
gets it from there. A copy has the time of its original, so that a changed original is read anew.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple

from animalclef.errors import AnimalClefError, ConfigError, DataError, OutputError
from animalclef.runtime.atomic_files import replace_with
from animalclef.runtime.bucket import bucket_of

__all__ = [
    "Listing",
    "address_of",
    "copies_folder",
    "fetch",
    "is_table",
    "listed_files",
    "marker_text",
    "open_copies",
    "place_copies",
    "place_marker",
    "store_failure",
    "touch",
    "where_to_look",
    "write_copy",
]

MARKER = ".animalclef-remote.json"
_TABLES = frozenset({".csv", ".tsv", ".xlsx", ".json"})
_PART, _DAY = ".part", 86_400.0  # seconds
_SCANNED = 0.05  # of the bound: how much may come before sizes are summed again
Listing = Mapping[str, tuple[int, float]]
"""Size and time of every file in a folder of a bucket, by its path there."""

_come: dict[Path, float] = {}  # bytes since then, by folder of copies
_SILENT_S = 60.0  # a store that gave no answer is not asked again for so long: each question may take a minute
_failed: dict[str, tuple[float, AnimalClefError]] = {}  # when, and what was said, by address; until it answers again
_lock = threading.Lock()


def copies_folder(url: str, kind: str) -> Path:
    """Return where copies of a bucket's files are kept on this machine."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest, name = hashlib.sha256(url.encode()).hexdigest()[:12], PurePosixPath(url).name
    return home / "animalclef" / kind / digest / (name if name not in ("", "..") else "bucket")


def open_copies(url: str, gigabytes: float, listed: Listing | None = None) -> tuple[Path, Listing]:
    """Return the folder that stands for a bucket's, with its tables in it, and the list of all files in the bucket.

    Photographs come when they are read; of more than `gigabytes` those that were not used for longest go. Copies whose
    original changed go at once. The bucket is listed unless its files are given as `listed`.

    Raises:
        ConfigError: the library for such a store is not installed.
        DataError: no such bucket or folder, no credentials, or no answer.
    """
    bucket = bucket_of(url.rstrip("/"))
    listed = bucket.listed() if listed is None else listed
    _failed.pop(bucket.url, None)
    folder = copies_folder(bucket.url, "photographs")
    place_marker(folder, json.dumps({"url": bucket.url, "gigabytes": gigabytes}))
    for copy, status in _copies(folder):
        if listed.get(copy.relative_to(folder).as_posix()) != (status.st_size, status.st_mtime):
            copy.unlink(missing_ok=True)
    with _lock:
        _trim(folder, gigabytes * 1e9)
    for part in folder.rglob(f".*{_PART}"):  # of a process that was killed
        with suppress(OSError):
            if time.time() - part.stat().st_ctime > _DAY:
                part.unlink()
    tables = {path for path in listed if re.fullmatch(r"[^./][^/]*", path) and is_table(path)}
    for table in filter(is_table, folder.glob("[!.]*")):
        status = table.stat()
        if listed.get(table.name) == (status.st_size, status.st_mtime):
            tables.remove(table.name)
        else:
            table.unlink()
    for path in sorted(tables):
        write_copy(folder / path, *bucket.read(path))
    return folder, listed


def place_copies(url: str, gigabytes: float) -> Path:
    """Return the folder that stands for a bucket's, made where it is not there; the bucket is not asked.

    Where nothing can be written here, no photograph comes.
    """
    folder = copies_folder(url, "photographs").resolve()
    if marker_text(folder) is None:
        with suppress(OSError, OutputError):
            place_marker(folder, json.dumps({"url": url, "gigabytes": gigabytes}))
    return folder


def place_marker(folder: Path, text: str) -> None:
    """Make the folder of copies on this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    if marker_text(folder) != text:
        write_copy(folder / MARKER, text.encode(), 0.0)
    _remote_of.cache_clear()


def marker_text(folder: Path) -> str | None:
    """Return what the marker of a folder of copies says; `None` for any other folder."""
    try:
        return (folder / MARKER).read_text(encoding="utf-8")
    except OSError:
        return None


def address_of(folder: Path) -> str:
    """Return the address of the bucket's folder that a folder of copies stands for; of any other folder its path."""
    text = marker_text(folder)
    return str(folder) if text is None else str(json.loads(text)["url"])


def listed_files(folder: Path) -> Listing | None:
    """Return all files in the bucket that a folder holds copies of; `None` for any other folder.

    Raises:
        ConfigError: the library for such a store is not installed.
        DataError: the bucket gives no answer.
    """
    return None if marker_text(folder) is None else bucket_of(address_of(folder)).listed()


def where_to_look(path: Path) -> str:
    """Say what to do about a photograph of a finished run that is missing: give its folder, or get the copies again."""
    folder = path.resolve().parent
    homes = copies_folder("s3://bucket", "photographs").resolve().parents[1]
    if not folder.is_relative_to(homes):
        return "If they have moved, give their folder with --data (in Python: load_run(run, data=...))."
    remote = _remote_of(folder)
    if remote is not None:
        return f"They are looked for in {remote.url}."
    return (
        "These copies of a bucket's photographs were removed. To have them copied again, run `animalclef inspect "
        "--data s3://...` with the address that predict was given, or give that address here with --data (in Python: "
        "load_run(run, data=...))."
    )


def fetch(path: Path) -> bytes | None:
    """Get a file that is missing in a folder of copies; `None` where the path lies in no such folder.

    Raises:
        FileNotFoundError: it is not in the bucket either.
        ConfigError: the library for such a store is not installed.
        DataError: the bucket gives no answer, or gave none a moment ago; or the copies were removed since.
    """
    remote = _remote_of(path.parent)
    if remote is None:
        return None
    if not (remote.root / MARKER).is_file():
        raise DataError(f"{remote.root}: the copies of {remote.url} were removed. Start again.")
    below = path.relative_to(remote.root)
    if ".." in below.parts:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    content, written = _read(remote.url, below.as_posix())
    write_copy(path, content, written)
    _bound(remote.root, len(content), remote.gigabytes * 1e9)
    return content


def _read(url: str, path: str) -> tuple[bytes, float]:
    """Return the bytes and the time of a file in a bucket; a store that just gave no answer is not asked."""
    when, error = _failed.get(url, (-math.inf, None))
    if error is not None and time.monotonic() - when < _SILENT_S:
        raise type(error)(str(error))
    try:
        found = bucket_of(url).read(path)
    except (ConfigError, DataError) as raised:
        _failed[url] = time.monotonic(), raised
        raise
    _failed.pop(url, None)
    return found


def store_failure(paths: Iterable[Path]) -> str:
    """Return what was said when the bucket of one of these photographs gave no answer last; "" where all answered."""
    remotes = {_remote_of(path.parent): None for path in paths}
    said = (_failed.get(one.url) for one in remotes if one is not None)
    return next((str(one[1]) for one in said if one is not None), "")


def touch(path: Path) -> None:
    """Note that a copy was used."""
    if _remote_of(path.parent) is not None:
        with suppress(OSError):
            os.utime(path, (time.time(), path.stat().st_mtime))


class _Remote(NamedTuple):
    """A folder of copies, and what its marker says."""

    root: Path
    url: str
    gigabytes: float


@cache
def _remote_of(folder: Path) -> _Remote | None:
    for root in (folder, *folder.parents):
        text = marker_text(root)
        if text is not None:
            marker = json.loads(text)
            return _Remote(root, marker["url"], marker["gigabytes"])
    return None


def is_table(path: PurePath | str) -> bool:
    """Return whether a file in a bucket may be a table, by its name."""
    name = PurePath(path).name.lower()
    return name == "metadata.txt" or PurePath(name).suffix in _TABLES


def _copies(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the copies below a folder; its tables, and what is still being written, are no part of the bound."""
    for path in root.rglob("*"):
        if path.suffix == _PART:
            continue
        with suppress(OSError):
            status = path.stat()
            if stat.S_ISREG(status.st_mode) and path.name != MARKER and not (path.parent == root and is_table(path)):
                yield path, status


def _bound(root: Path, size: int, most: float) -> None:
    """Trim the copies to `most` bytes from time to time, after one of `size` bytes came."""
    with _lock:
        _come[root] = _come.get(root, most) + size  # the first file of a process sums as well
        if _come[root] < _SCANNED * most:
            return
        _come[root] = 0.0
        _trim(root, most)


def _trim(root: Path, most: float) -> None:
    """Remove the copies that were not used for longest where all of them are larger than `most` bytes."""
    copies = sorted(_copies(root), key=lambda one: one[1].st_atime)
    left = sum(status.st_size for _, status in copies)
    for path, status in copies[:-1]:
        if left <= most * (1 - _SCANNED):
            break
        path.unlink(missing_ok=True)
        left -= status.st_size


def write_copy(path: Path, content: bytes, written: float) -> None:
    """Write a copy whole, with the time of its original.

    Raises:
        OutputError: the disk is full, or the place cannot be written to.
    """

    def fill(part: Path) -> None:
        part.write_bytes(content)
        os.utime(part, (time.time(), written))

    replace_with(path, fill)
