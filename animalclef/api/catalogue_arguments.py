"""Check what a catalogue's methods are given: photographs, texts, numbers, paths, and where to work."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from animalclef.api.datasets import PathLike, check_kind, path_given, path_or_none
from animalclef.api.shown_progress import ProgressLike, shown_progress
from animalclef.catalogue.recogniser import Machine
from animalclef.engine.open_engine import check_engine
from animalclef.runtime.threads import cores

__all__ = ["check_texts", "machine_of", "number_of", "paths_of", "photographs_of"]

Listed = TypeVar("Listed")


def machine_of(
    device: str, weights: PathLike | None, workers: int | None, progress: ProgressLike,
    engine: str = "local", address: str = "auto",
) -> Machine:  # fmt: skip
    """Return where and how a method works.

    Raises:
        ConfigError: there is no such engine.
    """
    check_engine(engine)
    folder, shown = path_or_none(weights, "weights"), shown_progress(progress)
    return Machine(device, folder, cores(workers), shown, engine=engine, address=address)


def photographs_of(method: str, given: str | Sequence[str]) -> list[str]:
    """Return the ids of photographs; a text is one of them.

    Raises:
        TypeError: they are no texts.
        ValueError: there is none.

    >>> photographs_of("split", "1/a.jpg")
    ['1/a.jpg']
    """
    expected = "a photograph by SEASON/ID, or a list of them"
    ids = [given] if isinstance(given, str) else _listed(method, given, expected)
    for one in ids:
        check_kind(f"{method}: photographs", one, str, expected)
    return ids


def paths_of(method: str, given: PathLike | Sequence[PathLike]) -> list[Path]:
    """Return the paths of photographs or folders; one path stands for itself.

    Raises:
        TypeError: they are no paths.
        ValueError: there is none, or one is an empty text.
    """
    expected = "the path of a photograph or a folder, or a list of them"
    listed = [given] if isinstance(given, str | os.PathLike) else _listed(method, given, expected)
    return [path_given(one, f"{method}: photographs", expected) for one in listed]


def check_texts(method: str, *, who: object = None, **texts: object) -> None:
    """Check that arguments are texts; who signs may be left out.

    Raises:
        TypeError: one is not.

    >>> check_texts("rename", why=None)
    Traceback (most recent call last):
    TypeError: rename: why: expected a text, got NoneType.
    """
    check_kind(f"{method}: who", who, (str, type(None)), "a text")
    for name, value in texts.items():
        check_kind(f"{method}: {name}", value, str, "a text")


def number_of(name: str, given: int | str | None) -> int | None:
    """Return a whole number, also where a text holds it.

    Raises:
        TypeError: it is none.

    >>> number_of("event", "3")
    3
    """
    if given is None or (isinstance(given, int) and not isinstance(given, bool)):
        return given
    if hasattr(given, "__index__") and not isinstance(given, bool):
        return int(given)
    if isinstance(given, str) and given.strip().isdecimal():
        return int(given)
    shown = repr(given) if isinstance(given, str) else type(given).__name__
    raise TypeError(f"{name}: expected a whole number such as 3, got {shown}.")


def _listed(method: str, given: Sequence[Listed], expected: str) -> list[Listed]:
    try:
        listed = list(given)
    except TypeError as error:
        raise TypeError(f"{method}: photographs: expected {expected}, got {type(given).__name__}.") from error
    if not listed:
        raise ValueError(f"{method}: give at least one photograph; the list is empty.")
    return listed
