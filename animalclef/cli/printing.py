"""Print on the two consoles: results, tables, warnings, and the progress of long work."""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any, Literal

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from animalclef.errors import OutputError, printable
from animalclef.runtime.progress_bar import PlainConsole, RichProgress

__all__ = [
    "PlainConsole",
    "RichProgress",
    "aligned_table",
    "err",
    "number_cell",
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

out, err = PlainConsole(), PlainConsole(stderr=True)
progress = RichProgress(err)

_MANY = 7  # columns, which stand closer to each other


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


def aligned_table(
    title: str, header: Sequence[str], rows: Iterable[Sequence[Any]], mean: Sequence[Any] = (), note: str = ""
) -> Table:
    """Return a table that fits 80 columns: numbers are right-aligned, never wrapped and never cut.

    Fractions get three digits. `mean` is a last line, `note` stands below the table.
    """
    table = Table(
        title=title, title_justify="left", header_style="bold", pad_edge=False, box=box.SIMPLE_HEAD,
        collapse_padding=True, padding=(0, 1 if len(header) < _MANY else 0), caption=note or None,
        caption_justify="left",
    )  # fmt: skip
    for place, name in enumerate(header):
        is_text = name in ("weights", "viewpoints", "individual", "source")
        justify: Literal["left", "right"] = "left" if place == 0 or is_text or name == "species" else "right"
        table.add_column(name, justify=justify, no_wrap=place > 0 and not is_text, overflow="fold")
    for row in rows:
        table.add_row(*map(_text, row))
    if mean:
        table.add_section()
        table.add_row(*map(_text, mean), style="bold")
    return table


def _text(cell: Any) -> str:
    return str(cell) if isinstance(cell, str | Integral) else number_cell(cell)


def number_cell(value: float | None) -> str:
    """Return a number with three digits; NaN and `None` are a dash."""
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"
