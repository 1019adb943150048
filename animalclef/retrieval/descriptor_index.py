"""Find the nearest descriptors among those of many images: exactly while they are few, else by an inverted file.

The inverted file may lie in blocks of images. Blocks share their cells, so that what is found does not depend on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from animalclef.config import VoteConfig
from animalclef.runtime.threads import one_thread_each
from animalclef.structures import FloatArray
from animalclef.structures.arrays import Integers

__all__ = ["Codebook", "DescriptorIndex", "build_block", "one_faiss_thread", "train_codebook"]

Reader = Callable[[int], FloatArray]
Map = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]  # such as `map`, or that of a pool of threads
Found = tuple[FloatArray, Integers]

_ADDED = 256  # images that are added at once
_COUNTED = 65_536  # images at most whose descriptors are counted


@dataclass(frozen=True, eq=False)
class Codebook:
    """What shortens descriptors and sorts them into cells; with no cells they are searched exactly."""

    total: int  # descriptors of all images; an estimate above `_COUNTED` images
    mean: FloatArray  # (d,)
    basis: FloatArray  # (d, dimensions)
    centroids: FloatArray  # (cells, dimensions)

    def shorten(self, descriptors: FloatArray) -> FloatArray:
        """Return descriptors as they are compared: on their principal axes where there are cells."""
        return np.ascontiguousarray((descriptors - self.mean) @ self.basis if len(self.centroids) else descriptors)

    def empty_block(self, width: int) -> Any:
        """Return a FAISS index of squared Euclidean distances without descriptors; its labels are images."""
        if not len(self.centroids):
            return faiss.IndexIDMap(faiss.IndexFlatL2(width))
        cells, width = self.centroids.shape
        quantiser = faiss.IndexFlatL2(width)
        quantiser.add(self.centroids)
        kind = faiss.ScalarQuantizer.QT_fp16
        index = faiss.IndexIVFScalarQuantizer(quantiser, width, cells, kind, faiss.METRIC_L2)
        index.train(self.centroids[:1])  # the cells are there; half precision has nothing to learn
        return index


@dataclass(frozen=True, eq=False)
class DescriptorIndex:
    """Descriptors with the image that each lies in, in blocks of images."""

    codebook: Codebook
    blocks: Callable[[], Iterable[Any]]
    probes: int

    def __len__(self) -> int:
        return self.codebook.total

    def search(self, asked: Sequence[FloatArray], count: int, each: Map = map) -> list[Found]:
        """Return for each of several images the `count` nearest descriptors of each of its own, nearest first.

        Euclidean distances (m, n), and the images (m, n) that they lie in. Where an inverted file finds fewer, the rest
        holds infinity and -1. What a row gets does not depend on the images asked before or after. Every block is read
        once for all of them; of equal distances those of an earlier block come first.
        """
        count = min(count, len(self))
        found: list[Found] = [_nothing(len(one), count) for one in asked]
        if not count or not any(map(len, asked)):
            return found
        quantiser = self.codebook.empty_block(asked[0].shape[1])
        placed = list(each(lambda one: self._place(one, quantiser), asked))
        for number, block in enumerate(self.blocks()):

            def nearest(place: int) -> Found:
                here = self._search_block(block, placed[place], count)  # noqa: B023 - used at once
                return here if number == 0 else _merged(found[place], here)  # noqa: B023

            found = list(each(nearest, range(len(placed))))
        return [(np.sqrt(np.maximum(distance, 0)), image) for distance, image in found]

    def _place(self, descriptors: FloatArray, quantiser: Any) -> tuple[FloatArray, Found | None]:
        """Return shortened descriptors, and the distances and numbers of their nearest cells."""
        short = self.codebook.shorten(descriptors)
        if not len(self.codebook.centroids) or not len(short):
            return short, None
        return short, quantiser.quantizer.search(short, min(self.probes, len(self.codebook.centroids)))

    def _search_block(self, block: Any, placed: tuple[FloatArray, Found | None], count: int) -> Found:
        short, cells = placed
        if not len(short):
            return _nothing(0, count)
        if cells is None:
            distance, image = block.search(short, count)
        else:
            block.nprobe = cells[1].shape[1]
            distance, image = block.search_preassigned(short, count, cells[1], cells[0])
        distance[image < 0] = np.inf
        return distance, image


def train_codebook(read: Reader, images: int, config: VoteConfig, seed: int) -> Codebook:
    """Learn the axes and cells for the unit descriptors that `read` gives for each of the images 0 to `images` - 1.

    There are none up to `config.exact_descriptors`. Above, descriptors are shortened by PCA to `config.dimensions`,
    held in half precision and searched in the `config.probes` nearest of about 2 * sqrt(n) cells. One thread learns
    them, because their bytes depend on the number of threads.
    """
    counted = np.unique(np.linspace(0, max(images - 1, 0), min(images, _COUNTED)).astype(np.int64))
    counts = np.zeros(images, dtype=np.int64)
    for image in counted.tolist():
        counts[image] = len(read(image))
    total = round(int(counts.sum()) * images / max(len(counted), 1))
    if total <= config.exact_descriptors:
        none = np.zeros((0, 0), np.float32)
        return Codebook(total, none[0:0].ravel(), none, none)
    cells = 2 ** round(np.log2(2 * np.sqrt(total)))
    sample = _sample(read, counts, 40 * cells, np.random.default_rng([seed, 5]))
    with one_faiss_thread():
        mean, basis = _principal(sample, config.dimensions)
        width = basis.shape[1]
        quantiser = faiss.IndexFlatL2(width)
        learner = faiss.IndexIVFScalarQuantizer(quantiser, width, cells, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_L2)
        learner.cp.niter, learner.cp.seed = 10, seed + 1
        learner.train(np.ascontiguousarray((sample - mean) @ basis))
        return Codebook(total, mean, basis, quantiser.reconstruct_n(0, cells))


@contextmanager
def one_faiss_thread() -> Iterator[None]:
    """Keep BLAS and FAISS on one thread while the block runs."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        with one_thread_each():
            yield
    finally:
        faiss.omp_set_num_threads(threads)


def build_block(read: Reader, images: Sequence[int], codebook: Codebook, each: Map = map) -> Any:
    """Return the FAISS index of some images; the same whatever `each` runs on."""
    index: Any = None
    for start in range(0, len(images), _ADDED):
        some = list(images[start : start + _ADDED])
        found = list(each(read, some))
        index = codebook.empty_block(found[0].shape[1]) if index is None else index
        labels = np.repeat(np.array(some, np.int64), [len(one) for one in found])
        if not len(labels):
            continue
        if not len(codebook.centroids):
            index.add_with_ids(np.concatenate(found), labels)
            continue
        short = [codebook.shorten(one) for one in found if len(one)]
        cells = np.concatenate(list(each(lambda one: index.quantizer.search(one, 1)[1][:, 0], short)))  # noqa: B023
        values, pointer = np.concatenate(short), faiss.swig_ptr
        index.add_core(len(labels), pointer(values), pointer(labels), pointer(np.ascontiguousarray(cells)))
    return codebook.empty_block(1) if index is None else index


def _nothing(rows: int, count: int) -> Found:
    return np.full((rows, count), np.inf, np.float32), np.full((rows, count), -1, np.int64)


def _merged(one: Found, other: Found) -> Found:
    """Return the nearest of two lists of the same length."""
    distance, image = np.concatenate([one[0], other[0]], axis=1), np.concatenate([one[1], other[1]], axis=1)
    order = np.argsort(distance, axis=1, kind="stable")[:, : one[0].shape[1]]
    return np.take_along_axis(distance, order, axis=1), np.take_along_axis(image, order, axis=1)


def _sample(read: Reader, counts: Integers, most: int, rng: np.random.Generator) -> FloatArray:
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
