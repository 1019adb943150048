"""Print which individuals `catalogue who` found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from animalclef.cli.printing import print_json, print_lines, print_result, warn
from animalclef.errors import DataError, PhotographError

if TYPE_CHECKING:
    from animalclef.catalogue.recogniser import Sighting

__all__ = ["print_one", "print_several"]


def print_one(seen: Sighting, name: str, *, as_json: bool) -> None:
    """Print the answer to the one photograph that was asked about."""
    print_result(_content(seen), *_lines(seen, name), as_json=as_json)


def print_several(given: Sequence[Path], who: Callable[[Path], Sighting], *, as_json: bool) -> None:
    """Print the answer to every photograph, and to those of every folder: each at once, or JSON at the end.

    Raises:
        DataError: none of them can be read.
    """
    found: list[dict[str, Any]] = []
    for path in _photographs(given):
        try:
            seen = who(path)
        except PhotographError as error:
            warn(str(error))
            found.append({"photograph": str(path), "error": str(error)})
            continue
        found.append({"photograph": str(path), **_content(seen)})
        if not as_json:
            print_lines(*_lines(seen, str(path)))
    if all("error" in one for one in found):
        raise DataError(f"{', '.join(map(str, given))}: no photograph can be read.")
    if as_json:
        print_json(found)


def _photographs(given: Sequence[Path]) -> Iterator[Path]:
    """Yield photographs, and those below folders."""
    from animalclef.data.folders import photographs_below

    for path in given:
        below = photographs_below(path) if path.is_dir() else [path]
        if not below:
            warn(f"{path}: there is no photograph in this folder.")
        yield from below


def _content(seen: Sighting) -> dict[str, Any]:
    return {"individual": seen.name, "threshold": seen.threshold, "candidates": seen.candidates}


def _lines(seen: Sighting, name: str) -> list[str]:
    lines = [f"{name}: {seen.name or 'a new individual'} (named from {seen.threshold:.3f})"]
    return lines + [f"  {probability:.3f}  {candidate}" for candidate, probability in seen.candidates]
