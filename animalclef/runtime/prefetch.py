"""The next pieces of work are done while the present one is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from typing import TypeVar

from animalclef.runtime.threads import worker_threads

__all__ = ["ahead"]

_Number = TypeVar("_Number")
_Made = TypeVar("_Made")


def ahead(make: Callable[[_Number], _Made], numbers: Iterable[_Number], workers: int) -> Generator[_Made, None, None]:
    """What `make` makes of each of the numbers, in their order; several workers make the next ones meanwhile."""
    if workers < 2:
        yield from map(make, numbers)
        return
    waiting: deque[Future[_Made]] = deque()
    with worker_threads(workers) as pool:
        for one in numbers:
            waiting.append(pool.submit(make, one))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
