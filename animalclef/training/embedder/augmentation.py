"""Augment a photograph at random by one of the recipes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.config.embedder_training import AugmentConfig
from animalclef.features.embedding.preprocessing import RESIZERS
from animalclef.training.embedder.appearance import (
    clahe,
    compressed,
    corner_cut,
    erased,
    noisy,
    out_of_focus,
    recoloured,
    relit,
    sharpened,
    shrunk,
    smeared,
    surround_painted,
)
from animalclef.training.embedder.framing import Frame, draw_frame, take

__all__ = ["augment"]

Pixels = NDArray[np.uint8]
Recipe = Callable[[Pixels, tuple[int, int], AugmentConfig, np.random.Generator], Pixels]


def augment(
    pixels: Pixels,
    size_wh: tuple[int, int],
    config: AugmentConfig,
    rng: np.random.Generator,
    *,
    resize: str = "opencv-adaptive",
) -> Pixels:
    """Return an augmented view (h, w, 3) of exactly this size, of a photograph (H, W, 3) of any size.

    The recipe `none` resizes with `resize`, a key of `RESIZERS`; the others warp. `mirror` is the share of mirrored
    views.

    Raises:
        ValueError: the photograph is empty or not (H, W, 3) bytes, or the size is not positive.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"Expected bytes of shape (H, W, 3); got {pixels.dtype} of shape {pixels.shape}.")
    if min(size_wh) < 1:
        raise ValueError(f"Expected a width and height of one pixel or more; got {size_wh}.")
    if config.recipe == "none":
        return RESIZERS[resize](pixels, size_wh)
    return np.ascontiguousarray(_RECIPES[config.recipe](np.ascontiguousarray(pixels), size_wh, config, rng))


def _miewid(pixels: Pixels, size_wh: tuple[int, int], config: AugmentConfig, rng: np.random.Generator) -> Pixels:
    own, frame = config.miewid, Frame(mirrored=bool(rng.random() < config.mirror))
    if rng.random() < own.frame:
        side = 1 / (1 + rng.uniform(-own.scale, own.scale))
        right, down = rng.uniform(-own.shift, own.shift, 2)
        turn = np.radians(rng.uniform(-own.turn_deg, own.turn_deg))
        frame = Frame(side, side, right, down, turn, mirrored=frame.mirrored)
    picture = take(pixels, size_wh, frame, (0, 0, 0))
    if rng.random() < own.detail:
        picture = _detail(picture, rng)
    if rng.random() < own.colour:
        picture = _jittered(picture, own.jitter, own.jitter, rng)
    return corner_cut(picture, own.corner_size, rng) if rng.random() < own.corner else picture


def _triplet(pixels: Pixels, size_wh: tuple[int, int], config: AugmentConfig, rng: np.random.Generator) -> Pixels:
    own = config.triplet
    frame = draw_frame(
        rng, area=(own.least_crop, 1.0), turn_deg=own.turn_deg, stretch=own.stretch, shear=own.shear,
        mirror=config.mirror,
    )  # fmt: skip
    return _jittered(take(pixels, size_wh, frame, _edge_colour(pixels)), own.jitter, 0.0, rng)


def _strong(pixels: Pixels, size_wh: tuple[int, int], config: AugmentConfig, rng: np.random.Generator) -> Pixels:
    own = config.strong
    frame = draw_frame(
        rng, area=(own.least_crop, own.most_crop), turn_deg=own.turn_deg, stretch=own.stretch,
        perspective=own.perspective, mirror=config.mirror,
    )  # fmt: skip
    fill = _edge_colour(pixels) if rng.random() < 0.5 else _any_colour(rng)
    picture = take(pixels, size_wh, frame, fill)
    if rng.random() < own.light:
        gain = rng.uniform(-own.brightness, own.brightness) + rng.uniform(-own.white_balance, own.white_balance, 3)
        gamma = 1 + rng.uniform(-own.gamma / 2, own.gamma)
        picture = relit(picture, 1 + gain, 1 + rng.uniform(-own.contrast, own.contrast), gamma)
    if rng.random() < own.grey:
        picture = recoloured(picture, 0.0)
    else:
        turn = 2 * np.pi * rng.uniform(-own.hue, own.hue)
        picture = recoloured(picture, 1 + rng.uniform(-own.saturation, own.saturation), turn)
    picture = _stored_badly(picture, config, rng)
    if rng.random() < own.surround:
        picture = surround_painted(picture, rng)
    return erased(picture, own.most_erased, rng) if rng.random() < own.erase else picture


def _stored_badly(picture: Pixels, config: AugmentConfig, rng: np.random.Generator) -> Pixels:
    """Blur, reduce, add noise or JPEG artefacts, each as often as the strong recipe says."""
    own = config.strong
    if rng.random() < own.blur:
        width = rng.uniform(0.1, 1) * own.most_blur * max(picture.shape)
        if rng.random() < 0.5:
            picture = out_of_focus(picture, width)
        else:
            picture = smeared(picture, 3 * width, rng.uniform(0, np.pi))
    if rng.random() < own.shrink:
        picture = shrunk(picture, rng.uniform(own.least_shrink, 1))
    if rng.random() < own.noise:
        picture = noisy(picture, rng.uniform(0, own.most_noise), rng)
    if rng.random() < own.jpeg:
        picture = compressed(picture, int(rng.integers(own.least_quality, 101)))
    return picture


def _detail(picture: Pixels, rng: np.random.Generator) -> Pixels:
    which = int(rng.integers(3))
    if which == 0:
        return sharpened(picture, rng.uniform(0.2, 1.0))
    return recoloured(picture, 0.0) if which == 1 else clahe(picture, rng.uniform(1, 4))


def _jittered(picture: Pixels, strength: float, hue: float, rng: np.random.Generator) -> Pixels:
    """Change brightness, contrast and saturation by up to a share, and the hue by up to a share of a turn."""
    brightness, contrast, saturation = 1 + rng.uniform(-strength, strength, 3)
    turn = 2 * np.pi * rng.uniform(-hue, hue)
    return recoloured(relit(picture, np.full(3, brightness), contrast, 1.0), saturation, turn)


def _edge_colour(pixels: Pixels) -> tuple[int, int, int]:
    """Return the mean colour of the photograph's outermost pixels."""
    rows = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = (round(float(value)) for value in cv2.mean(rows[None])[:3])
    return red, green, blue


def _any_colour(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
    return red, green, blue


_RECIPES: Mapping[str, Recipe] = MappingProxyType({"miewid": _miewid, "triplet": _triplet, "strong": _strong})
