"""Crop, turn and warp a photograph in one step, so that it is resampled once."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Frame", "draw_frame", "take"]

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]
_ALIASED = 1.5  # pixels of the photograph per pixel of the view above which they are averaged first


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


def take(pixels: Pixels, size_wh: tuple[int, int], frame: Frame, fill: tuple[int, int, int]) -> Pixels:
    """Return the pixels (h, w, 3) of a frame; what lies beyond the photograph is `fill`.

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
