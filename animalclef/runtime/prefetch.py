"""Prepare the next items in worker threads while the present one is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from itertools import chain, pairwise
from typing import TypeVar

from animalclef.runtime.threads import worker_threads

__all__ = ["one_ahead", "prefetch"]

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
