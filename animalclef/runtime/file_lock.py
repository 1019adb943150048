"""Lock one file against other processes, by a small file beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from animalclef.errors import OutputError
from animalclef.runtime.atomic_files import make_folder, output_error

__all__ = ["locked"]

_SECONDS = 30.0


@contextmanager
def locked(path: Path, option: str, seconds: float = _SECONDS) -> Iterator[None]:
    """Hold the lock of a file that several processes write to; `option` is the one that names another file.

    Raises:
        OutputError: another process has held it for 30 seconds, or files cannot be locked there.
    """
    make_folder(path.parent)
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=seconds)
    try:
        lock.acquire()
    except Timeout as error:
        raise OutputError(f"{path}: another process has locked it. Run the same command again later.") from error
    except NotImplementedError as error:
        raise OutputError(f"{path}: files cannot be locked in this folder. Give {option} another one.") from error
    except OSError as error:
        raise output_error(path, error) from error
    try:
        yield
    finally:
        lock.release()
