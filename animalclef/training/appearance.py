"""Change light, colours, sharpness and noise of a photograph, or paint parts over; geometry stays."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.structures.arrays import Pixels

__all__ = [
    "clahe",
    "compressed",
    "corner_cut",
    "erased",
    "noisy",
    "out_of_focus",
    "recoloured",
    "relit",
    "sharpened",
    "shrunk",
    "smeared",
    "surround_painted",
]

_LUMA = np.array([0.299, 0.587, 0.114])


def relit(pixels: Pixels, gain: NDArray[np.float64], contrast: float, gamma: float) -> Pixels:
    """Apply a gamma, a contrast about the mean, and a `gain` (3,) per colour; 1 changes nothing."""
    values = np.arange(256)[:, None] / 255
    middle = cv2.mean(pixels)[:3] @ _LUMA / 255
    table = ((values**gamma - middle**gamma) * contrast + middle**gamma) * gain
    return _bytes(cv2.LUT(pixels, np.clip(table * 255, 0, 255).round().astype(np.uint8)[None]))


def recoloured(pixels: Pixels, saturation: float, hue_rad: float = 0.0) -> Pixels:
    """Rotate colours about the grey axis and scale their saturation; saturation 0 is grey."""
    cos, third, root = np.cos(hue_rad), (1 - np.cos(hue_rad)) / 3, np.sin(hue_rad) / np.sqrt(3)
    turn = np.array([
        [cos + third, third - root, third + root],
        [third + root, cos + third, third - root],
        [third - root, third + root, cos + third],
    ])  # fmt: skip
    grey = np.broadcast_to(_LUMA, (3, 3))
    return _bytes(cv2.transform(pixels, saturation * turn + (1 - saturation) * grey))


def sharpened(pixels: Pixels, strength: float) -> Pixels:
    """Add the difference from a blurred copy."""
    blurred = cv2.GaussianBlur(pixels, (0, 0), 1.0)
    return _bytes(cv2.addWeighted(pixels, 1 + strength, blurred, -strength, 0))


def clahe(pixels: Pixels, limit: float) -> Pixels:
    """Equalise lightness in eight by eight parts, and keep colours."""
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(limit, (8, 8)).apply(np.ascontiguousarray(lab[..., 0]))
    return _bytes(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))


def out_of_focus(pixels: Pixels, sigma_px: float) -> Pixels:
    """Blur with a Gaussian."""
    return _bytes(cv2.GaussianBlur(pixels, (0, 0), max(sigma_px, 0.05)))


def smeared(pixels: Pixels, length_px: float, angle_rad: float) -> Pixels:
    """Blur along a line, as by motion."""
    half = max(1, round(length_px / 2))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), dtype=np.uint8)
    x, y = round(half * np.cos(angle_rad)), round(half * np.sin(angle_rad))
    cv2.line(kernel, (half - x, half - y), (half + x, half + y), 1)
    return _bytes(cv2.filter2D(pixels, -1, kernel.astype(np.float32) / kernel.sum()))


def shrunk(pixels: Pixels, share: float) -> Pixels:
    """Reduce to `share` of the resolution and enlarge again."""
    height, width = pixels.shape[:2]
    small = (max(1, round(width * share)), max(1, round(height * share)))
    reduced = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA)
    return _bytes(cv2.resize(reduced, (width, height), interpolation=cv2.INTER_LINEAR))


def noisy(pixels: Pixels, deviation: float, rng: np.random.Generator) -> Pixels:
    """Add normal noise, independent for each colour."""
    grain = rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(deviation)
    return _bytes(cv2.add(pixels, grain, dtype=cv2.CV_8U))


def compressed(pixels: Pixels, quality: int) -> Pixels:
    """Compress as JPEG and decode again."""
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    stored = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return _bytes(cv2.cvtColor(cv2.imdecode(stored, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))


def corner_cut(pixels: Pixels, most: float, rng: np.random.Generator) -> Pixels:
    """Paint a black triangle over one corner, along each side by up to the share `most` of it."""
    height, width = pixels.shape[:2]
    x, y = rng.integers(0, 2, 2) * (width - 1, height - 1)
    along, down = rng.uniform(0.1, 1, 2) * most * (width, height)
    triangle = np.array([(x, y), (x + (-along if x else along), y), (x, y + (-down if y else down))])
    return _bytes(cv2.fillConvexPoly(pixels.copy(), triangle.round().astype(np.int32), (0, 0, 0)))


def erased(pixels: Pixels, most: float, rng: np.random.Generator) -> Pixels:
    """Paint over one to four rectangles, together at most the share `most` of the area."""
    height, width = pixels.shape[:2]
    painted, count = pixels.copy(), int(rng.integers(1, 5))
    for _ in range(count):
        side, ratio = np.sqrt(rng.uniform(0.2, 1) * most / count), 2 ** rng.uniform(-0.75, 0.75)
        wide, high = int(min(1, side * ratio) * width), int(min(1, side / ratio) * height)
        left, top = int(rng.integers(width - wide + 1)), int(rng.integers(height - high + 1))
        painted[top : top + high, left : left + wide] = _paint((high, wide), rng)
    return painted


def surround_painted(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Paint over all but an ellipse that nearly fills the frame, so that the background carries no information."""
    height, width = pixels.shape[:2]
    middle = (0.5 + rng.uniform(-0.04, 0.04, 2)) * (width, height)
    axes = rng.uniform(0.95, 1.2, 2) * (width, height)
    inside = np.zeros((height, width), dtype=np.uint8)
    cv2.ellipse(inside, (tuple(middle), tuple(axes), rng.uniform(-10, 10)), 1, -1)
    painted = np.broadcast_to(_paint((height, width), rng), pixels.shape)
    return np.where(inside[..., None] > 0, pixels, painted)


def _paint(size_hw: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """Return one colour, or coarse noise around it."""
    colour = rng.integers(0, 256, 3).astype(np.float32)
    if rng.random() < 0.5 or min(size_hw) < 1:
        return colour.astype(np.uint8)[None, None]
    grain = rng.normal(0, 40, (-(-size_hw[0] // 4), -(-size_hw[1] // 4), 3)) + colour
    coarse = np.clip(grain, 0, 255).astype(np.uint8)
    return _bytes(cv2.resize(coarse, size_hw[::-1], interpolation=cv2.INTER_NEAREST))


def _bytes(pixels: object) -> Pixels:
    return np.asarray(pixels, dtype=np.uint8)
