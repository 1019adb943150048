"""Define a species: palette, pattern and body, as plain values from which every animal is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

__all__ = [
    "BodyFamily",
    "BodyStyle",
    "Habitat",
    "Palette",
    "PatternFamily",
    "PatternStyle",
    "Rgb",
    "Species",
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
    noun: str
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
