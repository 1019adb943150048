"""Print on the two consoles: results, warnings, and the progress of long work."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from animalclef.errors import OutputError, printable
from animalclef.runtime.wording import duration

__all__ = [
    "PlainConsole",
    "RichProgress",
    "err",
    "out",
    "print_json",
    "print_lines",
    "print_result",
    "print_text",
    "progress",
    "say",
    "tell",
    "tolerate_any_console",
    "warn",
]


class PlainConsole(Console):
    """A console that prints text as it is: no markup, and control characters as escapes.

    Names of data sets and individuals come from files; `[/red]` or an escape sequence in one must not act.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return text without control characters."""
        return super().render_str(printable(text), **options)


_SECONDS = 20.0  # between two lines of progress
out, err = PlainConsole(), PlainConsole(stderr=True)


def tolerate_any_console() -> None:
    """Print what the console's encoding lacks as `?`, instead of failing at the end of the work."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def print_lines(*lines: RenderableType) -> None:
    """Print tables and lines of text on standard output; no line is wrapped."""
    with _standard_output():
        for one in lines:
            out.print(one, soft_wrap=isinstance(one, str))


def print_json(content: Any) -> None:
    """Print the result as JSON on standard output; NaN becomes null."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    print_text(json.dumps(_without_nan(content), indent=1, ensure_ascii=not unicode) + "\n")


def print_text(text: str) -> None:
    """Print a text on standard output as it is."""
    with _standard_output():
        sys.stdout.write(text)


def print_result(content: Any, *shown: RenderableType, as_json: bool) -> None:
    """Print the result: `content` as JSON, or the tables and lines of text that show it."""
    if as_json:
        print_json(content)
    else:
        print_lines(*shown)


@contextmanager
def _standard_output() -> Iterator[None]:
    """Say of an error that it is one of standard output; that a reader has gone is none."""
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stdout = io.StringIO()  # Python would flush it once more at its end, and complain again
        sentence = f"standard output cannot be written ({error.strerror}). Free some space, or send it elsewhere."
        raise OutputError(sentence) from error


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and content != content else content


def tell(sentence: str) -> None:
    """Print one sentence on standard error, before something that takes minutes."""
    err.print(sentence, soft_wrap=True)


def say(label: str, style: str, sentence: str) -> None:
    """Print one sentence on standard error, behind a coloured label."""
    err.print(Text.assemble((label, style), " ", printable(sentence)), soft_wrap=True)


def warn(sentence: str) -> None:
    """Print one warning on standard error."""
    say("warning:", "yellow", sentence)


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


progress = RichProgress(err)
