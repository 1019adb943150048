"""Render a training set of synthetic species: many animals of each, every photograph named.

The folder has the demo's layout, all of it database. Animals of one species share the same few visits, so that places
do not identify them, and many photographs are cropped to the animal, as in most real data sets.
"""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from animalclef.errors import OutputError
from animalclef.runtime.atomic_files import write_bytes, write_csv, write_text
from animalclef.runtime.processes import in_processes
from animalclef.runtime.progress import Progress, Silent
from animalclef.synthetic.coats import Animal
from animalclef.synthetic.photograph import Photograph, box_around, photograph
from animalclef.synthetic.render import COLUMNS
from animalclef.synthetic.species import random_species
from animalclef.synthetic.visits import draw_dates, draw_visit

__all__ = ["TrainingSetConfig", "render_training_set"]

_VERSION = 1
_STAMP = "crowd.json"  # its name since version 0.1


class TrainingSetConfig(BaseModel):
    """The number of species, animals and photographs of a synthetic training set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0)
    species: int = Field(default=200, ge=1)
    animals: int = Field(default=12, ge=1)
    """Animals of each species."""
    photographs: int = Field(default=6, ge=1)
    """Photographs of each animal, its sides in turn."""
    visits: int = Field(default=5, ge=1)
    """Encounters (place, date and light) of each species, shared by its animals."""
    close: float = Field(default=0.6, ge=0, le=1)
    """Share of the photographs that are cropped to the animal."""


def render_training_set(
    directory: Path,
    config: TrainingSetConfig = TrainingSetConfig(),  # noqa: B008
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Render the training set into `directory` and return it.

    Every photograph depends on the seed and its own numbers alone. Files that are there are kept, so an interrupted
    call resumes, and a larger set contains a smaller one; `metadata.csv` is written last.

    Raises:
        OutputError: `directory` holds something else, or a set of other settings, or cannot be written to.
    """
    _claim(directory, config)
    rows: dict[int, list[tuple[object, ...]]] = {}
    each = config.animals * config.photographs
    jobs = [(directory, config, number) for number in range(config.species)]
    with (progress or Silent()).task("rendering photographs", config.species * each, "images") as advance:
        for number, made in in_processes(_render_species, jobs, workers):
            rows[number] = made
            advance(each)
    ordered = [row for number in range(config.species) for row in rows[number]]
    write_csv(directory / "metadata.csv", COLUMNS, [(place, *row) for place, row in enumerate(ordered)])
    return directory


def _claim(directory: Path, config: TrainingSetConfig) -> None:
    stamp = directory / _STAMP
    settings = config.model_dump(mode="json", exclude={"species"})  # more species change nothing of those there
    text = json.dumps({"version": _VERSION, "config": settings}, indent=2) + "\n"
    if directory.is_dir() and any(directory.iterdir()):
        try:
            found = stamp.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            found = ""
        if found != text:
            held = "training photographs of other settings" if found else "other files"
            raise OutputError(f"{directory}: holds {held}. Choose another directory, or remove this one first.")
        return
    write_text(stamp, text)


def _render_species(job: tuple[Path, TrainingSetConfig, int]) -> tuple[int, list[tuple[object, ...]]]:
    """Render the photographs of one species; return their rows without the image id."""
    root, config, number = job
    rng = np.random.default_rng((config.seed, number, 9))
    species = replace(random_species(rng), name=f"Invented{number:04d}")
    dates = draw_dates(config.visits, rng)
    visits = [draw_visit(species, (config.seed, number, 100 + place), date, rng) for place, date in enumerate(dates)]
    rows: list[tuple[object, ...]] = []
    for who in range(config.animals):
        animal, name = Animal(species, (config.seed, number, who)), f"{species.name}_{who:03d}"
        for shot in range(config.photographs):
            own = np.random.default_rng((config.seed, number, who, shot))
            visit = visits[own.integers(len(visits))]
            side = species.sides[(who + shot) % len(species.sides)]
            path = f"images/{species.name}/{name}_{shot:02d}.jpg"
            if not (root / path).is_file():
                _store(root / path, photograph(animal, visit, side, own), config.close, own)
            rows.append((name, path, visit.date, side, species.name, "database", species.name))
    return number, rows


def _store(path: Path, picture: Photograph, close: float, rng: np.random.Generator) -> None:
    pixels = picture.pixels
    if rng.random() < close and (box := box_around(picture.mask > 127, (-0.04, 0.14), rng)) is not None:
        pixels = np.ascontiguousarray(pixels[box])
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=int(rng.integers(55, 96)))
    write_bytes(path, file.getvalue())
