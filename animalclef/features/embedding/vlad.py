"""The global descriptor without weights: dense RootSIFT, aggregated over a codebook fitted on the gallery.

VLAD (Jegou et al. 2010) with spatial coordinates appended to each local descriptor, intra-normalisation (Arandjelovic
and Zisserman 2013) and signed square roots; PCA with half whitening follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.config import EmbedConfig
from animalclef.data.decode import resize_long_side
from animalclef.features.embedding.dense_sift import dense_root_sift
from animalclef.store.shard_store import Entry
from animalclef.structures import DecodedImage, FloatArray

__all__ = ["Codebook", "VladExtractor", "dense_descriptors", "fit_codebook", "project", "residuals_of", "vlad_of"]


@dataclass(frozen=True, eq=False)
class Codebook:
    """How local descriptors are shortened and which visual words they fall to."""

    mean: FloatArray  # (128,)
    basis: FloatArray  # (128, d)
    words: FloatArray  # (k, d + 2)


class VladExtractor:
    """One VLAD vector per photograph."""

    in_batches = False

    def __init__(self, codebook: Codebook, config: EmbedConfig) -> None:
        self.codebook, self.config = codebook, config

    def extract_features(self, images: Sequence[DecodedImage], pool: Executor) -> list[Entry]:
        """`embedding`: (words * (d + 2),) float16, unit length."""
        return list(pool.map(self._describe_one, images))

    def _describe_one(self, image: DecodedImage) -> Entry:
        descriptors, places = dense_descriptors(image, self.config)
        vector = _aggregate(_shorten(descriptors, places, self.codebook, self.config), self.codebook.words)
        return {"embedding": vector.astype(np.float16)}


def dense_descriptors(image: DecodedImage, config: EmbedConfig) -> tuple[FloatArray, FloatArray]:
    """RootSIFT on a regular grid at several sizes: (m, 128), and places in [-0.5, 0.5] of the image, (m, 2).

    Patches on flat or transparent ground are left out.
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
    """Fit on the dense descriptors of some photographs; the same samples and seed give the same codebook."""
    import faiss
    from threadpoolctl import threadpool_limits

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


def principal_axes(values: FloatArray, dimensions: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean (d,), leading axes (d, dimensions) and the variance along each; zeros where there are fewer axes.

    Exact for small inputs; by a seeded randomised SVD (Halko et al. 2011) where both sides are over 2,000.
    """
    width = values.shape[1]
    basis, variance = np.zeros((width, dimensions), np.float32), np.zeros(dimensions, np.float32)
    if not len(values):
        return np.zeros(width, np.float32), basis, variance
    mean = values.mean(axis=0)
    centred = np.asarray(values - mean, dtype=np.float32)
    axes, strength = (_few_axes if min(centred.shape) > 2000 else _all_axes)(centred, dimensions)
    axes *= np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1, 1)
    basis[:, : len(strength)] = axes
    variance[: len(strength)] = strength / len(values)
    return mean.astype(np.float32), basis, variance


def _all_axes(centred: FloatArray, dimensions: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    exact = centred.astype(np.float64)
    wide = exact.shape[1] > len(exact)
    eigenvalues, vectors = np.linalg.eigh(exact @ exact.T if wide else exact.T @ exact)
    order = np.argsort(-eigenvalues, kind="stable")[:dimensions]
    order = order[eigenvalues[order] > 1e-9 * max(float(eigenvalues.max()), 1e-30)]
    axes = vectors[:, order]
    return exact.T @ axes / np.sqrt(eigenvalues[order]) if wide else axes, eigenvalues[order]


def _few_axes(centred: FloatArray, dimensions: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from sklearn.utils.extmath import randomized_svd

    _, singular, axes = randomized_svd(centred, min(dimensions, *centred.shape), n_iter=4, random_state=0)
    return axes.T.astype(np.float64), singular.astype(np.float64) ** 2


def project(values: FloatArray, dimensions: int) -> FloatArray:
    """PCA with half whitening, fitted on the rows themselves; unit vectors of `dimensions`."""
    mean, basis, variance = principal_axes(values, dimensions)
    scale = np.where(variance > 0, np.maximum(variance, 1e-12) ** -0.25, 0)
    short = (values - mean) @ (basis * scale.astype(np.float32))
    return unit(short)


def unit(values: NDArray[np.floating]) -> FloatArray:
    """Rows scaled to length 1; rows of zeros stay."""
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-9), dtype=np.float32)


def _shorten(descriptors: FloatArray, places: FloatArray, codebook: Codebook, config: EmbedConfig) -> FloatArray:
    """Local descriptors after PCA, unit length, with their weighted place appended."""
    short = unit((descriptors - codebook.mean) @ codebook.basis)
    return np.ascontiguousarray(np.hstack([short, config.place_weight * places]), dtype=np.float32)


def residuals_of(
    image: DecodedImage, codebook: Codebook, config: EmbedConfig
) -> tuple[FloatArray, NDArray[np.int64], FloatArray]:
    """What the embedding of a photograph is summed from.

    Residuals to the nearest word, (m, d + 2); that word's row, (m,); places in [-0.5, 0.5] of the image, (m, 2).
    """
    descriptors, places = dense_descriptors(image, config)
    points = _shorten(descriptors, places, codebook, config)
    nearest = _nearest(points, codebook.words)
    return points - codebook.words[nearest], nearest, places


def vlad_of(sums: FloatArray) -> FloatArray:
    """Unit vector of sums of residuals per word, (k, d + 2): each scaled to length 1, then signed roots."""
    sums = unit(sums)
    return unit((np.sign(sums) * np.sqrt(np.abs(sums))).ravel())


def _nearest(points: FloatArray, words: FloatArray) -> NDArray[np.int64]:
    return np.asarray((points @ words.T - (words**2).sum(axis=1) / 2).argmax(axis=1), dtype=np.int64)


def _aggregate(points: FloatArray, words: FloatArray) -> FloatArray:
    """Residuals to the nearest word, summed per word."""
    sums = np.zeros_like(words)
    if len(points):
        nearest = _nearest(points, words)
        np.add.at(sums, nearest, points - words[nearest])
    return vlad_of(sums)
