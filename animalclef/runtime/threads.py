"""The run's own worker threads do the work in parallel; the libraries below them stay on one thread each."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

__all__ = ["one_thread_each", "worker_threads"]


@contextmanager
def one_thread_each() -> Iterator[None]:
    """OpenCV and BLAS on one thread while the block runs (torch keeps its own)."""
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
    """The run's worker threads; after an error or an interrupt, work that has not begun is dropped."""
    pool = ThreadPoolExecutor(count)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
