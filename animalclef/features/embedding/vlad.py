"""Embed photographs without trained weights: dense RootSIFT, aggregated over a codebook fitted on the gallery.

VLAD (Jegou et al. 2010) with spatial coordinates appended to each local descriptor, intra-normalisation (Arandjelovic
and Zisserman 2013) and signed square roots; PCA with half whitening follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import cv2
import faiss
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from animalclef.config import EmbedConfig
from animalclef.data.decode import resize_long_side
from animalclef.features.embedding.principal_components import principal_axes, unit
from animalclef.store.shard_store import Entry
from animalclef.structures import DecodedImage, FloatArray

__all__ = [
    "CODEBOOK_IMAGES",
    "Codebook",
    "VladExtractor",
    "dense_descriptors",
    "dense_root_sift",
    "fit_codebook",
    "residuals_of",
    "vlad_of",
]


CODEBOOK_IMAGES = 200  # photographs of a data set that its codebook is fitted on, at most
_CODEBOOK_DESCRIPTORS = 60_000  # of these photographs, at most


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


@dataclass(frozen=True, eq=False)
class Codebook:
    """The projection of local descriptors and the visual words."""

    mean: FloatArray  # (128,)
    basis: FloatArray  # (128, d)
    words: FloatArray  # (k, d + 2)


class VladExtractor:
    """One VLAD vector per photograph."""

    in_batches = False
    decodes_fully = False

    def __init__(self, codebook: Codebook, config: EmbedConfig) -> None:
        self.codebook, self.config = codebook, config

    def extract_features(self, images: Sequence[DecodedImage], pool: Executor) -> list[Entry]:
        """Return `embedding`, (words * (d + 2),) float16 of unit length, of every photograph."""
        return list(pool.map(self._describe_one, images))

    def _describe_one(self, image: DecodedImage) -> Entry:
        residuals, nearest, _ = residuals_of(image, self.codebook, self.config)
        sums = np.zeros_like(self.codebook.words)
        np.add.at(sums, nearest, residuals)
        return {"embedding": vlad_of(sums).astype(np.float16)}


def dense_descriptors(image: DecodedImage, config: EmbedConfig) -> tuple[FloatArray, FloatArray]:
    """Return RootSIFT on a regular grid at several sizes, (m, 128), and places in [-0.5, 0.5] of the image, (m, 2).

    Patches on a uniform or transparent background are left out.
    """
    grey = cv2.cvtColor(resize_long_side(image.pixels, config.long_side, enlarge=True), cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    descriptors, centres = dense_root_sift(grey, config.step, config.bin_sizes)
    if image.alpha is not None and len(centres):
        alpha = cv2.resize(image.alpha, (width, height), interpolation=cv2.INTER_AREA)
        visible = alpha[centres[:, 1].astype(int), centres[:, 0].astype(int)] > 127
        descriptors, centres = descriptors[visible], centres[visible]
    return descriptors, np.asarray(centres / np.array([width, height]) - 0.5, dtype=np.float32)


def fit_codebook(samples: Sequence[tuple[FloatArray, FloatArray]], config: EmbedConfig, seed: int) -> Codebook:
    """Fit a codebook on dense descriptors and their places; the same samples and seed give the same codebook."""
    descriptors = np.concatenate([one for one, _ in samples] or [np.zeros((0, 128), np.float32)])
    places = np.concatenate([place for _, place in samples] or [np.zeros((0, 2), np.float32)])
    rng = np.random.default_rng([seed, 4])
    if len(descriptors) > _CODEBOOK_DESCRIPTORS:
        rows = np.sort(rng.choice(len(descriptors), _CODEBOOK_DESCRIPTORS, replace=False))
        descriptors, places = descriptors[rows], places[rows]
    with threadpool_limits(1):
        mean, basis, _ = principal_axes(descriptors, config.local_dimensions)
        unfilled = Codebook(mean, basis, np.zeros((0, config.local_dimensions + 2), np.float32))
        points = _shorten(descriptors, places, unfilled)
        if not len(points):
            return Codebook(mean, basis, np.zeros((1, config.local_dimensions + 2), np.float32))
        means = faiss.Kmeans(
            points.shape[1], min(config.words, len(points)), niter=20, seed=seed + 1, max_points_per_centroid=10**6,
            min_points_per_centroid=1,
        )  # fmt: skip
        means.train(points)
    return Codebook(mean, basis, np.asarray(means.centroids, dtype=np.float32))


def _shorten(descriptors: FloatArray, places: FloatArray, codebook: Codebook) -> FloatArray:
    """Return local descriptors after PCA, unit length, with their place appended."""
    short = unit((descriptors - codebook.mean) @ codebook.basis)
    return np.ascontiguousarray(np.hstack([short, places]), dtype=np.float32)


def residuals_of(
    image: DecodedImage, codebook: Codebook, config: EmbedConfig
) -> tuple[FloatArray, NDArray[np.int64], FloatArray]:
    """Return the residuals that the embedding of a photograph is summed from.

    Residuals to the nearest word, (m, d + 2); that word's row, (m,); places in [-0.5, 0.5] of the image, (m, 2).
    """
    descriptors, places = dense_descriptors(image, config)
    points = _shorten(descriptors, places, codebook)
    nearest = (points @ codebook.words.T - (codebook.words**2).sum(axis=1) / 2).argmax(axis=1)
    return points - codebook.words[nearest], nearest, places


def vlad_of(sums: FloatArray) -> FloatArray:
    """Return the unit vector of sums of residuals per word, (k, d + 2): each scaled to length 1, then signed roots."""
    sums = unit(sums)
    return unit((np.sign(sums) * np.sqrt(np.abs(sums))).ravel())
