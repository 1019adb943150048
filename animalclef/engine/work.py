"""Submit the chunks of a stage and get its results in order, wherever they are made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Protocol, Self, TypeVar

__all__ = ["Capacity", "Engine", "ThisMachine", "ThreadedWork", "Work", "batched"]

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")


class Work(Protocol[Chunk, Result]):
    """The work of a stage, with its models and settings.

    A result must not depend on the number of threads, nor on which chunks ran in the same call. Running a chunk twice
    must be harmless: what it writes is named by content and written whole.
    """

    @property
    def title(self) -> str:
        """Return the name of the stage, for messages."""
        ...

    @property
    def chunks_a_task(self) -> int:
        """Return how many chunks a cluster's worker gets at a time.

        A work whose tasks may take longer than half an hour has `patience_s` as well: the seconds to wait for one.
        """
        ...

    def run(self, chunks: Iterable[Chunk]) -> Iterator[Result]:
        """Yield the results of chunks, in their order."""
        ...

    def named(self, chunk: Chunk) -> str:
        """Return what a message calls a chunk."""
        ...

    def with_threads(self, threads: int) -> Work[Chunk, Result]:
        """Return the same work on so many threads."""
        ...


@dataclass(frozen=True, eq=False)
class ThreadedWork:
    """What works on `workers` threads have in common."""

    workers: int = field(kw_only=True)

    def with_threads(self, threads: int) -> Self:
        """Return the same work on so many threads."""
        return replace(self, workers=threads)


@dataclass(frozen=True)
class Capacity:
    """How much of a cluster works on a stage.

    >>> Capacity(machines=4, lanes=16, workers=4).seconds(160, tasks=2)  # two of four workers have nothing to do
    20.0
    """

    machines: int
    lanes: int  # cores, or GPUs where these do the work
    workers: int  # that share the lanes; each runs one task at a time

    def seconds(self, alone: float, tasks: int) -> float:
        """Return the time of so many equal tasks that take one lane `alone` seconds in all."""
        if not tasks:
            return 0.0
        rounds = math.ceil(tasks / max(1, self.workers))
        return alone / tasks * rounds * max(1, self.workers) / max(1, self.lanes)


class Engine(Protocol):
    """Runs work; stages do not know where."""

    @property
    def capacity(self) -> Capacity | None:
        """Return what a cluster has now, for estimates; `None` for this machine alone."""
        ...

    def ordered(self, work: Work[Chunk, Result], chunks: Iterable[Chunk]) -> Iterator[Result]:
        """Yield the results of all chunks, in their order.

        Raises:
            EngineError: a chunk failed again and again; the message names it.
        """
        ...


class ThisMachine:
    """Runs work in this process and its threads.

    >>> class Squares:
    ...     title, chunks_a_task = "squaring", 1
    ...     def run(self, chunks):
    ...         return (chunk**2 for chunk in chunks)
    >>> list(ThisMachine().ordered(Squares(), [1, 2, 3]))
    [1, 4, 9]
    """

    capacity = None

    def ordered(self, work: Work[Any, Result], chunks: Iterable[Any]) -> Iterator[Result]:
        """Yield the results of all chunks, in their order."""
        return work.run(chunks)


def batched(items: Iterable[Chunk], size: int) -> Iterator[list[Chunk]]:
    """Yield items in lists of `size`; the last one may be shorter.

    >>> list(batched("abc", 2))
    [['a', 'b'], ['c']]
    """
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
