"""Run worker threads in parallel, with the libraries below them on one thread each; prepare items ahead in them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, pairwise
from numbers import Integral
from typing import TypeVar

__all__ = ["cores", "one_ahead", "one_thread_each", "prefetch", "worker_threads"]

_Key = TypeVar("_Key")
_Item = TypeVar("_Item")


def cores(workers: int | None = None) -> int:
    """Return the number of worker threads: all cores by default.

    Raises:
        TypeError: `workers` is no whole number.
        ValueError: it is below 1.

    >>> cores("2")
    Traceback (most recent call last):
    TypeError: workers: expected a whole number, 1 or more, got str.
    """
    if workers is None:
        return os.cpu_count() or 1
    if not isinstance(workers, Integral) or isinstance(workers, bool):
        raise TypeError(f"workers: expected a whole number, 1 or more, got {type(workers).__name__}.")
    if workers < 1:
        raise ValueError(f"workers: expected 1 or more, got {workers}.")
    return int(workers)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Keep OpenCV and BLAS on one thread while the block runs (torch keeps its own)."""
    import cv2
    from threadpoolctl import threadpool_limits

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        cv2.setNumThreads(before)


@contextmanager
def worker_threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Open a pool of worker threads; after an error or an interrupt, pending work is cancelled."""
    pool = ThreadPoolExecutor(count)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def prefetch(make: Callable[[_Key], _Item], keys: Iterable[_Key], workers: int) -> Generator[_Item, None, None]:
    """Yield `make(key)` of every key, in order; several workers prepare up to twice their number ahead."""
    if workers < 2:
        yield from map(make, keys)
        return
    waiting: deque[Future[_Item]] = deque()
    with worker_threads(workers) as pool:
        for key in keys:
            waiting.append(pool.submit(make, key))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def one_ahead(start: Callable[[_Key], _Item], keys: Iterable[_Key]) -> Iterator[_Item]:
    """Yield `start(key)` of every key, in order; the next one is started before the present one is yielded.

    >>> for item in one_ahead(lambda key: print("start", key) or key, "ab"):
    ...     print("use", item)
    start a
    start b
    use a
    use b
    """
    started = map(start, keys)
    for before, _ in pairwise(chain(started, [None])):
        if before is not None:
            yield before
