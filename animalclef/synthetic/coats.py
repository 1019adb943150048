"""Paint the skin of one animal: colour and relief on the coat sheet of its body."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from animalclef.structures.arrays import FloatArray
from animalclef.synthetic.bodies import SHEETS, Sheet, individual_body
from animalclef.synthetic.coat_regions import finish_newt, finish_quadruped, finish_turtle
from animalclef.synthetic.fields import floats, fractal_noise
from animalclef.synthetic.markings import draw_markings, individual_pattern
from animalclef.synthetic.species import BodyStyle, Palette, Species
from animalclef.synthetic.strokes import shifted

__all__ = ["Animal", "Coat", "body_of", "coat_of"]


@dataclass(frozen=True)
class Animal:
    """One individual: its species and its seed."""

    species: Species
    seed: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Coat:
    """A skin laid flat."""

    colour: FloatArray  # (H, W, 3) linear RGB, 0-1
    relief: FloatArray  # (H, W) height, body units
    mark: FloatArray  # (H, W) main marking, 0-1
    sheet: Sheet

    def __post_init__(self) -> None:
        if self.colour.shape != (*self.sheet.shape_hw, 3) or self.relief.shape != self.sheet.shape_hw:
            raise ValueError(f"Expected a coat of {self.sheet.shape_hw} texels, got {self.colour.shape}.")


def body_of(animal: Animal) -> BodyStyle:
    """Return the animal's proportions."""
    return individual_body(animal.species.body, np.random.default_rng((*animal.seed, 1)))


@lru_cache(maxsize=12)
def coat_of(animal: Animal, side: str) -> Coat:
    """Return the skin seen from `side`, one of `animal.species.sides`; the two flanks are different textures.

    Raises:
        ValueError: the species has no such side.
    """
    sides = animal.species.sides
    if side not in sides:
        raise ValueError(f"{animal.species.name} has the sides {sides}, got {side!r}.")
    shared = np.random.default_rng((*animal.seed, 2))
    pattern = individual_pattern(animal.species.pattern, shared)
    palette = _individual_palette(animal.species.palette, shared)
    rng = np.random.default_rng((*animal.seed, 3, sides.index(side)))
    body = animal.species.body
    sheet = SHEETS[body.family]
    marks = draw_markings(rng, sheet, pattern)
    if body.family == "quadruped":
        colour, relief = finish_quadruped(rng, sheet, marks, palette, body)
    elif body.family == "newt":
        colour, relief = finish_newt(rng, sheet, marks, palette)
    else:
        colour, relief = finish_turtle(rng, sheet, marks, palette, rays=pattern.family == "scutes")
    colour = np.clip(colour * _hair(rng, sheet, body.fur), 0.002, 1.0)
    return Coat(colour.astype(np.float32), relief, marks.mark, sheet)


def _hair(rng: np.random.Generator, sheet: Sheet, fur: float) -> FloatArray:
    """Return streaks along the body for fur, fine grain for bare skin, (H, W, 1)."""
    streaks = fractal_noise(rng, sheet.shape_hw, 2.2, octaves=1, stretch_xy=(3.5, 1.0))
    patches = fractal_noise(rng, sheet.shape_hw, 40.0, octaves=3)
    factor = np.exp((0.06 + 0.15 * fur) * streaks + 0.06 * patches)
    return floats(cv2.GaussianBlur(factor, (0, 0), 0.5))[..., None]


def _individual_palette(palette: Palette, rng: np.random.Generator) -> Palette:
    """Return the species' colours with the slight variation of one animal."""
    colours = (palette.base, palette.back, palette.pale, palette.mark, palette.accent)
    base, back, pale, mark, accent = (shifted(colour, rng, palette.drift, hue=0.3) for colour in colours)
    return Palette(base, back, pale, mark, accent, palette.drift)
