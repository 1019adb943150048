"""Run worker threads in parallel, with the libraries below them on one thread each."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

__all__ = ["one_thread_each", "worker_threads"]


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
