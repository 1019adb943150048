"""Keep runs and catalogues apart: neither may lie where the other writes or removes files."""

from __future__ import annotations

import os
from pathlib import Path

from animalclef.errors import OutputError
from animalclef.runtime.output_guard import RUN_MARKER

__all__ = ["CATALOGUE_FILES", "is_catalogue", "refuse_catalogue_below", "refuse_catalogue_run", "refuse_run_around"]

CATALOGUE_FILES = ("catalogue.db", "catalogue.address")


def refuse_run_around(folder: Path) -> None:
    """Check the folder of a new catalogue: the next run in a run folder may remove what lies in it.

    Raises:
        OutputError: it is a run folder, or lies in one.
    """
    itself = (folder.absolute(), folder.resolve())
    for above in _with_parents(folder):
        if (above / RUN_MARKER).is_file():
            place = "this is a run folder" if above in itself else f"it lies in the run folder {above}"
            raise OutputError(
                f"{folder}: {place}, whose files the next run may remove. Give the catalogue a folder outside of runs."
            )


def refuse_catalogue_run(folder: Path, instead: str = "Use another run folder.") -> None:
    """Check a run folder that is about to be written to: the run of a catalogue holds the results of its seasons.

    `instead` is a sentence that says what to do.

    Raises:
        OutputError: it is the run folder of a catalogue, or lies in it.
    """
    for above in _with_parents(folder):
        if above.name == "run" and is_catalogue(above.parent):
            raise OutputError(
                f"{folder}: the catalogue {above.parent} keeps the results of its seasons here, and no other command "
                f"may write here. {instead}"
            )


def refuse_catalogue_below(folder: Path) -> None:
    """Check a run folder that is about to be emptied.

    Raises:
        OutputError: a catalogue lies in it.
    """
    for path, _, files in os.walk(folder):
        if any(name in files for name in CATALOGUE_FILES):
            raise OutputError(
                f"{folder}: overwriting would remove the catalogue {path}. Move the catalogue first, or use another "
                "run folder."
            )


def is_catalogue(folder: Path) -> bool:
    """Return whether a folder is that of a catalogue."""
    return any((folder / name).is_file() for name in CATALOGUE_FILES)


def _with_parents(folder: Path) -> list[Path]:
    """Return a folder and those above it, as they are written and with links followed."""
    written, real = folder.absolute(), folder.resolve()
    return list(dict.fromkeys([written, *written.parents, real, *real.parents]))
