"""Read files of the user: regular ones only, so that a pipe or a device never blocks."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

from animalclef.runtime.remote_files import fetch, touch

__all__ = ["is_gone", "read_regular"]

_MOST_BYTES = 2 << 30


def read_regular(path: Path, most: int = _MOST_BYTES) -> bytes:
    """Return the bytes of a regular file; one that is missing in a folder of copies comes from its bucket.

    Raises:
        OSError: it cannot be read, is a pipe, a socket, a device or a folder, or is larger than `most` bytes.
        DataError: its bucket gives no answer.
    """
    try:
        content = _read(path, most)
    except FileNotFoundError:
        fetched = fetch(path)
        if fetched is None:
            raise
        return fetched
    touch(path)
    return content


def is_gone(path: Path) -> bool:
    """Return whether there is no such file, neither here nor in the bucket that its folder is a copy of."""
    try:
        return not path.exists() and fetch(path) is None
    except FileNotFoundError:
        return True


def _read(path: Path, most: int) -> bytes:
    seen = path.stat()  # before opening: opening a pipe waits for a writer
    if not stat.S_ISREG(seen.st_mode):
        kind = errno.EISDIR if stat.S_ISDIR(seen.st_mode) else errno.EINVAL
        raise OSError(kind, "not a regular file", str(path))
    if seen.st_size > most:
        raise OSError(errno.EFBIG, f"larger than {most / 1e9:.0f} GB", str(path))
    return path.read_bytes()
