"""Prepare the next items in worker threads while the present one is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from typing import TypeVar

from animalclef.runtime.threads import worker_threads

__all__ = ["prefetch"]

_Key = TypeVar("_Key")
_Item = TypeVar("_Item")


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
