"""Augment a photograph at random by one of the recipes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from animalclef.config.embedder_training import AugmentConfig
from animalclef.features.embedding.preprocessing import RESIZERS
from animalclef.structures.arrays import Floats, Pixels
from animalclef.training.appearance import (
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

__all__ = ["Frame", "augment", "draw_frame", "take"]

Recipe = Callable[[Pixels, tuple[int, int], AugmentConfig, np.random.Generator], Pixels]

_ALIASED = 1.5  # pixels of the photograph per pixel of the view above which they are averaged first


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
    """
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
    fill = _edge_colour(pixels) if rng.random() < 0.5 else rng.integers(0, 256, 3).tolist()
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


def _edge_colour(pixels: Pixels) -> list[int]:
    """Return the mean colour of the photograph's outermost pixels."""
    rows = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return [round(value) for value in cv2.mean(rows[None])[:3]]


_RECIPES: Mapping[str, Recipe] = {"miewid": _miewid, "triplet": _triplet, "strong": _strong}


@dataclass(frozen=True)
class Frame:
    """A box on the photograph, all of it by default; lengths are shares of the box that holds the turned subject."""

    width: float = 1.0
    height: float = 1.0
    right: float = 0.0  # from the photograph's middle to the box's
    down: float = 0.0
    turn_rad: float = 0.0  # of the subject, clockwise as seen
    shear: float = 0.0  # widths per height
    corners: tuple[tuple[float, float], ...] = ((0.0, 0.0),) * 4  # offset of each corner
    mirrored: bool = False

    def source_corners(self, size_wh: tuple[int, int]) -> Floats:
        """Return the four corners (4, 2) on a photograph of this size, clockwise from the view's upper left one.

        Places are (x, y) pixels with 0 at the edge. A turned subject that fills the ellipse within the photograph fills
        the box as well, so that the ends of a long animal are not cut off and the margin stays small.
        """
        cos, sin = np.cos(self.turn_rad), np.sin(self.turn_rad)
        width, height = size_wh
        across = np.array([np.hypot(width * cos, height * sin), np.hypot(width * sin, height * cos)])
        unit = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
        box = unit * (self.width, self.height) + (self.right, self.down) + np.array(self.corners)
        box[:, 0] += self.shear * unit[:, 1]
        if self.mirrored:
            box = box[[1, 0, 3, 2]]
        turned_back = np.array([[cos, -sin], [sin, cos]])
        return np.asarray(box * across @ turned_back + (width / 2, height / 2))


def draw_frame(
    rng: np.random.Generator,
    *,
    area: tuple[float, float] = (1.0, 1.0),
    turn_deg: float = 0.0,
    stretch: float = 1.0,
    shear: float = 0.0,
    perspective: float = 0.0,
    mirror: float = 0.0,
) -> Frame:
    """Return a random frame whose area lies between the two shares, within the photograph as far as it fits."""
    side, ratio = np.sqrt(rng.uniform(*area)), stretch ** rng.uniform(-0.5, 0.5)
    width, height = side * ratio, side / ratio
    right, down = (rng.uniform(-0.5, 0.5) * abs(1 - length) for length in (width, height))
    corners = tuple((float(x), float(y)) for x, y in rng.uniform(-perspective, perspective, (4, 2)))
    turn, slant = np.radians(rng.uniform(-turn_deg, turn_deg)), rng.uniform(-shear, shear)
    return Frame(width, height, right, down, turn, slant, corners, bool(rng.random() < mirror))


def take(pixels: Pixels, size_wh: tuple[int, int], frame: Frame, fill: Sequence[int]) -> Pixels:
    """Return the pixels (h, w, 3) of a frame; what lies beyond the photograph is `fill` (3,).

    Edges are not reflected, as a mirrored coat is another animal's.
    """
    height, width = pixels.shape[:2]
    corners = frame.source_corners((width, height))
    reduced = _reduced(pixels, corners, size_wh)
    corners *= (reduced.shape[1] / width, reduced.shape[0] / height)
    target = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * size_wh
    to_source = cv2.getPerspectiveTransform((target - 0.5).astype(np.float32), (corners - 0.5).astype(np.float32))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    taken = cv2.warpPerspective(
        reduced, to_source, size_wh, flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=fill
    )
    return np.asarray(taken, dtype=np.uint8)


def _reduced(pixels: Pixels, corners: Floats, size_wh: tuple[int, int]) -> Pixels:
    """Return the photograph averaged along each side on which resampling would skip pixels."""
    height, width = pixels.shape[:2]
    per_x, per_y = (corners[1] - corners[0]) / size_wh[0], (corners[3] - corners[0]) / size_wh[1]
    moved = np.linalg.norm(np.linalg.pinv(np.column_stack([per_x, per_y])), axis=0)  # picture pixels per pixel
    least = [max(1, round(side * min(1.0, rate))) for side, rate in zip((width, height), moved, strict=True)]
    smaller = [low if low * _ALIASED < side else side for low, side in zip(least, (width, height), strict=True)]
    if smaller == [width, height]:
        return pixels
    return np.asarray(cv2.resize(pixels, tuple(smaller), interpolation=cv2.INTER_AREA), dtype=np.uint8)
