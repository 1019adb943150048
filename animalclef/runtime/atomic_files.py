"""Write files that are whole or absent."""

from __future__ import annotations

import csv
import errno
import io
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from animalclef.errors import OutputError
from animalclef.runtime.bucket_address import refuse_address
from animalclef.runtime.output_guard import refuse_input

__all__ = [
    "append_bytes",
    "check_writable",
    "csv_text",
    "make_folder",
    "output_error",
    "remove_parts",
    "replace_with",
    "write_bytes",
    "write_csv",
    "write_text",
    "write_with",
]

_NAMED = 40  # characters of a part's name that are of its file's: a name has 255 bytes at most
_HOST = socket.gethostname()[:20]  # machines that share a disk have equal numbers of processes


def make_folder(path: Path) -> Path:
    """Create a folder and its parents.

    Raises:
        OutputError: it cannot be created, or lies in a bucket.
    """
    refuse_address(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot create this folder ({error.strerror}). Choose another place.") from error
    return path


def write_with(path: Path, write: Callable[[Path], object]) -> None:
    """Fill a temporary file beside `path` with `write`, flush it to disk and rename it into place.

    Raises:
        OutputError: the disk is full, the place cannot be written to, or `path` is a file that this command reads.
    """
    refuse_input(path)
    replace_with(path, write)


def replace_with(path: Path, write: Callable[[Path], object]) -> None:
    """Do what `write_with` does, also for a file that this command reads: for copies of what lies elsewhere.

    Raises:
        OutputError: the disk is full, or the place cannot be written to.
    """
    path = Path(os.path.realpath(path)) if path.is_symlink() else path  # what a link leads to is replaced; it stays
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name[:_NAMED]}.{_HOST}.{os.getpid()}.{threading.get_native_id()}.part")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise output_error(path, error) from error
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` whole."""
    write_with(path, lambda temporary: temporary.write_bytes(content))


def write_text(path: Path, content: str) -> None:
    """Write `content` whole, as UTF-8 with the line ends it has; of a file name that is not UTF-8, as escapes."""
    write_bytes(path, content.encode("utf-8", errors="backslashreplace"))


def append_bytes(path: Path, content: bytes, at: int | None = None) -> None:
    """Write `content` behind the first `at` bytes of a file (all of them), and wait until it is on the disk.

    With `at` 0 the file may be absent.

    Raises:
        OutputError: it cannot be written; the file then ends there.
    """
    start = None
    try:
        with path.open("xb" if at == 0 and not path.exists() else "r+b") as file:
            start = file.seek(0, os.SEEK_END) if at is None else file.seek(at)
            file.truncate(start)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if start is not None:
            os.truncate(path, start)  # once it is closed: closing writes what is left in the buffer
        raise output_error(path, error) from error


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a comma-separated table whole."""
    write_text(path, csv_text(header, rows))


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a comma-separated table as text. Cells with a carriage return are quoted, so that they come back whole."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    quoting = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for cells in (header, *rows):
        (quoting if any("\r" in cell for cell in cells if isinstance(cell, str)) else writer).writerow(cells)
    return text.getvalue()


def check_writable(folder: Path) -> None:
    """Check before the work that files can be written into a folder.

    Raises:
        OutputError: they cannot.
    """
    make_folder(folder)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise output_error(folder, error) from error


def output_error(path: Path, error: OSError) -> OutputError:
    """Return the error for a `path` that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        cause, advice = "the disk is full", "Free some space and run the same command again; finished work is kept."
        return OutputError(f"{path}: {cause}. {advice}")
    return OutputError(f"{path}: cannot be written ({error.strerror}). Choose another place or fix the permissions.")


def remove_parts(folder: Path) -> None:
    """Remove what killed processes left half written under a folder that nobody else is working in."""
    for path in folder.rglob(".*.part"):
        path.unlink(missing_ok=True)
