"""A run folder in a bucket: a copy here is worked in, got before the run and put back after each of its stages."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import NamedTuple

from animalclef.errors import DataError, RunError, StaleArtefactError
from animalclef.runtime.atomic_files import write_text, write_with
from animalclef.runtime.bucket import bucket_of
from animalclef.runtime.bucket_address import remote_url
from animalclef.runtime.output_guard import RUN_MARKER
from animalclef.runtime.remote_files import copies_folder
from animalclef.runtime.threads import worker_threads
from animalclef.store.run_folder import RunFolder

__all__ = ["RemoteRun", "is_remote_run", "local_run"]

_AT_ONCE = 8  # files on their way
_NEVER = -1.0  # the time here of a file that was not got


class _Alike(NamedTuple):
    """A file at the last sync; each side is compared with its own clock only."""

    size: int
    here: float
    there: float


class RemoteRun:
    """Keeps a run folder in a bucket and its copy on this machine alike.

    A JSON file beside the copy stores what was alike at the last sync. A file that was changed or removed on one side
    since is changed or removed on the other. Where both changed it, what is here is kept; one that was removed on one
    side and changed on the other comes back. A bucket has no locks: one command at a time may work in it.
    """

    def __init__(self, url: str) -> None:
        self.bucket = bucket_of(url.rstrip("/"))
        self.folder = copies_folder(self.bucket.url, "runs")
        self._base = self.folder.with_name(f"{self.folder.name}.synced.json")
        self._alike: dict[str, _Alike] = {}

    def pull(self, *, overwrite: bool = False) -> None:
        """Get what was changed in the bucket, and remove here what was removed there.

        With `overwrite` nothing is got: the next push removes what the run does not write again.

        Raises:
            StaleArtefactError: the folder of the bucket holds something that is not a run; nothing was got.
            DataError: no such bucket, no credentials, or no answer.
        """
        there = self._listed()
        if there and RUN_MARKER not in there:
            raise StaleArtefactError(f"{self.bucket.url}: not a run folder (it holds {min(there)}). Use another.")
        if overwrite:
            self._alike = {path: _Alike(size, _NEVER, written) for path, (size, written) in there.items()}
            self._save()
            return
        known = self._read_base()
        wanted = [path for path, state in there.items() if self._is_wanted(path, state, known)]
        for path in self._alike.keys() - there.keys():
            size, here, _ = self._alike.pop(path)
            if _state(self.folder / path) == (size, here) and path != RUN_MARKER:
                (self.folder / path).unlink()
        try:
            with worker_threads(_AT_ONCE) as pool:
                list(pool.map(lambda path: self._get(path, there[path][1]), wanted))
        finally:
            self._save()

    def push(self) -> None:
        """Put what was written here since, and remove what was removed here.

        Raises:
            DataError: no answer, and what is here is kept for the next call; or the copy was removed.
        """
        states = {path.relative_to(self.folder).as_posix(): state for path in sorted(self.folder.rglob("*"))
                  if path.name != ".lock" and path.suffix != ".part" and (state := _state(path))}  # fmt: skip
        if RUN_MARKER not in states:
            raise DataError(f"{self.folder}: the copy of {self.bucket.url} was removed. Start again.")
        known = {path: (base.size, base.here) for path, base in self._alike.items()}
        fresh = {path: state[1] for path, state in states.items() if known.get(path) != state}
        ends = (RUN_MARKER, "finished.json")  # it is a run; its results belong together
        try:
            for some in (ends[:1], fresh.keys() - {*ends}, ends[1:]):
                with worker_threads(_AT_ONCE) as pool:
                    list(pool.map(lambda path: self._put(path, fresh[path]), sorted(fresh.keys() & {*some})))
            for path in sorted(self._alike.keys() - states.keys()):
                self.bucket.remove(path)
                del self._alike[path]
        finally:
            self._save()

    def _listed(self) -> dict[str, tuple[int, float]]:
        try:
            return self.bucket.listed()
        except DataError as error:
            if not isinstance(error.__cause__, FileNotFoundError) or not self.bucket.exists():
                raise
        return {}

    def _is_wanted(self, path: str, there: tuple[int, float], known: bool) -> bool:
        """Return whether a file of the bucket is to be got; forget what was alike where both sides changed."""
        here, base = _state(self.folder / path), self._alike.get(path)
        if here == there:  # of a pull that was interrupted
            self._alike[path] = _Alike(there[0], there[1], there[1])
            return False
        if base is None:
            return here is None or not known
        if there == (base.size, base.there):
            return False
        if here is not None and here != (base.size, base.here):
            del self._alike[path]
            return False
        return True

    def _get(self, path: str, written: float) -> None:
        def fill(part: Path) -> None:
            self.bucket.get(path, part)
            os.utime(part, (written, written))

        write_with(self.folder / path, fill)
        status = (self.folder / path).stat()
        self._alike[path] = _Alike(status.st_size, status.st_mtime, written)

    def _put(self, path: str, here: float) -> None:
        size, there = self.bucket.put(path, self.folder / path)
        self._alike[path] = _Alike(size, here, there)

    def _read_base(self) -> bool:
        """Read what was alike at the last sync; return whether there was one that this copy comes from."""
        self._alike = {}
        if not (self.folder / RUN_MARKER).is_file():  # the copy was removed: nothing was removed in it
            return False
        try:
            self._alike = {path: _Alike(*one) for path, one in json.loads(self._base.read_bytes()).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return False
        return True

    def _save(self) -> None:
        write_text(self._base, json.dumps(self._alike) + "\n")


def local_run(path: Path) -> Path:
    """Return the folder to read a finished run in: of an address in a bucket its copy here, got anew.

    What is written into the copy, such as a report, goes to the bucket with the next `predict`.

    Raises:
        RunError: no run folder is there.
        RunInUseError: another process works in the copy.
        DataError: no such bucket, no credentials, or no answer.
    """
    url = remote_url(path)
    if url is None:
        return path
    remote = RemoteRun(url)
    with RunFolder(remote.folder).claimed():
        remote.pull()
    if not (remote.folder / RUN_MARKER).is_file():
        raise RunError(f"{url}: no such folder. Give the run folder of a finished predict.")
    return remote.folder


def is_remote_run(path: Path) -> bool:
    """Return whether a path is the address of a run folder in a bucket.

    Raises:
        DataError: no credentials, or no answer.
    """
    url = remote_url(path)
    try:
        return url is not None and bool(bucket_of(url.rstrip("/")).read(RUN_MARKER))
    except FileNotFoundError:
        return False


def _state(path: Path) -> tuple[int, float] | None:
    """Return the size and the time of a file; `None` where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return (status.st_size, status.st_mtime) if stat.S_ISREG(status.st_mode) else None
