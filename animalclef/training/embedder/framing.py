"""Which part of a photograph a changed picture shows, and from where: one warp, so that it is resampled once."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Frame", "draw_frame", "take"]

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]
_ALIASED = 1.5  # pixels of the photograph per pixel of the picture above which they are averaged first


@dataclass(frozen=True)
class Frame:
    """A box on the photograph, all of it by default; lengths are shares of the box that holds the turned subject."""

    width: float = 1.0
    height: float = 1.0
    right: float = 0.0  # how far the box's middle lies from the photograph's
    down: float = 0.0
    turn_rad: float = 0.0  # of the subject, clockwise as seen
    shear: float = 0.0  # widths per height
    corners: tuple[tuple[float, float], ...] = ((0.0, 0.0),) * 4  # how far each corner moves besides
    mirrored: bool = False

    def source_corners(self, size_wh: tuple[int, int]) -> Floats:
        """The four corners (4, 2) on a photograph of this size, from the picture's upper left one clockwise.

        Places are (x, y) pixels with 0 at the edge. A turned subject that fills the ellipse within the photograph fills
        the box as well, so a long animal is neither cut off at its ends nor lost in a large margin.
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
    """A random frame that shows between the two shares of the area, and lies within the photograph as far as it can."""
    side, ratio = np.sqrt(rng.uniform(*area)), stretch ** rng.uniform(-0.5, 0.5)
    width, height = side * ratio, side / ratio
    right, down = (rng.uniform(-0.5, 0.5) * abs(1 - length) for length in (width, height))
    corners = tuple((float(x), float(y)) for x, y in rng.uniform(-perspective, perspective, (4, 2)))
    turn, slant = np.radians(rng.uniform(-turn_deg, turn_deg)), rng.uniform(-shear, shear)
    return Frame(width, height, right, down, turn, slant, corners, bool(rng.random() < mirror))


def take(pixels: Pixels, size_wh: tuple[int, int], frame: Frame, fill: tuple[int, int, int]) -> Pixels:
    """The picture (h, w, 3) that a frame shows; what lies beyond the photograph is `fill`.

    Nothing is reflected at the edges: a mirrored coat is another animal's.
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
    """The photograph with its pixels averaged along each side where a picture would leave some of them out."""
    height, width = pixels.shape[:2]
    per_x, per_y = (corners[1] - corners[0]) / size_wh[0], (corners[3] - corners[0]) / size_wh[1]
    moved = np.linalg.norm(np.linalg.pinv(np.column_stack([per_x, per_y])), axis=0)  # picture pixels per pixel
    least = [max(1, round(side * min(1.0, rate))) for side, rate in zip((width, height), moved, strict=True)]
    smaller = [low if low * _ALIASED < side else side for low, side in zip(least, (width, height), strict=True)]
    if smaller == [width, height]:
        return pixels
    return np.asarray(cv2.resize(pixels, tuple(smaller), interpolation=cv2.INTER_AREA), dtype=np.uint8)
