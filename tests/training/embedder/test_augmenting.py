"""The recipes: sizes, what is drawn from the generator, what is kept of the animal."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from animalclef.config.embedder_training import (
    AugmentConfig,
    MiewIdAugmentConfig,
    StrongAugmentConfig,
    TripletAugmentConfig,
)
from animalclef.features.embedding.preprocessing import RESIZERS
from animalclef.training.embedder.augmentation import augment

RECIPES = ("none", "miewid", "triplet", "strong")
STILL: dict[str, Any] = {
    "turn_deg": 0, "least_crop": 1, "most_crop": 1, "stretch": 1, "perspective": 0, "light": 0, "saturation": 0,
    "hue": 0, "grey": 0, "blur": 0, "shrink": 0, "noise": 0, "jpeg": 0, "erase": 0, "surround": 0,
}  # fmt: skip


def strong(**settings: Any) -> AugmentConfig:
    """The strong recipe that does nothing but this."""
    return AugmentConfig(strong=StrongAugmentConfig(**{**STILL, **settings}))


def miewid(**settings: Any) -> AugmentConfig:
    still: dict[str, Any] = {"corner": 0, "detail": 0, "frame": 0, "colour": 0}
    return AugmentConfig(recipe="miewid", miewid=MiewIdAugmentConfig(**{**still, **settings}))


def triplet(**settings: Any) -> AugmentConfig:
    still: dict[str, Any] = {"turn_deg": 0, "jitter": 0, "least_crop": 1, "shear": 0, "stretch": 1}
    return AugmentConfig(recipe="triplet", triplet=TripletAugmentConfig(**{**still, **settings}))


def coat(width: int = 60, height: int = 40) -> NDArray[np.uint8]:
    """Smooth colours without any symmetry."""
    small = np.random.default_rng(4).integers(40, 215, (5, 7, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def changed(config: AugmentConfig, seed: int = 0, size: tuple[int, int] = (60, 40)) -> NDArray[np.uint8]:
    return augment(coat(), size, config, np.random.default_rng(seed))


@given(
    st.sampled_from(RECIPES), st.integers(1, 90), st.integers(1, 90), st.integers(1, 70), st.integers(1, 70),
    st.integers(0, 10**6),
)  # fmt: skip
def test_any_photograph_becomes_any_size_and_the_generator_alone_decides(
    recipe: Any, wide: int, high: int, width: int, height: int, seed: int
) -> None:
    pixels = coat(wide, high)
    before = pixels.copy()
    config = AugmentConfig(recipe=recipe, mirror=0.5)
    first, again = (augment(pixels, (width, height), config, np.random.default_rng(seed)) for _ in range(2))
    assert first.shape == (height, width, 3)
    assert first.dtype == np.uint8
    assert first.flags.c_contiguous
    assert np.array_equal(first, again)
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize("recipe", RECIPES)
def test_tiny_and_grey_photographs(recipe: Any) -> None:
    grey = np.repeat(np.arange(176, dtype=np.uint8).reshape(11, 16, 1), 3, axis=2)
    for seed in range(20):
        picture = augment(grey, (48, 32), AugmentConfig(recipe=recipe), np.random.default_rng(seed))
        assert picture.shape == (32, 48, 3)
        assert picture.std() > 1


@pytest.mark.parametrize("resize", sorted(RESIZERS))
@pytest.mark.parametrize("size", [(30, 30), (100, 80)])
def test_none_is_a_plain_resize(resize: str, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    picture = augment(coat(), size, AugmentConfig(recipe="none"), rng, resize=resize)
    assert np.array_equal(picture, RESIZERS[resize](coat(), size))
    assert rng.integers(1000) == np.random.default_rng(0).integers(1000)  # nothing was drawn


@pytest.mark.parametrize("config", [strong(), miewid(), triplet()])
def test_a_recipe_without_its_changes_leaves_the_photograph_as_it_is(config: AugmentConfig) -> None:
    assert np.abs(changed(config).astype(int) - coat()).max() <= 1


@pytest.mark.parametrize(
    "config",
    [
        strong(turn_deg=20),
        strong(least_crop=0.5),
        strong(most_crop=1.5),
        strong(stretch=1.5),
        strong(perspective=0.1),
        strong(light=1, brightness=0, contrast=0, gamma=0),
        strong(light=1, brightness=0.3, contrast=0, gamma=0, white_balance=0),
        strong(light=1, brightness=0, contrast=0.3, gamma=0, white_balance=0),
        strong(light=1, brightness=0, contrast=0, gamma=0.3, white_balance=0),
        strong(saturation=0.4),
        strong(hue=0.1),
        strong(grey=1),
        strong(blur=1, most_blur=0.1),
        strong(shrink=1, least_shrink=0.2),
        strong(noise=1),
        strong(jpeg=1),
        strong(erase=1),
        strong(surround=1),
        miewid(corner=1),
        miewid(detail=1),
        miewid(frame=1),
        miewid(colour=1),
        triplet(turn_deg=15),
        triplet(jitter=0.2),
        triplet(least_crop=0.6),
        triplet(shear=0.2),
        triplet(stretch=1.3),
    ],
)
def test_each_change_does_something_and_not_always_the_same(config: AugmentConfig) -> None:
    pictures = [changed(config, seed) for seed in range(4)]
    assert max(np.abs(picture.astype(int) - coat()).max() for picture in pictures) > 4
    if config.strong.grey < 1:
        assert len({picture.tobytes() for picture in pictures}) > 1


def handedness(picture: NDArray[np.uint8]) -> float:
    """Twice the area of the triangle red, green, blue: its sign turns round in a mirror."""
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    places = []
    for colour in range(3):
        weight = np.maximum(picture[..., colour].astype(float) - 2 * np.delete(picture, colour, 2).max(2), 0)
        assert weight.sum() > 0
        places.append(((columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()))
    (ax, ay), (bx, by), (cx, cy) = places
    return float((bx - ax) * (cy - ay) - (cx - ax) * (by - ay))


def dots() -> NDArray[np.uint8]:
    picture = np.zeros((60, 90, 3), dtype=np.uint8)
    for colour, place in enumerate([(30, 20), (62, 24), (40, 42)]):
        cv2.circle(picture, place, 5, tuple(255 if one == colour else 0 for one in range(3)), -1)
    return picture


MOVING = [
    strong(turn_deg=180, least_crop=0.7, most_crop=1.2, stretch=1.3, perspective=0.08),
    miewid(frame=1, shift=0.1, turn_deg=180),
    triplet(turn_deg=180, least_crop=0.8, shear=0.2, stretch=1.2),
]


@pytest.mark.parametrize("config", MOVING)
def test_nothing_is_mirrored_unless_asked_for(config: AugmentConfig) -> None:
    mirrored = config.model_copy(update={"mirror": 1.0})
    sometimes = config.model_copy(update={"mirror": 0.5})
    picture, wanted = dots(), handedness(dots())
    signs = []
    for seed in range(40):
        # the edges' own colour is black here, and other fills would count as dots
        as_it_is, other, either = (
            without_fill(augment(picture, (64, 64), one, np.random.default_rng(seed)))
            for one in (config, mirrored, sometimes)
        )
        assert handedness(as_it_is) * wanted > 0
        assert handedness(other) * wanted < 0
        signs.append(handedness(either) * wanted > 0)
    assert 8 < sum(signs) < 32


def without_fill(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with what touches its edge, other than black, made black."""
    filled = picture.copy()
    for y, x in [(0, 0), (0, -1), (-1, 0), (-1, -1)]:
        if picture[y, x].any():
            filled[(picture == picture[y, x]).all(axis=2)] = 0
    weak = filled.max(axis=2) < 180
    filled[weak] = 0
    return filled


def test_a_long_animal_stays_whole_when_turned() -> None:
    """An ellipse that nearly fills the photograph lies wholly within the picture at any angle, and nearly fills it."""
    picture = np.zeros((100, 300, 3), dtype=np.uint8)
    cv2.ellipse(picture, (150, 50), (142, 44), 0, 0, 360, (255, 255, 255), -1)
    for seed in range(12):
        turned = augment(picture, (80, 80), triplet(turn_deg=180), np.random.default_rng(seed))
        edge = np.concatenate([turned[0], turned[-1], turned[:, 0], turned[:, -1]])
        assert edge.max() < 40
        assert (turned > 128).any(axis=0).sum() > 70
        assert (turned > 128).any(axis=1).sum() > 70


def test_the_default_recipes_keep_most_of_the_photograph() -> None:
    """Of the middle of the photograph, where the animal is, at least two thirds are always in the picture."""
    picture = np.zeros((90, 120, 3), dtype=np.uint8)
    cv2.ellipse(picture, (60, 45), (40, 30), 0, 0, 360, (255, 255, 255), -1)
    framing = {name: StrongAugmentConfig().model_dump()[name] for name in ("least_crop", "most_crop", "perspective")}
    for seed in range(60):
        shown = augment(picture, (120, 90), strong(**framing, turn_deg=20), np.random.default_rng(seed))
        inside = np.count_nonzero(shown.min(axis=2) > 200)
        assert inside > 2 / 3 * np.pi * 40 * 30
