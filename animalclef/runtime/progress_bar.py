"""Show the progress of long work on a console: bars on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from animalclef.errors import printable
from animalclef.runtime.wording import duration

__all__ = ["PlainConsole", "RichProgress"]

_SECONDS = 20.0  # between two lines of progress


class PlainConsole(Console):
    """A console that prints text as it is: no markup, and control characters as escapes.

    Names of data sets and individuals come from files; `[/red]` or an escape sequence in one must not act.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return text without control characters."""
        return super().render_str(printable(text), **options)


class RichProgress:
    """Show a bar per task with count, rate and time left, or a line every 20 s if the console is no terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        """Show progress while the task lasts; show nothing for a task without work."""
        if total == 0:
            yield lambda done: None
        elif self.console.is_terminal:
            with self._bar(unit) as progress:
                task = progress.add_task(name, total=total)
                yield lambda done: progress.advance(task, done)
        else:
            yield from self._lines(name, total, unit)

    def _bar(self, unit: str) -> Progress:
        columns = (
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=10),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}", table_column=Column(no_wrap=True)),
            _Rate(unit),
            TextColumn("left", table_column=Column(no_wrap=True)),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        return Progress(*columns, console=self.console, refresh_per_second=4)

    def _lines(self, name: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        start = printed = time.monotonic()
        count = 0

        def advance(done: int) -> None:
            nonlocal printed, count
            count += done
            now = time.monotonic()
            if now - printed < _SECONDS and count < total:
                return
            printed = now
            rate = count / max(now - start, 1e-6)
            left = f", {duration((total - count) / rate)} left" if 0 < count < total else f" in {duration(now - start)}"
            line = f"{name}: {count:,} of {total:,} {unit}, {rate:,.1f} per second{left}"
            self.console.print(line, highlight=False, soft_wrap=True)

        yield advance


class _Rate(ProgressColumn):
    """Units per second."""

    def __init__(self, unit: str) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self.unit = unit

    def render(self, task: Task) -> Text:
        """Return the rate so far."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.1f} {self.unit}/s" if speed else f"- {self.unit}/s")
