"""Return local descriptors as unit vectors whose dot products are exact in float32."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from animalclef.structures import FloatArray

__all__ = ["comparable", "root_sift"]


def comparable(descriptors: NDArray[np.generic]) -> FloatArray:
    """Return unit vectors whose dot products are exact: RootSIFT of whole numbers, and those of networks rounded.

    No partial sum of two unit vectors' product exceeds 1, so that float32 holds them all, signs or not.
    """
    if descriptors.dtype.kind in "ui":
        return root_sift(descriptors)
    values = descriptors.astype(np.float32)
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-7)
    return np.asarray(np.round(values * 2048) / 2048, dtype=np.float32)


def root_sift(descriptors: NDArray[np.generic]) -> FloatArray:
    """Return square roots of L1-normalised SIFT descriptors, which are unit vectors (Arandjelovic and Zisserman 2012).

    Values are rounded to multiples of 2**-11, so that float32 holds every partial sum of a dot product exactly: a pair
    scores the same to the last bit whichever image comes first and whatever else it is matched beside.
    """
    values = descriptors.astype(np.float32)
    values /= np.maximum(values.sum(axis=1, keepdims=True), 1e-7)
    return np.asarray(np.round(np.sqrt(values) * 2048) / 2048, dtype=np.float32)
