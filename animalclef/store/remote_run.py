"""A run folder in a bucket: a copy here is worked in, got before the run and put back after each of its stages."""

from __future__ import annotations

import os
from pathlib import Path

from animalclef.errors import DataError
from animalclef.runtime.remote_files import bucket_of, copies_folder, write_copy
from animalclef.runtime.threads import worker_threads

__all__ = ["RemoteRun"]

_AT_ONCE = 8  # files on their way


class RemoteRun:
    """Keeps a run folder in a bucket and its copy on this machine alike.

    Of two files the one written last is kept. A bucket has no locks: one command at a time may work in it.
    """

    def __init__(self, url: str) -> None:
        self.bucket = bucket_of(url.rstrip("/"))
        self.folder = copies_folder(self.bucket.url, "runs")
        self._there: dict[str, tuple[int, float]] = {}  # sizes and times of the files in the bucket

    def pull(self) -> None:
        """Get what is not here, and what was written in the bucket later than here.

        Raises:
            DataError: no such bucket, no credentials, or no answer.
        """
        try:
            self._there = self.bucket.listed()
        except DataError as error:
            if not isinstance(error.__cause__, FileNotFoundError) or not self.bucket.exists():
                raise
        wanted = []
        for path, (size, written) in self._there.items():
            here = _state(self.folder / path)
            if here is None or (here != (size, written) and here[1] <= written):
                wanted.append(path)
        with worker_threads(_AT_ONCE) as pool:
            list(pool.map(lambda path: write_copy(self.folder / path, *self.bucket.read(path)), wanted))

    def push(self) -> None:
        """Put what was written here since, and remove what was removed here.

        Raises:
            DataError: no answer; what is here is kept, and put by the same command.
        """
        states = {path.relative_to(self.folder).as_posix(): _state(path) for path in sorted(self.folder.rglob("*"))
                  if path.is_file() and path.name != ".lock" and path.suffix != ".part"}  # fmt: skip
        fresh = [path for path, state in states.items() if self._there.get(path) != state]
        last = [path for path in fresh if path == "finished.json"]
        with worker_threads(_AT_ONCE) as pool:
            list(pool.map(self._put, [path for path in fresh if path not in last]))
        for path in last:  # it says that the results belong together
            self._put(path)
        for path in sorted(self._there.keys() - states.keys()):
            self.bucket.remove(path)
            del self._there[path]

    def _put(self, path: str) -> None:
        size, written = self.bucket.write(path, self.folder / path)
        os.utime(self.folder / path, (written, written))
        self._there[path] = (size, written)


def _state(path: Path) -> tuple[int, float] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime
