"""The libraries below the workers stay on one thread, and go back to what they had."""

from __future__ import annotations

import time

import cv2
import numpy as np  # noqa: F401 - its BLAS is what threadpoolctl looks at
import pytest
from threadpoolctl import threadpool_info

from animalclef.runtime.threads import one_thread_each, worker_threads


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_one_thread_inside_and_as_before_outside() -> None:
    cv2.setNumThreads(3)
    before = blas_threads()
    with one_thread_each():
        assert cv2.getNumThreads() == 1
        assert set(blas_threads()) == {1}
        with one_thread_each():
            assert cv2.getNumThreads() == 1
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == 3
    assert blas_threads() == before


def test_an_error_inside_puts_the_threads_back() -> None:
    cv2.setNumThreads(2)
    with pytest.raises(KeyError), one_thread_each():
        raise KeyError
    assert cv2.getNumThreads() == 2


def test_after_an_interrupt_waiting_work_is_dropped() -> None:
    done = []

    def work(number: int) -> None:
        time.sleep(0.01)
        done.append(number)

    def interrupted() -> None:
        with worker_threads(2) as pool:
            pool.map(work, range(500))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(done) < 20


def test_without_one_all_work_is_done() -> None:
    with worker_threads(3) as pool:
        assert list(pool.map(lambda number: number * 2, range(50))) == list(range(0, 100, 2))
