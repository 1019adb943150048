"""Run jobs in separate processes, where threads would wait for each other."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from types import ModuleType
from typing import TypeVar

import cv2

__all__ = ["SPAWN", "hidden_script", "in_processes"]

Job = TypeVar("Job")
Result = TypeVar("Result")

_STARTING = threading.Lock()
SPAWN = multiprocessing.get_context("spawn")  # fork copies the locks of OpenCV's and torch's threads


@contextmanager
def hidden_script() -> Iterator[None]:
    """Hide the script that runs from processes that are started here, which would run it again from its first line.

    Their work must not be a function of the script. One thread at a time starts processes.
    """
    with _STARTING:
        script = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = script


def in_processes(work: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    """Yield the results of `work`, as jobs finish; with one worker in this process and in order.

    Whatever ends the waiting, an interrupt too, lets the jobs that run come to their end and begins no others.
    """
    if workers == 1:
        yield from map(work, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=SPAWN, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        with hidden_script():
            futures = [pool.submit(work, job) for job in jobs]
        try:
            yield from (future.result() for future in as_completed(futures))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
