"""Print which individuals `catalogue who` found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from animalclef.cli.printing import print_json, print_lines, warn

if TYPE_CHECKING:
    from animalclef.catalogue.recogniser import Sighting

__all__ = ["print_sightings"]


def print_sightings(sightings: Iterable[Sighting], *, as_json: bool) -> None:
    """Print the answer to every photograph: each at once, or a JSON list at the end."""
    found: list[dict[str, Any]] = []
    for seen in sightings:
        found.append(asdict(seen))
        if seen.error is not None:
            warn(seen.error)
        elif not as_json:
            print_lines(*_lines(seen))
    if as_json:
        print_json(found)


def _lines(seen: Sighting) -> list[str]:
    head = f"{seen.photograph}: {seen.individual or 'a new individual'} (named from {seen.threshold:.3f})"
    return [head, *(f"  {probability:.3f}  {candidate}" for candidate, probability in seen.candidates)]
