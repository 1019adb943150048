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
from animalclef.features.embedding.dense_sift import dense_root_sift
from animalclef.features.embedding.principal_components import principal_axes, unit
from animalclef.store.shard_store import Entry
from animalclef.structures import DecodedImage, FloatArray

__all__ = ["Codebook", "VladExtractor", "dense_descriptors", "fit_codebook", "residuals_of", "vlad_of"]


@dataclass(frozen=True, eq=False)
class Codebook:
    """The projection of local descriptors and the visual words."""

    mean: FloatArray  # (128,)
    basis: FloatArray  # (128, d)
    words: FloatArray  # (k, d + 2)


class VladExtractor:
    """One VLAD vector per photograph."""

    in_batches = False

    def __init__(self, codebook: Codebook, config: EmbedConfig) -> None:
        self.codebook, self.config = codebook, config

    def extract_features(self, images: Sequence[DecodedImage], pool: Executor) -> list[Entry]:
        """Return `embedding`, (words * (d + 2),) float16 of unit length, of every photograph."""
        return list(pool.map(self._describe_one, images))

    def _describe_one(self, image: DecodedImage) -> Entry:
        descriptors, places = dense_descriptors(image, self.config)
        vector = _aggregate(_shorten(descriptors, places, self.codebook, self.config), self.codebook.words)
        return {"embedding": vector.astype(np.float16)}


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
    if len(descriptors) > config.codebook_descriptors:
        rows = np.sort(rng.choice(len(descriptors), config.codebook_descriptors, replace=False))
        descriptors, places = descriptors[rows], places[rows]
    with threadpool_limits(1):
        mean, basis, _ = principal_axes(descriptors, config.local_dimensions)
        unfilled = Codebook(mean, basis, np.zeros((0, config.local_dimensions + 2), np.float32))
        points = _shorten(descriptors, places, unfilled, config)
        if not len(points):
            return Codebook(mean, basis, np.zeros((1, config.local_dimensions + 2), np.float32))
        means = faiss.Kmeans(
            points.shape[1], min(config.words, len(points)), niter=20, seed=seed + 1, max_points_per_centroid=10**6,
            min_points_per_centroid=1,
        )  # fmt: skip
        means.train(points)
    return Codebook(mean, basis, np.asarray(means.centroids, dtype=np.float32))


def _shorten(descriptors: FloatArray, places: FloatArray, codebook: Codebook, config: EmbedConfig) -> FloatArray:
    """Return local descriptors after PCA, unit length, with their weighted place appended."""
    short = unit((descriptors - codebook.mean) @ codebook.basis)
    return np.ascontiguousarray(np.hstack([short, config.place_weight * places]), dtype=np.float32)


def residuals_of(
    image: DecodedImage, codebook: Codebook, config: EmbedConfig
) -> tuple[FloatArray, NDArray[np.int64], FloatArray]:
    """Return the residuals that the embedding of a photograph is summed from.

    Residuals to the nearest word, (m, d + 2); that word's row, (m,); places in [-0.5, 0.5] of the image, (m, 2).
    """
    descriptors, places = dense_descriptors(image, config)
    points = _shorten(descriptors, places, codebook, config)
    nearest = _nearest(points, codebook.words)
    return points - codebook.words[nearest], nearest, places


def vlad_of(sums: FloatArray) -> FloatArray:
    """Return the unit vector of sums of residuals per word, (k, d + 2): each scaled to length 1, then signed roots."""
    sums = unit(sums)
    return unit((np.sign(sums) * np.sqrt(np.abs(sums))).ravel())


def _nearest(points: FloatArray, words: FloatArray) -> NDArray[np.int64]:
    return np.asarray((points @ words.T - (words**2).sum(axis=1) / 2).argmax(axis=1), dtype=np.int64)


def _aggregate(points: FloatArray, words: FloatArray) -> FloatArray:
    """Sum residuals to the nearest word, per word."""
    sums = np.zeros_like(words)
    if len(points):
        nearest = _nearest(points, words)
        np.add.at(sums, nearest, points - words[nearest])
    return vlad_of(sums)
