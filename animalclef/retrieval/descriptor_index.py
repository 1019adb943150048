"""Find the nearest descriptors among those of many images: exactly while they are few, else by an inverted file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from animalclef.config import VoteConfig
from animalclef.features.local.unit_descriptors import comparable
from animalclef.structures import FloatArray, LocalFeatures

__all__ = ["DescriptorIndex", "build_index", "unit_descriptors"]

Rows = NDArray[np.int64]
Reader = Callable[[int], FloatArray]


@dataclass(frozen=True, eq=False)
class DescriptorIndex:
    """Descriptors with the image that each lies in; `mean` and `basis` shorten what is asked, where they are given."""

    searcher: Any  # a FAISS index that answers squared Euclidean distances
    owner: NDArray[np.int32]  # (descriptors,) the image of each
    mean: FloatArray | None = None  # (d,)
    basis: FloatArray | None = None  # (d, dimensions)

    def __len__(self) -> int:
        return len(self.owner)

    def search(self, descriptors: FloatArray, count: int) -> tuple[FloatArray, Rows]:
        """Return Euclidean distances (m, n) of the `count` nearest descriptors, nearest first.

        The second array (m, n) holds the images that they lie in.

        Where an inverted file finds fewer, the rest holds infinity and -1. What a row gets does not depend on the
        images asked before or after.
        """
        count = min(count, len(self))
        if not len(descriptors) or not count:
            return np.zeros((len(descriptors), count), np.float32), np.zeros((len(descriptors), count), np.int64)
        distance, found = self.searcher.search(_shorten(descriptors, self.mean, self.basis), count)
        missing = found < 0
        distance[missing] = np.inf
        return np.sqrt(np.maximum(distance, 0)), np.where(missing, -1, self.owner[found]).astype(np.int64)


def unit_descriptors(features: LocalFeatures, most: int) -> FloatArray:
    """Return the first `most` descriptors, the strongest, as unit vectors; SIFT's bytes become RootSIFT."""
    return comparable(features.descriptors[:most])


def build_index(read: Reader, images: int, config: VoteConfig, seed: int) -> DescriptorIndex:
    """Index the unit descriptors that `read` gives for each of the images 0 to `images` - 1.

    Up to `config.exact_descriptors` they are kept whole. Above, they are shortened by PCA to `config.dimensions`, held
    in half precision and searched in the `config.probes` nearest of about 2 * sqrt(n) cells.
    """
    import faiss

    counts = np.array([len(read(image)) for image in range(images)], dtype=np.int64)
    total = int(counts.sum())
    owner = np.repeat(np.arange(images, dtype=np.int32), counts)
    if total <= config.exact_descriptors:
        filled = [read(image) for image in np.flatnonzero(counts).tolist()]
        width = filled[0].shape[1] if filled else 1
        searcher: Any = faiss.IndexFlatL2(width)
        if filled:
            searcher.add(np.ascontiguousarray(np.concatenate(filled)))
        return DescriptorIndex(searcher, owner)
    cells = 2 ** round(np.log2(2 * np.sqrt(total)))
    sample = _sample(read, counts, 40 * cells, np.random.default_rng([seed, 5]))
    mean, basis = _principal(sample, config.dimensions)
    width = basis.shape[1]
    quantiser = faiss.IndexFlatL2(width)
    searcher = faiss.IndexIVFScalarQuantizer(quantiser, width, cells, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_L2)
    searcher.cp.niter, searcher.cp.seed = 10, seed + 1
    searcher.train(_shorten(sample, mean, basis))
    filled_rows = np.flatnonzero(counts).tolist()
    for start in range(0, len(filled_rows), 256):
        block = np.concatenate([read(image) for image in filled_rows[start : start + 256]])
        searcher.add(_shorten(block, mean, basis))
    searcher.nprobe = config.probes
    return DescriptorIndex(searcher, owner, mean, basis)


def _sample(read: Reader, counts: Rows, most: int, rng: np.random.Generator) -> FloatArray:
    """Return whole images in random order until they hold `most` descriptors."""
    order = rng.permutation(np.flatnonzero(counts))
    needed = int(np.searchsorted(np.cumsum(counts[order]), most)) + 1
    return np.concatenate([read(int(image)) for image in order[:needed]])[:most]


def _principal(sample: FloatArray, dimensions: int) -> tuple[FloatArray, FloatArray]:
    """Return the mean (d,) and the directions of largest variance (d, dimensions)."""
    mean = sample.mean(axis=0, dtype=np.float64)
    centred = sample - mean.astype(np.float32)
    covariance = (centred.T @ centred).astype(np.float64) / len(sample)
    _, vectors = np.linalg.eigh(covariance)
    return mean.astype(np.float32), np.ascontiguousarray(vectors[:, ::-1][:, :dimensions], dtype=np.float32)


def _shorten(descriptors: FloatArray, mean: FloatArray | None, basis: FloatArray | None) -> FloatArray:
    if mean is None or basis is None:
        return np.ascontiguousarray(descriptors)
    return np.ascontiguousarray((descriptors - mean) @ basis)
