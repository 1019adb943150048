"""Weight files: what there is, whose it is, and where it lies on this machine. Nothing is downloaded here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from animalclef.errors import WeightsError

__all__ = ["WEIGHTS", "WeightsEntry", "find_weights"]


@dataclass(frozen=True)
class WeightsEntry:
    """One published weight file."""

    name: str
    file: str  # its name in a bundle
    source: str  # where its authors publish it
    licence: str


WEIGHTS: Mapping[str, WeightsEntry] = MappingProxyType({})


def find_weights(name: str, folder: Path | None) -> Path:
    """The file of the weights called `name` (`aliked-n16`, `lightglue-aliked`, `miewid-msv3` ...).

    `folder` is the bundle given with `--weights`; without one the caches on this machine are looked through.

    Raises:
        WeightsError: no such weights are known, or they are not on this machine.
    """
    entry = WEIGHTS.get(name)
    if entry is None:
        raise WeightsError(f"{name}: no such weights. Known: {', '.join(sorted(WEIGHTS)) or 'none'}.")
    if folder is not None and (folder / entry.file).is_file():
        return folder / entry.file
    place = "on this machine" if folder is None else f"in {folder}"
    raise WeightsError(
        f"{name}: {entry.file} is not {place}. Run `animalclef weights pull {name}` with internet, "
        "or `animalclef weights bundle --to DIR` on another machine, and give that folder with --weights."
    )
