"""Lock a file or a folder against other processes, by a small file beside it or in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from animalclef.errors import OutputError, RunInUseError
from animalclef.runtime.atomic_files import make_folder, output_error

__all__ = ["locked", "locked_folder"]

_SECONDS = 30.0


@contextmanager
def locked(path: Path, option: str, seconds: float = _SECONDS) -> Iterator[None]:
    """Hold the lock of a file that several processes write to; `option` is the one that names another file.

    Raises:
        OutputError: another process has held it for `seconds`, or files cannot be locked there.
    """
    make_folder(path.parent)
    try:
        held = FileLock(path.with_name(f".{path.name}.lock"), timeout=seconds).acquire()
    except Timeout as error:
        raise OutputError(f"{path}: another process has locked it. Run the same command again later.") from error
    except NotImplementedError as error:
        raise OutputError(f"{path}: files cannot be locked in this folder. Give {option} another one.") from error
    except OSError as error:
        raise output_error(path, error) from error
    with held:
        yield


@contextmanager
def locked_folder(folder: Path, busy: str, option: str) -> Iterator[None]:
    """Hold the lock of a folder that one process works in; `busy` says what to do while another one does.

    Raises:
        RunInUseError: another process holds it.
        OutputError: files cannot be locked there; `option` names another folder.
    """
    try:
        held = FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout as error:
        raise RunInUseError(f"{folder}: {busy}") from error
    except (OSError, NotImplementedError) as error:
        raise OutputError(
            f"{folder}: files cannot be locked in this folder ({error}). Give {option} a folder on a local disk."
        ) from error
    with held:
        yield
