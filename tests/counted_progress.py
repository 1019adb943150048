"""Progress that counts, for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["CountedProgress"]


class CountedProgress:
    """Keeps what was finished, step by step; `interrupt` ends the work at the first one."""

    def __init__(self, *, interrupt: bool = False) -> None:
        self.interrupt, self.total = interrupt, 0
        self.steps: list[int] = []

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        """Count."""
        self.total = total

        def advance(done: int) -> None:
            self.steps.append(done)
            if self.interrupt:
                raise KeyboardInterrupt

        yield advance
