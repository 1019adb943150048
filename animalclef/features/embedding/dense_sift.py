"""Compute SIFT descriptors on a regular grid, all at once.

The gradient is split over eight orientations, each plane is averaged over square bins, and a descriptor reads 4 x 4 bin
centres (the flat-window form of dense SIFT, Vedaldi and Fulkerson 2008).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.structures import FloatArray

__all__ = ["dense_root_sift"]


def dense_root_sift(
    grey: NDArray[np.uint8], step: int, bin_sizes: Sequence[int], dropped_share: float = 0.2
) -> tuple[FloatArray, FloatArray]:
    """Return descriptors (m, 128), each the root of an L1-normalised SIFT, and their centres in pixels, (m, 2).

    `bin_sizes` are the widths of a bin in pixels, one descriptor covers four; sizes that do not fit into the image are
    left out. Of each size the `dropped_share` with the weakest gradients is left out, and everything flat.
    """
    descriptors: list[FloatArray] = [np.zeros((0, 128), np.float32)]
    centres: list[FloatArray] = [np.zeros((0, 2), np.float32)]
    for size in bin_sizes:
        if min(grey.shape) < 4 * size:
            continue
        values, where = _one_size(grey, step, size)
        strength = np.linalg.norm(values, axis=1)
        kept = (strength >= np.quantile(strength, dropped_share)) & (strength > 1.0)
        descriptors.append(_root(values[kept], strength[kept]))
        centres.append(where[kept])
    return np.concatenate(descriptors), np.concatenate(centres)


def _one_size(grey: NDArray[np.uint8], step: int, size: int) -> tuple[FloatArray, FloatArray]:
    planes = _orientation_planes(cv2.GaussianBlur(grey, (0, 0), max(size / 6, 0.5)))
    bins = [cv2.blur(planes[:, :, half], (size, size)) * size for half in (slice(0, 4), slice(4, 8))]
    both = np.concatenate(bins, axis=2)
    height, width = grey.shape
    y, x = np.arange(2 * size, height - 2 * size + 1, step), np.arange(2 * size, width - 2 * size + 1, step)
    offsets = (np.arange(4) - 1.5) * size
    rows = np.clip(np.round(y[:, None] + offsets), 0, height - 1).astype(np.int64)
    columns = np.clip(np.round(x[:, None] + offsets), 0, width - 1).astype(np.int64)
    values = both[rows[:, None, :, None], columns[None, :, None, :]]
    places = np.stack(np.meshgrid(x, y), axis=2).reshape(-1, 2)
    return values.reshape(-1, 128), places.astype(np.float32)


def _orientation_planes(grey: NDArray[np.generic]) -> FloatArray:
    """Return (H, W, 8): the gradient's length, shared between the two nearest of eight directions."""
    values = np.asarray(grey, dtype=np.float32)
    across = cv2.filter2D(values, -1, np.array([[-1, 0, 1]], np.float32))
    down = cv2.filter2D(values, -1, np.array([[-1], [0], [1]], np.float32))
    length, angle = cv2.cartToPolar(across, down)
    place = angle * np.float32(8 / (2 * np.pi))
    low = np.floor(place)
    share = place - low
    first = low.astype(np.int64) % 8
    planes = np.zeros((values.size, 8), np.float32)
    pixel = np.arange(values.size)
    planes[pixel, first.ravel()] = (length * (1 - share)).ravel()
    planes[pixel, (first.ravel() + 1) % 8] += (length * share).ravel()
    return planes.reshape(*values.shape, 8)


def _root(values: FloatArray, strength: FloatArray) -> FloatArray:
    clipped = np.minimum(values / strength[:, None], 0.2)
    return np.asarray(np.sqrt(clipped / np.maximum(clipped.sum(axis=1, keepdims=True), 1e-6)), dtype=np.float32)
