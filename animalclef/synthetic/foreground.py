"""Draw objects between the camera and the animal: grass, twigs, leaves, bubbles and glare."""

from __future__ import annotations

import cv2
import numpy as np

from animalclef.structures.arrays import FloatArray
from animalclef.synthetic.fields import floats, fractal_noise, linear_light, smoothstep
from animalclef.synthetic.species import Habitat, Rgb
from animalclef.synthetic.strokes import ByteImage, blades, leaf, shifted, twig

__all__ = ["draw_foreground"]

_GRASS: dict[Habitat, Rgb] = {"forest": (74, 86, 42), "steppe": (168, 146, 82), "snow": (136, 116, 86)}
_Layer = tuple[FloatArray, FloatArray]  # colour and alpha


def draw_foreground(habitat: Habitat, image_size_wh: tuple[int, int], rng: np.random.Generator) -> _Layer:
    """Return a translucent layer that suits the habitat, of random sharpness: linear RGB (H, W, 3), alpha (H, W)."""
    width, height = image_size_wh
    if habitat in ("reef", "sand"):
        return _water(width, height, rng)
    drawing = np.zeros((height, width, 3), dtype=np.uint8)
    if habitat in _GRASS:
        _grass(drawing, _GRASS[habitat], rng)
        blur = rng.uniform(0.4, 2.6) * width / 500.0
    else:
        _debris(drawing, habitat, rng)
        blur = 0.5
    return _layer(drawing, blur)


def _layer(drawing: ByteImage, blur_px: float) -> _Layer:
    """Return a layer in which everything drawn is opaque and black is clear."""
    alpha = (drawing.max(axis=2) > 0).astype(np.float32)
    colour = linear_light(drawing)
    soft_alpha = cv2.GaussianBlur(alpha, (0, 0), blur_px)
    soft = cv2.GaussianBlur(colour * alpha[..., None], (0, 0), blur_px) / (soft_alpha[..., None] + 1e-3)
    return floats(soft), floats(soft_alpha)


def _grass(drawing: ByteImage, colour: Rgb, rng: np.random.Generator) -> None:
    """Draw tufts along the lower edge, sometimes a twig with leaves across the photograph."""
    height, width = drawing.shape[:2]
    for _ in range(rng.integers(2, 6)):
        middle, reach = rng.uniform(0, width), rng.uniform(0.25, 0.75) * height
        n = int(rng.integers(3, 10))
        roots = np.stack([middle + rng.normal(0, 0.05 * width, n), np.full(n, height + 8.0)], axis=1)
        blades(drawing, rng, roots, reach * rng.uniform(0.6, 1.0, n), width * rng.uniform(0.007, 0.017, n), colour)
    if rng.random() < 0.45:
        start = (rng.uniform(0, width), rng.uniform(0, 0.8 * height))
        twig(drawing, rng, start, width * rng.uniform(0.4, 0.9), _lit((92, 72, 54), rng))
        for _ in range(rng.integers(0, 6)):
            spot = (start[0] + rng.normal(0, 0.15 * width), start[1] + rng.normal(0, 0.12 * height))
            leaf(drawing, rng, spot, width * rng.uniform(0.05, 0.12), _lit((88, 94, 48), rng))


def _debris(drawing: ByteImage, habitat: Habitat, rng: np.random.Generator) -> None:
    """Draw leaves and twigs over the animal."""
    height, width = drawing.shape[:2]
    colour: Rgb = (118, 84, 48) if habitat != "moss" else (96, 106, 46)
    for _ in range(rng.integers(1, 4)):
        spot = (float(rng.uniform(0.1, 0.9) * width), float(rng.uniform(0.1, 0.9) * height))
        if rng.random() < 0.7:
            leaf(drawing, rng, spot, width * rng.uniform(0.1, 0.2), _lit(colour, rng))
        else:
            twig(drawing, rng, spot, width * rng.uniform(0.3, 0.6), _lit((92, 72, 54), rng))


def _water(width: int, height: int, rng: np.random.Generator) -> _Layer:
    """Draw drifting particles, a few bubbles and surface glare."""
    drawing = np.zeros((height, width), dtype=np.uint8)
    for _ in range(rng.integers(5, 40)):
        spot = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        cv2.circle(drawing, spot, int(rng.integers(1, 3)), int(rng.integers(60, 190)), -1, cv2.LINE_AA)
    for _ in range(rng.integers(0, 5)):
        spot = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        cv2.circle(drawing, spot, int(rng.integers(2, 7)), 170, 1, cv2.LINE_AA)
    soft = cv2.GaussianBlur(drawing.astype(np.float32) / 255.0, (0, 0), 0.8)
    sheet = fractal_noise(rng, (height, width), 0.4 * width, octaves=3, stretch_xy=(1.6, 0.7))
    glare = rng.uniform(0.0, 0.6) * smoothstep(1.1, 2.2, sheet)
    alpha = floats(np.clip(np.maximum(soft, glare), 0.0, 0.9))
    return np.full((height, width, 3), (0.72, 0.86, 0.9), dtype=np.float32), alpha


def _lit(colour: Rgb, rng: np.random.Generator) -> Rgb:
    red, green, blue = shifted(colour, rng, 0.22)
    return max(red, 1), max(green, 1), max(blue, 1)
