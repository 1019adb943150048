"""Render photographs of synthetic animals to train a matcher on, each with the place on the coat of every pixel.

A subject is one side of one animal and has a folder of its own, below the folder of its species. Beside `0.jpg` lies
`0.surface.png`: 16 bits, of half the size; two channels hold the place on the coat, the third is 0 off the animal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.errors import OutputError
from animalclef.runtime.atomic_files import make_folder, write_bytes, write_text
from animalclef.runtime.processes import in_processes
from animalclef.synthetic import Animal, Photograph, draw_visit, photograph, random_species

__all__ = ["PHOTOGRAPHS_PER_SPECIES", "read_surface", "render_subjects", "surface_path"]

_ANIMALS, _PHOTOGRAPHS, _VISITS = 3, 4, 3
PHOTOGRAPHS_PER_SPECIES = _ANIMALS * _PHOTOGRAPHS
_UNIT = 16384.0  # steps of a stored coordinate per body unit
_MIDDLE = 32768.0  # stored value of coordinate 0
_VERSION = 1


def render_subjects(
    folder: Path, photographs: int, seed: int, *, workers: int = 1, advance: Callable[[int], None] | None = None
) -> int:
    """Render at least `photographs` of random species into `folder`, three animals of each; return their number.

    Finished species are kept, so an interrupted call resumes; files depend on the seed and the species' number alone.

    Raises:
        OutputError: the folder was rendered with another seed, holds other files, or cannot be written to.
    """
    make_folder(folder)
    stamp, text = folder / "rendered.json", json.dumps({"version": _VERSION, "seed": seed}) + "\n"
    if not stamp.is_file() and any(folder.iterdir()):
        raise OutputError(f"{folder}: holds files that were not rendered here. Choose an empty or new folder.")
    if stamp.is_file() and stamp.read_text(encoding="utf-8") != text:
        raise OutputError(f"{folder}: holds photographs of another seed or version. Choose another folder.")
    write_text(stamp, text)
    species = math.ceil(photographs / PHOTOGRAPHS_PER_SPECIES)
    for _ in in_processes(_render_species, [(folder, seed, number) for number in range(species)], workers):
        if advance is not None:
            advance(PHOTOGRAPHS_PER_SPECIES)
    return species * PHOTOGRAPHS_PER_SPECIES


def surface_path(photograph: Path) -> Path:
    """Return the path of the coat map of a rendered photograph."""
    return photograph.with_name(f"{photograph.stem}.surface.png")


def read_surface(path: Path, size_wh: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the place on the coat of every pixel, (H, W, 2) body units, and the animal's mask, (H, W).

    Raises:
        OSError: the file is not a coat map.
    """
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16 or stored.ndim != 3:
        raise OSError(f"{path}: not a coat map of three channels with 16 bits.")
    place = (stored[..., :2].astype(np.float32) - _MIDDLE) / _UNIT
    shown = cv2.resize(stored[..., 2].astype(np.float32), size_wh, interpolation=cv2.INTER_LINEAR) > _MIDDLE
    return np.asarray(cv2.resize(place, size_wh, interpolation=cv2.INTER_LINEAR), dtype=np.float32), shown


def _render_species(job: tuple[Path, int, int]) -> None:
    """Render all photographs of one species; the file `whole` is written last."""
    root, seed, number = job
    folder = root / f"species{number:05d}"
    if (folder / "whole").is_file():
        return
    rng = np.random.default_rng((seed, number))
    species = random_species(rng)
    visits = [draw_visit(species, (seed, number, place), "2020-01-01", rng) for place in range(_VISITS)]
    side = species.sides[rng.integers(len(species.sides))]
    for who in range(_ANIMALS):
        animal = Animal(species, (seed, number, who))
        for shot in range(_PHOTOGRAPHS):
            own = np.random.default_rng((seed, number, who, shot))
            picture = photograph(animal, visits[own.integers(_VISITS)], side, own)
            _store(folder / f"animal{who}" / f"{shot}.jpg", picture, int(own.integers(60, 96)))
    write_text(folder / "whole", "")


def _store(path: Path, picture: Photograph, quality: int) -> None:
    bgr = cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2BGR)
    write_bytes(path, cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())
    place = np.clip(np.round(picture.sheet_xy * _UNIT + _MIDDLE), 0, 65535)
    shown = np.where(picture.mask > 127, 65535, 0)
    surface = np.dstack([place, shown[..., None]]).astype(np.uint16)
    half = (-(-surface.shape[1] // 2), -(-surface.shape[0] // 2))
    small = cv2.resize(surface, half, interpolation=cv2.INTER_AREA)
    write_bytes(surface_path(path), cv2.imencode(".png", small)[1].tobytes())
