"""Work for tests of engines, and an engine of several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from animalclef.engine.work import ThisMachine, batched
from animalclef.errors import DataError

__all__ = ["FourProcesses", "Squares"]


class FourProcesses(ThisMachine):
    """Sends every task to one of four other processes, as a cluster does; the last task first."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def __enter__(self) -> FourProcesses:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["animalclef.pipeline.predict"])
        self.pool = ProcessPoolExecutor(4, context)
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown()

    def ordered(self, work: Any, chunks: Iterable[Any]) -> Iterator[Any]:
        tasks = list(batched(chunks, work.chunks_a_task))
        if tasks:
            self.stages.append(work.title)
        running = [self.pool.submit(_run, work, task) for task in reversed(tasks)]
        for one in reversed(running):
            yield from one.result()


def _run(work: Any, chunks: list[Any]) -> list[Any]:
    return list(work.with_threads(1).run(chunks))


@dataclass(frozen=True)
class Squares:
    """Squares numbers, `seconds` each; notes every run of a chunk in `folder`; may fail, stall or end its process."""

    folder: Path
    seconds: float = 0.0
    fails: int | None = None  # at this chunk, with an error of Python
    refuses: int | None = None  # at this chunk, with an error of the user's
    dies: int | None = None  # at this chunk, the first time
    stalls: int | None = None  # at this chunk
    hogs: int | None = None  # at this chunk: asks for more memory than there is
    killed: int | None = None  # at this chunk, the first time, as the kernel does where memory runs out
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
            if chunk == self.killed and len((self.folder / f"{chunk}").read_text().splitlines()) == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            if chunk == self.hogs:
                bytearray(1 << 60)
            time.sleep(3600 if chunk == self.stalls else self.seconds)
            yield chunk**2

    def named(self, chunk: int) -> str:
        return f"number {chunk}"

    def with_threads(self, threads: int) -> Squares:
        return replace(self, threads=threads)

    def processes(self) -> set[str]:
        """Return the processes that ran chunks."""
        return {pid for path in self.folder.iterdir() for pid in path.read_text().split()}
