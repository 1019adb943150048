"""Draw visits: one place at one date in one light, shared by the animals photographed there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from animalclef.synthetic.species import Habitat, Species

__all__ = ["Light", "LightMode", "Visit", "draw_dates", "draw_visit"]

LightMode = Literal["sun", "overcast", "dusk", "flash", "infrared", "water"]
_Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Light:
    """Direction and colours of the light, linear RGB."""

    mode: LightMode
    towards_xyz: tuple[float, float, float]
    """Unit vector to the lamp or sun: x right, y down, z to the camera."""
    direct: _Colour
    ambient: _Colour


@dataclass(frozen=True)
class Visit:
    """Place, date and light of one encounter."""

    habitat: Habitat
    place_seed: tuple[int, ...]
    light: Light
    date: str
    """YYYY-MM-DD."""


def draw_visit(species: Species, place_seed: tuple[int, ...], date: str, rng: np.random.Generator) -> Visit:
    """Return a visit to a place; the habitat depends on the place alone, the light is drawn from `rng`."""
    habitat = species.habitats[int(np.random.default_rng((*place_seed, 0)).integers(len(species.habitats)))]
    return Visit(habitat, place_seed, _draw_light(species, habitat, rng), date)


def draw_dates(count: int, rng: np.random.Generator) -> list[str]:
    """Return different days within seven years, YYYY-MM-DD."""
    days: list[str] = (np.datetime64("2016-04-01") + rng.choice(2500, count, replace=False)).astype(str).tolist()
    return days


def _draw_light(species: Species, habitat: Habitat, rng: np.random.Generator) -> Light:
    if rng.random() < species.infrared_share:
        return Light("infrared", _unit(rng.normal(0, 0.15), rng.normal(-0.2, 0.1), 1.0), (1.1,) * 3, (0.12,) * 3)
    if habitat in ("reef", "sand"):
        direct, ambient = _coloured(rng, 0.75, (0.62, 0.95, 1.0)), _coloured(rng, 0.5, (0.4, 0.85, 1.0))
        return Light("water", _unit(rng.normal(0, 0.35), rng.normal(0, 0.35), 1.0), direct, ambient)
    mode: LightMode = ("sun", "overcast", "dusk", "flash")[int(rng.choice(4, p=[0.4, 0.3, 0.15, 0.15]))]
    if mode == "flash":
        return Light(mode, _unit(rng.normal(0, 0.12), rng.normal(-0.1, 0.1), 1.0), (0.9, 0.92, 0.95), (0.25,) * 3)
    strength, warmth = {"sun": (1.1, 0.06), "overcast": (0.28, -0.04), "dusk": (0.7, 0.3)}[mode]
    direct = _coloured(rng, strength, (1.0 + warmth, 1.0, 1.0 - warmth))
    ambient = _coloured(rng, 0.4 if mode != "overcast" else 0.75, (0.94, 0.98, 1.06))
    side = species.body.family == "quadruped"
    height = -1.0 if side else rng.normal(0.0, 0.6)
    return Light(mode, _unit(rng.normal(0.0, 0.7), height, rng.uniform(0.6, 1.1)), direct, ambient)


def _coloured(rng: np.random.Generator, strength: float, tint: _Colour) -> _Colour:
    red, green, blue = (strength * np.array(tint) * np.exp(rng.normal(0, 0.06, 3))).tolist()
    return red, green, blue


def _unit(x: float, y: float, z: float) -> tuple[float, float, float]:
    length = math.sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length
