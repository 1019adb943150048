"""Errors that the user can fix, and what their sentences are made of."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AnimalClefError",
    "ConfigError",
    "DataError",
    "EngineError",
    "LeakError",
    "OutputError",
    "PhotographError",
    "RunError",
    "RunInUseError",
    "StaleArtefactError",
    "SubmissionError",
    "TrainingError",
    "WeightsError",
    "nearest",
    "printable",
    "shortened",
    "suggestion",
]

_LONGEST, _HEAD = 500, 340


class AnimalClefError(Exception):
    """An error that the user can fix: the command line prints its sentence and exits with 2.

    The sentence has at most 500 characters, whatever a file put into it; a longer one is cut in the middle.

    >>> len(str(AnimalClefError("x" * 10_000)))
    500
    """

    def __init__(self, sentence: str = "") -> None:
        super().__init__(shortened(printable(sentence)))


class ConfigError(AnimalClefError):
    """A configuration file or `--set` names something that does not exist or does not fit."""


class DataError(AnimalClefError):
    """The table or the photographs cannot be used as they are."""


class PhotographError(DataError):
    """One photograph cannot be used; others can."""


class LeakError(AnimalClefError):
    """Something was about to be scored on individuals that it was fitted on."""


class SubmissionError(AnimalClefError):
    """A submission or truth file breaks the competition's rules."""


class StaleArtefactError(AnimalClefError):
    """A file was made with other settings or from other data than this run."""


class RunError(DataError, StaleArtefactError):
    """A folder holds no finished run, or its files are damaged or of another version."""


class RunInUseError(AnimalClefError):
    """Another process is working in the same run folder."""


class OutputError(AnimalClefError):
    """A file could not be written."""


class WeightsError(AnimalClefError):
    """Model weights are absent, or do not fit the model."""


class EngineError(AnimalClefError):
    """A cluster cannot be reached or used, or a part of the work failed on it again and again."""


class TrainingError(AnimalClefError):
    """A training cannot continue."""


def shortened(text: str, most: int = _LONGEST) -> str:
    """Return a text of at most `most` characters: one that is longer is cut in the middle.

    >>> shortened("abcdefghijklmnopqrstuvwxyz", 15)
    'abcdef ... wxyz'
    """
    if len(text) <= most:
        return text
    gap = " ... "
    head = min(_HEAD, (most - len(gap)) * 2 // 3)
    tail = most - head - len(gap)
    return text[:head] + gap + text[len(text) - tail :]


def nearest(text: str, names: Iterable[str], most: int = 1) -> list[str]:
    """Return at most `most` of the names that are spelled nearly like a text, best first; none where none is near.

    Names that differ from the text by case alone stand for all others.

    >>> names = ["Tara", "Lena", "Luna"]
    >>> nearest("Lana", names, 2), nearest("luna", names, 2), nearest("x", names)
    (['Luna', 'Lena'], ['Luna'], [])
    """
    spellings: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        spellings.setdefault(name.casefold(), []).append(name)
    sought = text.casefold()
    close = [sought] if sought in spellings else difflib.get_close_matches(sought, spellings, n=most)
    return [name for one in close for name in spellings[one]][:most]


def suggestion(text: str, names: Iterable[str]) -> str:
    """Return a further sentence of an error that names the nearest of the names; nothing where none is near.

    >>> suggestion("shift", ["sift", "disk"]), suggestion("x", ["sift", "disk"])
    (' Did you mean sift?', '')
    """
    close = nearest(text, names)
    return f" Did you mean {close[0]}?" if close else ""


def printable(text: str) -> str:
    """Return a text that any terminal shows as it is: control characters become escapes, line breaks and tabs stay.

    >>> printable("a\\x1b[31m")
    'a\\\\x1b[31m'
    """
    if text.isprintable():
        return text
    return "".join(
        one if one in "\n\t" or one.isprintable() or (one.isspace() and ord(one) > 160) else _escape(one)
        for one in text
    )


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
