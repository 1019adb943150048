"""Define the three species of the demo, and draw random ones for training."""

from __future__ import annotations

import colorsys

import numpy as np

from animalclef.synthetic.species import (
    BodyFamily,
    BodyStyle,
    Habitat,
    Palette,
    PatternFamily,
    PatternStyle,
    Rgb,
    Species,
)

__all__ = ["DEMO_SPECIES", "random_species"]

DEMO_SPECIES: tuple[Species, ...] = (
    Species(
        name="SpottedCatDemo",
        noun="cat",
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
        noun="newt",
        palette=Palette((36, 33, 34), (28, 26, 28), (70, 62, 58), (238, 178, 32), (92, 66, 40)),
        pattern=PatternStyle("blotches", wavelength=0.17, coverage=0.36, softness=0.12, jitter=0.12),
        body=BodyStyle("newt", gloss=0.4),
        habitats=("litter", "moss", "tray", "tray"),
        image_size_wh=(400, 390),
        clutter=0.2,
    ),
    Species(
        name="SeaTurtleDemo",
        noun="turtle",
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
    family: BodyFamily = ("quadruped", "newt", "turtle")[int(rng.integers(3))]
    choices = _FAMILIES[family]
    return Species(
        name=f"Random{family.capitalize()}{int(rng.integers(1_000_000)):06d}",
        noun=family,
        palette=_random_palette(rng, vivid=family == "newt" and bool(rng.random() < 0.4)),
        pattern=_random_pattern(choices[int(rng.integers(len(choices)))], rng),
        body=_random_body(family, rng),
        habitats=_HABITATS[family],
        image_size_wh=_SIZES[family],
        infrared_share=float(rng.uniform(0.0, 0.3)) if family == "quadruped" else 0.0,
        clutter=float(rng.uniform(0.2, 0.6)),
    )


def _random_pattern(family: PatternFamily, rng: np.random.Generator) -> PatternStyle:
    return PatternStyle(
        family,
        wavelength=float(rng.uniform(0.09, 0.19)),
        coverage=float(rng.uniform(0.25, 0.55)),
        stretch=float(np.exp(rng.normal(0.0, 0.25))),
        softness=float(rng.uniform(0.1, 0.35)),
        jitter=float(rng.uniform(0.04, 0.14)),
    )


def _random_body(family: BodyFamily, rng: np.random.Generator) -> BodyStyle:
    girth, limb, tail, head = (float(f) for f in np.exp(rng.normal(0.0, 0.1, 4)))
    furred = family == "quadruped"
    return BodyStyle(
        family,
        girth=girth,
        limb=limb,
        tail=tail if family != "quadruped" else tail * float(rng.uniform(0.3, 1.1)),
        head=head,
        gloss=0.0 if furred else float(rng.uniform(0.1, 0.8)),
        fur=float(rng.uniform(0.4, 1.0)) if furred else 0.0,
    )


def _random_palette(rng: np.random.Generator, *, vivid: bool) -> Palette:
    """Return an earthy, grey or vivid base colour with contrasting dark or pale markings."""
    hue = float(rng.random()) if vivid else float(rng.normal(0.09, 0.035)) % 1.0
    strength = float(rng.uniform(0.5, 0.85)) if vivid else float(rng.uniform(0.05, 0.55))
    bright = float(rng.uniform(0.5, 0.85)) if rng.random() < 0.65 else float(rng.uniform(0.12, 0.25))
    mark_value = float(rng.uniform(0.08, 0.24)) if bright > 0.4 else float(rng.uniform(0.65, 0.95))
    mark_hue = (hue + float(rng.normal(0.0, 0.04))) % 1.0
    return Palette(
        base=_rgb(hue, strength, bright),
        back=_rgb(hue, strength, 0.8 * bright),
        pale=_rgb(hue, 0.4 * strength, min(1.0, 0.3 + 0.75 * bright)),
        mark=_rgb(mark_hue, float(rng.uniform(0.2, 0.8)), mark_value),
        accent=_rgb(hue, min(1.0, 1.2 * strength), 0.5 * (0.8 * bright + mark_value)),
    )


def _rgb(hue: float, saturation: float, value: float) -> Rgb:
    red, green, blue = (round(255 * c) for c in colorsys.hsv_to_rgb(hue % 1.0, saturation, value))
    return red, green, blue
