"""Report progress: a stage counts, the caller decides what to show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

__all__ = ["Progress", "Silent"]


class Progress(Protocol):
    """Shows tasks with a count."""

    def task(self, name: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        """Start a task; call the yielded function with the number of units finished since the last call."""
        ...


class Silent:
    """Shows nothing."""

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        """Count nothing."""
        yield lambda done: None
