"""Print on the two consoles: results, warnings, and the progress of long work."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from animalclef.errors import OutputError, printable
from animalclef.runtime.progress_bar import PlainConsole, RichProgress

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


progress = RichProgress(err)
