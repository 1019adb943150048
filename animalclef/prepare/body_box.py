"""Find the box of an animal in its outline: around it, or along its body with the head up."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.structures import WHOLE_XYWHR, FloatArray
from animalclef.structures.arrays import BoolArray

__all__ = ["body_box", "cut_out_box", "disc", "is_whole", "large_patches", "outline_box", "plain_ground"]

Bytes = NDArray[np.uint8]
Box = tuple[float, float, float, float, float]  # x, y, width, height, clockwise rotation in radians about the centre

_EMPTY = "the mask is empty: there is no animal to put a box around."
_RIM = 0.01  # of the long side: this near to the edge is ground
_SAME = 12  # of 255: colours this near to the rim's are ground
_PLAIN = 0.9  # of the rim must be of one colour
_LEAST, _MOST = 0.005, 0.9  # of the photograph: an animal outside these is none
_WHOLE = 0.8  # of the animal must be one patch
_PART = 0.05  # of the largest patch: smaller ones are no part of the animal
_HOLE = 0.02  # of the animal: smaller holes are glare or dirt on it
_MARGIN = 0.06  # of a side, added to it
_NEARLY_ALL = 0.9  # of the photograph: a cut-out as large as this is the photograph itself
_WIDE = 0.65  # of the largest half width: the body, beside it are limbs, neck and tail
_LIMB = 0.45  # of the largest half width: what is narrower is no part of the box


def plain_ground(pixels: Bytes) -> BoolArray | None:
    """(H, W), true on the animal of an (H, W, 3) photograph; `None` where its rim is not of one colour."""
    rim = max(1, round(_RIM * max(pixels.shape)))
    edges = (pixels[:rim], pixels[-rim:], pixels[:, :rim], pixels[:, -rim:])
    colours = np.concatenate([edge.reshape(-1, 3) for edge in edges]).astype(np.int16)
    ground = np.median(colours, axis=0)
    if (np.abs(colours - ground).max(axis=1) <= _SAME).mean() < _PLAIN:
        return None
    differs = np.abs(pixels - ground).max(axis=2) > _SAME
    animal = _largest(differs) > 0
    whole = animal.sum() >= _WHOLE * differs.sum()
    return animal if whole and _LEAST <= animal.mean() <= _MOST else None


def is_whole(mask: BoolArray) -> bool:
    """Whether nearly all of an (H, W) mask is one patch."""
    return bool(_largest(mask).sum() >= _WHOLE * mask.sum())


def outline_box(mask: BoolArray, margin: float = _MARGIN) -> Box:
    """Return the upright box around an (H, W) mask without its specks, wider by `margin` of each side, in its pixels.

    Raises:
        ValueError: the mask is empty.
    """
    if not mask.any():
        raise ValueError(_EMPTY)
    x, y, width, height = cv2.boundingRect(large_patches(mask, _PART).astype(np.uint8))
    margin_x, margin_y = margin * width / 2, margin * height / 2
    return x - margin_x, y - margin_y, width + 2 * margin_x, height + 2 * margin_y, 0.0


def body_box(mask: BoolArray) -> Box:
    """The box along the body of an animal seen from above or below, head up once it is cut out; in the mask's pixels.

    Of the parts beside the wide middle of the outline the tail is the one whose end is the farthest along the animal.
    The box lies along the principal axis of what is left without tail and limbs, away from where the tail begins.
    Without a tail, as long as the body is half wide, it is turned the least.

    Raises:
        ValueError: the mask is empty.
    """
    animal = _filled(mask)
    half_width = cv2.distanceTransform(np.pad(animal, 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    widest = float(half_width.max())
    wide = cv2.dilate((half_width >= _WIDE * widest).astype(np.uint8), disc(_WIDE * widest)) & animal
    tail = _longest_part(animal, wide, widest)
    body = cv2.morphologyEx(animal & (1 - tail), cv2.MORPH_OPEN, disc(_LIMB * widest))
    places = _places(_largest(body) if body.any() else animal)
    centre = places.mean(axis=0)
    axis = np.linalg.svd(places - centre, full_matrices=False)[2][0]
    towards = _places(cv2.dilate(tail, disc(1)) & wide)
    behind = (towards.mean(axis=0) - centre) @ axis if len(towards) else axis[1]
    head = -axis if behind > 0 else axis
    return _along(places, head)


def cut_out_box(
    mask: BoolArray, size_wh: tuple[int, int], margin: float = _MARGIN, *, along_body: bool = False
) -> FloatArray:
    """Return the box (5,) around the animal, in pixels of a photograph of `size_wh`; NaN for the whole photograph.

    An upright box is widened by `margin` of each side and stays inside the photograph. With `along_body` it is turned
    along the animal, head up, where the animal is in one piece. A box of nearly the whole photograph is none.

    >>> mask = np.zeros((40, 60), dtype=bool)
    >>> mask[10:20, 30:50] = True
    >>> cut_out_box(mask, (120, 80), 0.1).tolist()
    [58.0, 19.0, 44.0, 22.0, 0.0]
    """
    if not mask.any():
        return WHOLE_XYWHR
    scale_x, scale_y = size_wh[0] / mask.shape[1], size_wh[1] / mask.shape[0]
    if along_body and is_whole(mask):
        x, y, width, height, rotation_rad = body_box(mask)
        scale = (scale_x + scale_y) / 2
        centre_x, centre_y = (x + width / 2) * scale_x, (y + height / 2) * scale_y
        width, height = width * scale, height * scale
        sides = np.round([centre_x - width / 2, centre_y - height / 2, width, height], 2)
        return np.array([*sides, round(rotation_rad, 5)], np.float32)
    x, y, width, height, _ = outline_box(mask, margin)
    left, top = max(0.0, x * scale_x), max(0.0, y * scale_y)
    right, bottom = min(size_wh[0], (x + width) * scale_x), min(size_wh[1], (y + height) * scale_y)
    if (right - left) * (bottom - top) >= _NEARLY_ALL * size_wh[0] * size_wh[1]:
        return WHOLE_XYWHR
    return np.array([*np.round([left, top, right - left, bottom - top], 2), 0.0], np.float32)


def _along(places: NDArray[np.float64], head: NDArray[np.float64]) -> Box:
    """The box around points, whose upper side is the end that `head`, of length 1, shows to."""
    right = np.array([-head[1], head[0]])
    up, across = places @ head, places @ right
    height, width = ((1 + _MARGIN) * (np.ptp(side) + 1) for side in (up, across))  # a pixel's centre is not its rim
    x, y = head * (up.min() + up.max()) / 2 + right * (across.min() + across.max()) / 2
    rotation = np.arctan2(head[0], -head[1])
    return float(x - width / 2), float(y - height / 2), float(width), float(height), float(rotation)


def _longest_part(animal: Bytes, body: Bytes, least: float) -> Bytes:
    """The patch beside the body whose end is the farthest from it on a way within the animal; empty below `least`."""
    reached, last, steps = body, np.zeros_like(body), 0
    while True:
        grown = cv2.dilate(reached, disc(1)) & animal
        added = grown & (1 - reached)
        if not added.any():
            break
        reached, last, steps = grown, added, steps + 1
    if steps < least:
        return np.zeros_like(body)
    labels = cv2.connectedComponents(animal & (1 - body))[1]
    return np.asarray(labels == labels[last > 0].min(), dtype=np.uint8)


def _filled(mask: BoolArray) -> Bytes:
    """The largest patch of a mask as 0 and 1, without small holes; a curled tail goes round a large one."""
    if not mask.any():
        raise ValueError(_EMPTY)
    animal = _largest(mask)
    labels, statistics = cv2.connectedComponentsWithStats(1 - animal, connectivity=4)[1:3]
    small = statistics[:, cv2.CC_STAT_AREA] < _HOLE * animal.sum()
    return np.asarray((animal > 0) | small[labels], dtype=np.uint8)


def _largest(mask: BoolArray | Bytes) -> Bytes:
    labels, area = _patches(mask)
    return np.asarray((labels == area.argmax()) & (mask > 0), dtype=np.uint8)


def large_patches(mask: BoolArray, least: float, connectivity: int = 4) -> BoolArray:
    """Return an (H, W) mask without the patches that are smaller than the share `least` of its largest one."""
    labels, area = _patches(mask, connectivity)
    return np.asarray((area >= least * area.max())[labels] & mask)


def _patches(mask: BoolArray | Bytes, connectivity: int = 4) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(H, W) the number of the patch that each pixel is of, and the area by number; 0 is the ground, with area 0."""
    labels, statistics = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=connectivity)[1:3]
    area = statistics[:, cv2.CC_STAT_AREA].copy()
    area[0] = 0
    return np.asarray(labels, dtype=np.int32), np.asarray(area, dtype=np.int32)


def _places(mask: Bytes) -> NDArray[np.float64]:
    """(n, 2) x and y of the pixels' centres."""
    return np.asarray(np.argwhere(mask)[:, ::-1] + 0.5, dtype=np.float64)


def disc(radius: float) -> Bytes:
    """Return a disc for dilations, 0 and 1; its radius is rounded to whole pixels, 1 at the least."""
    size = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), dtype=np.uint8)
