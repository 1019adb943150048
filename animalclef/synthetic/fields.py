"""Draw random scalar fields: fractal noise, Turing patterns and Voronoi cells."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from animalclef.structures.arrays import FloatArray

__all__ = [
    "Cells",
    "floats",
    "fractal_noise",
    "linear_light",
    "rotation",
    "smoothstep",
    "turing_field",
    "voronoi_cells",
    "warp_field",
    "wide_blur",
]


@dataclass(frozen=True, eq=False)
class Cells:
    """Voronoi cells on a pixel grid."""

    label: NDArray[np.intp]  # (H, W) index of the nearest seed
    edge: FloatArray  # (H, W) distance to the cell border, seed units
    radius: FloatArray  # (H, W) distance to the seed, seed units


def floats(values: ArrayLike) -> FloatArray:
    """Return the values as a float32 array of the same shape."""
    return np.asarray(values, dtype=np.float32)


def linear_light(colours: ArrayLike) -> FloatArray:
    """Return sRGB values (0-255) as linear light, 0-1, of the same shape."""
    return (floats(colours) / 255.0) ** 2.2


def rotation(angle_rad: float) -> NDArray[np.float64]:
    """Return the matrix (2, 2) of a turn, clockwise on the screen for a positive angle."""
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    return np.array([[cos, -sin], [sin, cos]])


def smoothstep(low: float, high: float, value: FloatArray) -> FloatArray:
    """Rise from 0 at `low` to 1 at `high` with level ends; `low` above `high` falls instead."""
    x = np.clip((value - np.float32(low)) / np.float32(high - low), 0.0, 1.0)
    return floats(x * x * (3.0 - 2.0 * x))


def fractal_noise(
    rng: np.random.Generator,
    shape_hw: tuple[int, int],
    scale_px: float,
    *,
    octaves: int = 4,
    gain: float = 0.5,
    stretch_xy: tuple[float, float] = (1.0, 1.0),
) -> FloatArray:
    """Return multi-octave noise of mean 0 and deviation 1, (H, W); `scale_px` is the coarsest grain."""
    total = np.zeros(shape_hw, dtype=np.float32)
    for octave in range(octaves):
        step = max(scale_px / 2**octave, 1.0)
        total += gain**octave * _grain(rng, shape_hw, (step * stretch_xy[0], step * stretch_xy[1]))
    return _standardised(total)


def _grain(rng: np.random.Generator, shape_hw: tuple[int, int], step_xy: tuple[float, float]) -> FloatArray:
    """Return one octave: coarse white noise enlarged with a cubic kernel, cut out at a random offset."""
    height, width = shape_hw
    columns, rows = int(width / step_xy[0]) + 3, int(height / step_xy[1]) + 3
    coarse = rng.standard_normal((rows, columns), dtype=np.float32)
    size = (int(np.ceil(columns * step_xy[0])), int(np.ceil(rows * step_xy[1])))
    fine = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    left, top = (int(rng.integers(spare + 1)) for spare in (size[0] - width, size[1] - height))
    return floats(fine[top : top + height, left : left + width])


def wide_blur(field: ArrayLike, sigma_px: float) -> FloatArray:
    """Blur a field (H, W) with a Gaussian, on a coarser grid where the width allows it."""
    plane = floats(field)
    factor = int(sigma_px / 2.5)
    if factor < 2 or min(plane.shape) < 8 * factor:
        return floats(cv2.GaussianBlur(plane, (0, 0), max(sigma_px, 0.3)))
    height, width = plane.shape
    small = cv2.resize(plane, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), sigma_px / factor)
    return floats(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR))


def turing_field(
    rng: np.random.Generator,
    shape_hw: tuple[int, int],
    wavelength_px: float,
    *,
    stretch: float = 1.0,
    bias: float = 0.0,
    iterations: int = 9,
) -> FloatArray:
    """Return an activator-inhibitor pattern of deviation 1, (H, W), positive on the markings.

    Repeated difference of Gaussians and saturation (Young, Mathematical Biosciences 72, 1984). A Gaussian pair of
    1 : 2 peaks at 6.5 sigma. `stretch` lengthens the markings along y, `bias` below 0 turns stripes into spots.
    """
    sigma = wavelength_px / 6.5
    sigma_x, sigma_y = sigma / stretch**0.35, sigma * stretch**0.65
    field = rng.standard_normal(shape_hw, dtype=np.float32)
    for _ in range(iterations):
        near = cv2.GaussianBlur(field, (0, 0), sigmaX=sigma_x, sigmaY=sigma_y, borderType=cv2.BORDER_REFLECT)
        far = cv2.GaussianBlur(field, (0, 0), sigmaX=2 * sigma_x, sigmaY=2 * sigma_y, borderType=cv2.BORDER_REFLECT)
        wave = _standardised(floats(near - far))
        field = np.tanh(1.4 * wave + bias).astype(np.float32)
    return wave


def warp_field(rng: np.random.Generator, field: FloatArray, amount_px: float, scale_px: float) -> FloatArray:
    """Warp a field (H, W) by smooth random displacements of deviation `amount_px`."""
    height, width = field.shape
    push_x = amount_px * fractal_noise(rng, (height, width), scale_px, octaves=2)
    push_y = amount_px * fractal_noise(rng, (height, width), scale_px, octaves=2)
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    warped = cv2.remap(field, columns + push_x, rows + push_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return floats(warped)


def voronoi_cells(seeds_xy: FloatArray, grid_xy: FloatArray) -> Cells:
    """Return cells of `seeds_xy` (n, 2) at the points `grid_xy` (H, W, 2), both in the same unit."""
    distance, index = cKDTree(seeds_xy).query(grid_xy, k=2)
    return Cells(index[..., 0], floats(0.5 * (distance[..., 1] - distance[..., 0])), floats(distance[..., 0]))


def _standardised(field: FloatArray) -> FloatArray:
    mean, deviation = cv2.meanStdDev(field)
    return floats((field - np.float32(mean[0, 0])) / np.float32(deviation[0, 0] + 1e-6))
