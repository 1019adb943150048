"""Draw leaves, blades, twigs and pebbles with soft edges on 8-bit canvases."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.synthetic.fields import rotation
from animalclef.synthetic.species import Rgb

__all__ = ["ByteImage", "blades", "leaf", "pebble", "shifted", "twig"]

ByteImage = NDArray[np.uint8]
_SHIFT = 4  # fractional bits of the drawing coordinates


def shifted(colour: Rgb, rng: np.random.Generator, amount: float, hue: float = 0.15) -> Rgb:
    """Return a similar colour: brightness changed by about `amount` (log), each channel by the share `hue` of it."""
    gain = np.exp(rng.normal(0.0, amount) + rng.normal(0.0, hue * amount, 3))
    red, green, blue = (int(v) for v in np.clip(np.array(colour) * gain, 0, 255))
    return red, green, blue


def _scaled(colour: Rgb, gain: float) -> Rgb:
    red, green, blue = (min(255, int(gain * value)) for value in colour)
    return red, green, blue


def _fixed(points_xy: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.asarray(np.round(points_xy * 2**_SHIFT), dtype=np.int32)


def _fill(canvas: ByteImage, points_xy: NDArray[np.float64], colour: Rgb) -> None:
    cv2.fillPoly(canvas, [_fixed(points_xy)], colour, cv2.LINE_AA, _SHIFT)


def _line(canvas: ByteImage, points_xy: NDArray[np.float64], colour: Rgb, width: int) -> None:
    cv2.polylines(canvas, [_fixed(points_xy)], False, colour, width, cv2.LINE_AA, _SHIFT)


def leaf(
    canvas: ByteImage, rng: np.random.Generator, centre_xy: tuple[float, float], length: float, colour: Rgb
) -> None:
    """Draw one fallen leaf with its shadow and midrib, in any direction, into `canvas`."""
    angle, slim = rng.uniform(0, 2 * math.pi), rng.uniform(0.22, 0.42)
    s = np.linspace(0.0, 1.0, 12)
    half = slim * np.sin(math.pi * s**0.8) * (1.0 + 0.12 * rng.standard_normal(12))
    spine = rng.normal(0, 0.12) * np.sin(math.pi * s)
    outline = np.concatenate(
        [np.stack([s - 0.5, spine + half], 1), np.stack([s[::-1] - 0.5, spine[::-1] - half[::-1]], 1)]
    )
    turn = rotation(angle)
    points = length * outline @ turn.T + np.array(centre_xy)
    shade = 0.045 * length + 0.7
    _fill(canvas, points + shade, shifted((24, 20, 16), rng, 0.1))
    _fill(canvas, points, colour)
    rib = length * np.stack([s - 0.5, spine], 1) @ turn.T + np.array(centre_xy)
    _line(canvas, rib, _scaled(colour, 0.7), 1)


def blades(
    canvas: ByteImage,
    rng: np.random.Generator,
    roots_xy: NDArray[np.float64],
    lengths: NDArray[np.float64],
    widths: NDArray[np.float64],
    colour: Rgb,
) -> None:
    """Draw grass into `canvas`: n blades growing up from their roots (n, 2) and bending to a side, pixels."""
    n, s = len(roots_xy), np.linspace(0.0, 1.0, 8)[None, :]
    lean, bend = rng.normal(0.0, 0.25, (n, 1)), rng.normal(0.0, 0.55, (n, 1))
    x = roots_xy[:, :1] + lengths[:, None] * (lean * s + bend * s**2.4)
    y = roots_xy[:, 1:] - lengths[:, None] * (s - 0.28 * np.abs(bend) * s**2.4)
    half = 0.5 * widths[:, None] * (1.0 - s**1.5) + 0.25
    outline = np.stack([np.concatenate([x - half, (x + half)[:, ::-1]], 1), np.concatenate([y, y[:, ::-1]], 1)], 2)
    gain = np.exp(rng.normal(0.0, 0.22, (n, 1)) + rng.normal(0.0, 0.04, (n, 3)))
    tints = np.clip(np.array(colour) * gain, 1, 255).astype(int).tolist()
    for points, tint in zip(outline, tints, strict=True):
        _fill(canvas, points, tint)


def twig(
    canvas: ByteImage, rng: np.random.Generator, start_xy: tuple[float, float], length: float, colour: Rgb
) -> None:
    """Draw a crooked twig in any direction, lighter on its upper side, into `canvas`."""
    steps = 7
    angle = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.normal(0.0, 0.16, steps))
    points = np.array(start_xy) + np.cumsum(length / steps * np.stack([np.cos(angle), np.sin(angle)], 1), axis=0)
    width = max(1, round(0.022 * length))
    _line(canvas, points + 0.8 * width, (22, 18, 15), width + 1)
    _line(canvas, points, colour, width + 1)
    _line(canvas, points - 0.4, _scaled(colour, 1.35), 1)


def pebble(
    canvas: ByteImage, rng: np.random.Generator, centre_xy: tuple[float, float], radius: float, colour: Rgb
) -> None:
    """Draw a rounded stone lit from above left into `canvas`."""
    angle = np.linspace(0, 2 * math.pi, 16, endpoint=False)
    reach = radius * (1.0 + 0.1 * np.sin(2 * angle + rng.uniform(0, 6)) + 0.05 * rng.standard_normal(16))
    outline = np.stack([np.cos(angle), rng.uniform(0.6, 0.95) * np.sin(angle)], 1) * reach[:, None]
    centre = np.array(centre_xy)
    _fill(canvas, outline * 1.08 + centre + 0.14 * radius, (26, 23, 20))
    for shrink in np.linspace(1.0, 0.15, 4 + int(min(radius, 24.0) / 3.0)):
        tint = _scaled(colour, 0.7 + 0.42 * (1.0 - shrink**2))
        _fill(canvas, outline * shrink + centre - 0.22 * (1 - shrink) * radius, tint)
