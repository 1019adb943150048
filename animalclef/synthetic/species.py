"""Define a species as plain values from which every animal is drawn: the three of the demo, and random ones."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

__all__ = [
    "DEMO_SPECIES",
    "BodyFamily",
    "BodyStyle",
    "Habitat",
    "Palette",
    "PatternFamily",
    "PatternStyle",
    "Rgb",
    "Species",
    "random_species",
]

Rgb = tuple[int, int, int]
BodyFamily = Literal["quadruped", "newt", "turtle"]
PatternFamily = Literal["spots", "rosettes", "stripes", "blotches", "reticulated", "scutes"]
Habitat = Literal["forest", "steppe", "snow", "litter", "moss", "tray", "reef", "sand"]


@dataclass(frozen=True)
class Palette:
    """Colours shared by all animals of a species, sRGB 0-255."""

    base: Rgb
    back: Rgb
    pale: Rgb
    mark: Rgb
    accent: Rgb
    drift: float = 0.05
    """Standard deviation of the individual log gain per colour."""

    def __post_init__(self) -> None:
        for name in ("base", "back", "pale", "mark", "accent"):
            colour = getattr(self, name)
            if len(colour) != 3 or not all(0 <= value <= 255 for value in colour):
                raise ValueError(f"Palette.{name} must be three numbers of 0-255, got {colour}.")


@dataclass(frozen=True)
class PatternStyle:
    """The coat's markings; lengths in body units (a trunk is about one unit long)."""

    family: PatternFamily
    wavelength: float
    """Spacing of the markings."""
    coverage: float
    """Share of the coat under markings, 0-1."""
    stretch: float = 1.0
    """Above 1 draws the markings out across the body axis, below 1 along it."""
    softness: float = 0.15
    """Width of a marking's edge in standard deviations of the pattern field."""
    jitter: float = 0.08
    """Individual drift of wavelength and coverage (standard deviation of the log)."""

    def __post_init__(self) -> None:
        if self.family not in get_args(PatternFamily):
            raise ValueError(f"Unknown pattern family {self.family!r}; choose one of {get_args(PatternFamily)}.")
        if not 0.02 <= self.wavelength <= 1.0 or not 0.0 < self.coverage < 1.0:
            raise ValueError(f"Expected wavelength 0.02-1 and coverage 0-1, got {self.wavelength} and {self.coverage}.")


@dataclass(frozen=True)
class BodyStyle:
    """Proportions of the body as factors of the family's (1: the same)."""

    family: BodyFamily
    girth: float = 1.0
    limb: float = 1.0
    tail: float = 1.0
    head: float = 1.0
    gloss: float = 0.0
    """Strength of the wet highlight, 0-1."""
    fur: float = 0.0
    """Strength of hair streaks and of the ragged outline, 0-1."""

    def __post_init__(self) -> None:
        if self.family not in get_args(BodyFamily):
            raise ValueError(f"Unknown body family {self.family!r}; choose one of {get_args(BodyFamily)}.")


@dataclass(frozen=True)
class Species:
    """One synthetic species and the conditions in which it is photographed."""

    name: str
    palette: Palette
    pattern: PatternStyle
    body: BodyStyle
    habitats: tuple[Habitat, ...]
    image_size_wh: tuple[int, int]
    """Median photograph, width then height, pixels."""
    infrared_share: float = 0.0
    """Share of the visits photographed by night, in infrared."""
    clutter: float = 0.5
    """Chance that something stands in front of the animal, 0-1."""

    @property
    def sides(self) -> tuple[str, ...]:
        """Return the views that show different skin: both flanks of a quadruped, else only `top`."""
        return ("left", "right") if self.body.family == "quadruped" else ("top",)


DEMO_SPECIES: tuple[Species, ...] = (
    Species(
        name="SpottedCatDemo",
        palette=Palette((190, 142, 88), (158, 110, 66), (232, 216, 190), (44, 32, 25), (160, 104, 54)),
        pattern=PatternStyle("rosettes", wavelength=0.122, coverage=0.48, softness=0.22),
        body=BodyStyle("quadruped", fur=0.8),
        habitats=("forest", "forest", "steppe"),
        image_size_wh=(500, 350),
        infrared_share=0.2,
        clutter=0.5,
    ),
    Species(
        name="FireNewtDemo",
        palette=Palette((36, 33, 34), (28, 26, 28), (70, 62, 58), (238, 178, 32), (92, 66, 40)),
        pattern=PatternStyle("blotches", wavelength=0.17, coverage=0.36, softness=0.12, jitter=0.12),
        body=BodyStyle("newt", gloss=0.4),
        habitats=("litter", "moss", "tray", "tray"),
        image_size_wh=(400, 390),
        clutter=0.2,
    ),
    Species(
        name="SeaTurtleDemo",
        palette=Palette((142, 98, 54), (108, 72, 42), (214, 190, 140), (58, 38, 26), (196, 142, 70)),
        pattern=PatternStyle("scutes", wavelength=0.16, coverage=0.35),
        body=BodyStyle("turtle", gloss=0.15),
        habitats=("reef", "sand"),
        image_size_wh=(216, 183),
        clutter=0.4,
    ),
)

_FAMILIES: dict[BodyFamily, tuple[PatternFamily, ...]] = {
    "quadruped": ("spots", "rosettes", "stripes", "reticulated", "blotches"),
    "newt": ("blotches", "spots", "stripes", "reticulated"),
    "turtle": ("scutes", "scutes", "spots", "blotches", "reticulated"),
}
_HABITATS: dict[BodyFamily, tuple[Habitat, ...]] = {
    "quadruped": ("forest", "steppe", "snow"),
    "newt": ("litter", "moss", "tray"),
    "turtle": ("reef", "sand"),
}
_SIZES: dict[BodyFamily, tuple[int, int]] = {"quadruped": (420, 320), "newt": (360, 340), "turtle": (280, 240)}


def random_species(rng: np.random.Generator) -> Species:
    """Return a random synthetic species, for example to train an embedder.

    Its name is drawn too; two draws from one generator differ.
    """
    family: BodyFamily = ("quadruped", "newt", "turtle")[rng.integers(3)]
    choices = _FAMILIES[family]
    return Species(
        name=f"Random{family.capitalize()}{int(rng.integers(1_000_000)):06d}",
        palette=_random_palette(rng, vivid=family == "newt" and rng.random() < 0.4),
        pattern=_random_pattern(choices[rng.integers(len(choices))], rng),
        body=_random_body(family, rng),
        habitats=_HABITATS[family],
        image_size_wh=_SIZES[family],
        infrared_share=rng.uniform(0.0, 0.3) if family == "quadruped" else 0.0,
        clutter=rng.uniform(0.2, 0.6),
    )


def _random_pattern(family: PatternFamily, rng: np.random.Generator) -> PatternStyle:
    return PatternStyle(
        family,
        wavelength=rng.uniform(0.09, 0.19),
        coverage=rng.uniform(0.25, 0.55),
        stretch=float(np.exp(rng.normal(0.0, 0.25))),
        softness=rng.uniform(0.1, 0.35),
        jitter=rng.uniform(0.04, 0.14),
    )


def _random_body(family: BodyFamily, rng: np.random.Generator) -> BodyStyle:
    girth, limb, tail, head = np.exp(rng.normal(0.0, 0.1, 4)).tolist()
    furred = family == "quadruped"
    return BodyStyle(
        family,
        girth=girth,
        limb=limb,
        tail=tail if family != "quadruped" else tail * rng.uniform(0.3, 1.1),
        head=head,
        gloss=0.0 if furred else rng.uniform(0.1, 0.8),
        fur=rng.uniform(0.4, 1.0) if furred else 0.0,
    )


def _random_palette(rng: np.random.Generator, *, vivid: bool) -> Palette:
    """Return an earthy, grey or vivid base colour with contrasting dark or pale markings."""
    hue = rng.random() if vivid else rng.normal(0.09, 0.035) % 1.0
    strength = rng.uniform(0.5, 0.85) if vivid else rng.uniform(0.05, 0.55)
    bright = rng.uniform(0.5, 0.85) if rng.random() < 0.65 else rng.uniform(0.12, 0.25)
    mark_value = rng.uniform(0.08, 0.24) if bright > 0.4 else rng.uniform(0.65, 0.95)
    mark_hue = (hue + rng.normal(0.0, 0.04)) % 1.0
    return Palette(
        base=_rgb(hue, strength, bright),
        back=_rgb(hue, strength, 0.8 * bright),
        pale=_rgb(hue, 0.4 * strength, min(1.0, 0.3 + 0.75 * bright)),
        mark=_rgb(mark_hue, rng.uniform(0.2, 0.8), mark_value),
        accent=_rgb(hue, min(1.0, 1.2 * strength), 0.5 * (0.8 * bright + mark_value)),
    )


def _rgb(hue: float, saturation: float, value: float) -> Rgb:
    red, green, blue = (round(255 * c) for c in colorsys.hsv_to_rgb(hue % 1.0, saturation, value))
    return red, green, blue
