"""Scale vectors to unit length, and project them on their principal components."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd

from animalclef.structures import FloatArray

__all__ = ["principal_axes", "project", "unit", "whitened"]


def unit(values: NDArray[np.floating]) -> FloatArray:
    """Return rows scaled to length 1; rows of zeros stay."""
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-9), dtype=np.float32)


def project(values: FloatArray, dimensions: int) -> FloatArray:
    """Return unit vectors (n, dimensions): PCA with half whitening, fitted on the rows themselves."""
    mean, basis, variance = principal_axes(values, dimensions)
    return unit((values - mean) @ whitened(basis, variance))


def whitened(basis: FloatArray, variance: FloatArray) -> FloatArray:
    """Return axes (d, k) scaled for half whitening; those without variance (k,) become zeros."""
    scale = np.where(variance > 0, np.maximum(variance, 1e-12) ** -0.25, 0)
    return basis * scale.astype(np.float32)


def principal_axes(values: FloatArray, dimensions: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the mean (d,), the leading axes (d, dimensions) and the variance along each; zeros past the last axis.

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
    _, singular, axes = randomized_svd(centred, min(dimensions, *centred.shape), n_iter=4, random_state=0)
    return axes.T.astype(np.float64), singular.astype(np.float64) ** 2
