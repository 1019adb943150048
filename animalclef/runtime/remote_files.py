"""Read photographs that lie in a bucket (s3://, gs:// and what else fsspec knows) through a bounded folder here.

The folder of a bucket's copy holds a marker that says where its files come from: any process that misses a file of it
gets it from there. A copy has the time of its original, so that a changed original is read anew.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from animalclef.errors import ConfigError, DataError
from animalclef.runtime.atomic_files import replace_with

__all__ = [
    "Bucket",
    "bucket_of",
    "copies_folder",
    "fetch",
    "marker_text",
    "open_copies",
    "place_marker",
    "remote_url",
    "touch",
    "write_copy",
]

MARKER = ".animalclef-remote.json"
_TABLES = frozenset({".csv", ".xlsx", ".json"})
_PART, _DAY = ".part", 86_400.0  # seconds
_SCANNED = 0.05  # of the bound: how much may come before sizes are summed again
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_come: dict[Path, float] = {}  # bytes since then, by folder of copies
_lock = threading.Lock()


class Bucket:
    """A folder of a bucket."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        options = {"config_kwargs": {"connect_timeout": 10, "retries": {"max_attempts": 3}}} if url[:2] == "s3" else {}
        with self.told():
            from fsspec.core import url_to_fs

            self.system, self.base = url_to_fs(self.url, use_listings_cache=False, **options)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Turn what a store's library raises into one sentence.

        Raises:
            ConfigError: the library is not installed.
            DataError: no such bucket or folder, no credentials, or no answer.
        """
        try:
            yield
        except ImportError as error:
            extra = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}.get(self.url.partition("://")[0])
            advice = f"Run pip install 'animalclef[{extra}]'." if extra else f"It needs another package: {error}."
            raise ConfigError(f"{self.url}: this kind of store cannot be read here. {advice}") from error
        except (DataError, ConfigError):
            raise
        except FileNotFoundError as error:
            raise DataError(f"{self.url}: no such bucket or folder, or it is empty.") from error
        except ValueError as error:
            raise ConfigError(f"{self.url}: no address of a store ({_first_line(error)}).") from error
        except Exception as error:
            name = type(error).__name__
            if isinstance(error, OSError) and error.errno in _FULL:  # the disk here
                raise
            if isinstance(error, PermissionError) or "Credential" in name or "Auth" in name:
                raise DataError(
                    f"{self.url}: access is refused, or there are no credentials. Set AWS_ACCESS_KEY_ID and "
                    "AWS_SECRET_ACCESS_KEY, or a profile (for gs:// GOOGLE_APPLICATION_CREDENTIALS)."
                ) from error
            raise DataError(
                f"{self.url}: the store gives no answer ({name}: {_first_line(error)}). Check the network, and start "
                "again; what is here already is kept."
            ) from error

    def listed(self) -> dict[str, tuple[int, float]]:
        """Return the size and the time of every file below the folder, by its path there.

        Raises:
            DataError: there is none.
        """
        with self.told():
            found = self.system.find(self.base, detail=True)
            if not found:
                raise FileNotFoundError(self.base)
        base = self.base.rstrip("/") + "/"
        below = {path.removeprefix(base): (int(one["size"]), _time(one)) for path, one in sorted(found.items())}
        return {path: one for path, one in below.items() if not path.startswith("/") and ".." not in path.split("/")}

    def read(self, path: str) -> tuple[bytes, float]:
        """Return the bytes and the time of one file.

        Raises:
            FileNotFoundError: it is not there.
        """
        whole = f"{self.base}/{path}"
        with self.told():
            try:
                return self.system.cat_file(whole), _time(self.system.info(whole))
            except FileNotFoundError:
                pass
        raise FileNotFoundError(f"{self.url}/{path}")

    def get(self, path: str, file: Path) -> None:
        """Write one file of the folder to this machine, in parts; whatever its size."""
        with self.told():
            self.system.get_file(f"{self.base}/{path}", str(file))

    def put(self, path: str, file: Path) -> tuple[int, float]:
        """Write one file whole, whatever its size; return its size and its time there."""
        with self.told():
            self.system.put_file(str(file), f"{self.base}/{path}")
            info = self.system.info(f"{self.base}/{path}")
            return int(info["size"]), _time(info)

    def exists(self) -> bool:
        """Return whether the bucket itself is there, with or without the folder."""
        with self.told():
            return bool(self.system.exists(self.base.split("/")[0]))

    def remove(self, path: str) -> None:
        """Remove one file."""
        with self.told(), suppress(FileNotFoundError):
            self.system.rm_file(f"{self.base}/{path}")


def remote_url(path: Path | str) -> str | None:
    """Return the address of a store that a path is; `Path` makes one slash of two.

    >>> remote_url(Path("s3://bucket/folder")), remote_url("data/photos")
    ('s3://bucket/folder', None)
    """
    found = re.match(r"([a-z][a-z0-9]+):/+(.+)", str(path))
    return f"{found[1]}://{found[2]}" if found else None


@lru_cache(maxsize=16)
def bucket_of(url: str) -> Bucket:
    """Return the folder of a bucket; its connection is kept."""
    return Bucket(url)


def copies_folder(url: str, kind: str) -> Path:
    """Return where copies of a bucket's files are kept on this machine."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(url.encode()).hexdigest()[:12]
    return home / "animalclef" / kind / digest / (PurePosixPath(url).name or "bucket")


def open_copies(url: str, gigabytes: float) -> tuple[Path, list[str]]:
    """Return the folder that stands for a bucket's, with its tables in it, and the paths of all files in the bucket.

    Photographs come when they are read; of more than `gigabytes` those that were not used for longest go. Copies whose
    original changed go at once.

    Raises:
        ConfigError: the library for such a store is not installed.
        DataError: no such bucket or folder, no credentials, or no answer.
    """
    bucket = bucket_of(url.rstrip("/"))
    listed = bucket.listed()
    folder = copies_folder(bucket.url, "photographs")
    place_marker(folder, json.dumps({"url": bucket.url, "gigabytes": gigabytes}))
    for copy, status in _copies(folder):
        if listed.get(copy.relative_to(folder).as_posix()) != (status.st_size, status.st_mtime):
            copy.unlink(missing_ok=True)
    for part in folder.rglob(f".*{_PART}"):  # of a process that was killed
        with suppress(OSError):
            if time.time() - part.stat().st_ctime > _DAY:
                part.unlink()
    for table in folder.glob("[!.]*"):
        if table.suffix.lower() in _TABLES and table.name not in listed:
            table.unlink()
    for path in listed:
        if "/" not in path and PurePosixPath(path).suffix.lower() in _TABLES:
            write_copy(folder / path, *bucket.read(path))
    return folder, list(listed)


def place_marker(folder: Path, text: str) -> None:
    """Make the folder of copies on this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    if marker_text(folder) != text:
        write_copy(folder / MARKER, text.encode(), 0.0)
    _root_of.cache_clear()


def marker_text(folder: Path) -> str | None:
    """Return what the marker of a folder of copies says; `None` for any other folder."""
    try:
        return (folder / MARKER).read_text(encoding="utf-8")
    except OSError:
        return None


def fetch(path: Path) -> bytes | None:
    """Get a file that is missing in a folder of copies; `None` where the path lies in no such folder.

    Raises:
        FileNotFoundError: it is not in the bucket either.
        DataError: the bucket gives no answer.
    """
    root = _root_of(path.parent)
    if root is None:
        return None
    below, marker = path.relative_to(root), json.loads(marker_text(root) or "{}")
    if ".." in below.parts:
        raise FileNotFoundError(str(path))
    content, written = bucket_of(marker["url"]).read(below.as_posix())
    write_copy(path, content, written)
    _bound(root, len(content), marker["gigabytes"] * 1e9)
    return content


def touch(path: Path) -> None:
    """Note that a copy was used."""
    if _root_of(path.parent) is not None:
        with suppress(OSError):
            os.utime(path, (time.time(), path.stat().st_mtime))


@cache
def _root_of(folder: Path) -> Path | None:
    return next((one for one in (folder, *folder.parents) if (one / MARKER).is_file()), None)


def _copies(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the copies below a folder; its tables, and what is still being written, are no part of the bound."""
    for path in root.rglob("*"):
        if path.suffix == _PART:
            continue
        with suppress(OSError):
            status = path.stat()
            if path.is_file() and path.name != MARKER and (path.parent != root or path.suffix.lower() not in _TABLES):
                yield path, status


def _bound(root: Path, size: int, most: float) -> None:
    """Remove the copies that were not used for longest where all of them are larger than `most` bytes."""
    with _lock:
        _come[root] = _come.get(root, most) + size  # the first file of a process sums as well
        if _come[root] < _SCANNED * most:
            return
        _come[root] = 0.0
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


def _time(info: dict[str, Any]) -> float:
    """Return when a file was written, in whole seconds; 0 where the store does not say."""
    written = info.get("LastModified") or info.get("updated") or info.get("mtime") or 0
    if isinstance(written, str):
        written = datetime.fromisoformat(written)
    return float(int(written.timestamp() if isinstance(written, datetime) else written))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:200]
