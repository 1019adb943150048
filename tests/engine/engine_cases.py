"""Work for tests of engines."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from animalclef.errors import DataError

__all__ = ["Squares"]


@dataclass(frozen=True)
class Squares:
    """Squares numbers, `seconds` each; notes every run of a chunk in `folder`; may fail, stall or end its process."""

    folder: Path
    seconds: float = 0.0
    fails: int | None = None  # at this chunk, with an error of Python
    refuses: int | None = None  # at this chunk, with an error of the user's
    dies: int | None = None  # at this chunk, the first time
    stalls: int | None = None  # at this chunk
    threads: int = 0
    title = "squaring"
    chunks_a_task = 2

    def run(self, chunks: Iterable[int]) -> Iterator[int]:
        for chunk in chunks:
            with (self.folder / f"{chunk}").open("a") as file:
                file.write(f"{os.getpid()}\n")
            if chunk == self.fails:
                raise ZeroDivisionError("nothing can be divided by it")
            if chunk == self.refuses:
                raise DataError("photo.jpg: the file changed.")
            if chunk == self.dies and len((self.folder / f"{chunk}").read_text().splitlines()) == 1:
                os._exit(1)
            time.sleep(3600 if chunk == self.stalls else self.seconds)
            yield chunk**2

    def named(self, chunk: int) -> str:
        return f"number {chunk}"

    def with_threads(self, threads: int) -> Squares:
        return Squares(self.folder, self.seconds, self.fails, self.refuses, self.dies, self.stalls, threads)

    def processes(self) -> set[str]:
        """Return the processes that ran chunks."""
        return {pid for path in self.folder.iterdir() for pid in path.read_text().split()}
