"""Search galleries of any size: exactly up to a memory, then by an inverted file whose recall is measured.

The sizes follow FAISS's guidelines (github.com/facebookresearch/faiss/wiki/Guidelines-to-choose-an-index): 4 sqrt(n)
cells below a million vectors, then 65,536 and 262,144 cells that are found by an HNSW graph.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from animalclef.engine.work import Engine, ThisMachine, ThreadedWork
from animalclef.retrieval.descriptor_index import one_faiss_thread
from animalclef.runtime.threads import one_thread_each, worker_threads
from animalclef.structures import FloatArray
from animalclef.structures.arrays import Integers

__all__ = ["build_index", "cells_for", "exact_search", "search_gallery", "suggest"]


logger = logging.getLogger(__name__)

_TRAINING = 40  # vectors for each cell; FAISS's guidelines say 30 to 256
_BLOCK = 65_536  # gallery vectors that are added at once
_QUERIES = 256  # that an inverted file searches at once
_AT_ONCE = 128  # queries that a thread searches exactly at once
_SAMPLE = 200  # queries that recall is measured on
_AT = 100  # candidates that recall is measured at


def search_gallery(
    query: FloatArray,
    gallery: FloatArray,
    most: int,
    *,
    memory_gb: float,
    least_recall: float,
    workers: int = 1,
    engine: Engine | None = None,
) -> tuple[Integers, FloatArray]:
    """Return rows (q, k) of the gallery and inner products, best first; k is `most`, or the gallery's size.

    A gallery of at most `memory_gb` is searched exactly, in blocks on the engine. For a larger one an inverted file
    suggests twice as many candidates, which are ranked by their exact inner products. As many of its cells are searched
    as recall@100 needs to reach `least_recall` against exact search on a sample of queries; where even half of them do
    not suffice the search is exact. The recall is logged.

    Example:
        >>> vectors = np.eye(4, dtype=np.float32)
        >>> search_gallery(vectors[:1], vectors, 2, memory_gb=1, least_recall=0.98)[0].tolist()
        [[0, 1]]
    """
    most = min(most, len(gallery))
    if most == 0 or not len(query):
        return np.zeros((len(query), most), np.int64), np.zeros((len(query), most), np.float32)
    query, gallery = np.ascontiguousarray(query), np.ascontiguousarray(gallery)
    if gallery.nbytes <= memory_gb * 1e9:
        return exact_search(query, gallery, most, workers, engine)
    index = build_index(gallery, memory_gb)
    sample = query[np.unique(np.linspace(0, len(query) - 1, _SAMPLE).astype(np.int64))]
    exact, _ = exact_search(sample, gallery, min(_AT, most), workers, engine)
    probes = _probes(index, sample, gallery, exact, most, least_recall)
    if probes is None:
        return exact_search(query, gallery, most, workers, engine)
    parts = [
        suggest(index, query[start : start + _QUERIES], gallery, most, probes)
        for start in range(0, len(query), _QUERIES)
    ]
    return np.concatenate([found for found, _ in parts]), np.concatenate([scores for _, scores in parts])


def cells_for(vectors: int) -> int:
    """Return the number of cells of an inverted file.

    >>> cells_for(250_000), cells_for(1_000_000), cells_for(5_000_000), cells_for(50_000_000)
    (2000, 4000, 65536, 262144)
    """
    if vectors > 10_000_000:
        return 262_144
    if vectors > 1_000_000:
        return 65_536
    return max(1, min(int(4 * vectors**0.5), vectors // _TRAINING))


def build_index(gallery: FloatArray, memory_gb: float) -> Any:
    """Train an inverted file and fill it block by block; its codes are the longest that fit into `memory_gb`.

    Codes are float16, one byte a dimension, or product codes of a byte for four dimensions.
    """
    count, dimensions = gallery.shape
    cells = cells_for(count)
    rows = np.sort(np.random.default_rng(0).permutation(count)[: _TRAINING * cells])
    means: Any = faiss.Kmeans(dimensions, cells, niter=10, seed=1, spherical=True, max_points_per_centroid=10**6,
                         min_points_per_centroid=1)  # fmt: skip
    means.train(gallery[rows])
    index = _empty(_quantizer(means.centroids), cells, gallery.shape, memory_gb)
    index.train(gallery[rows[:: max(1, len(rows) // 100_000)]])  # the codes' ranges
    for start in range(0, count, _BLOCK):
        index.add(gallery[start : start + _BLOCK])
    return index


def _quantizer(centroids: FloatArray) -> Any:
    """Return what finds the cells of a vector: a list, or for many cells a graph, built on one thread: always alike."""
    cells, dimensions = centroids.shape
    if cells < 65_536:
        flat = faiss.IndexFlatIP(dimensions)
        flat.add(centroids)
        return flat
    graph = faiss.IndexHNSWFlat(dimensions, 32, faiss.METRIC_INNER_PRODUCT)
    with one_faiss_thread():
        graph.add(centroids)
    return graph


def _empty(quantizer: Any, cells: int, shape: tuple[int, ...], memory_gb: float) -> Any:
    count, dimensions = shape
    for width, kind in ((2, faiss.ScalarQuantizer.QT_fp16), (1, faiss.ScalarQuantizer.QT_8bit)):
        if count * dimensions * width <= memory_gb * 1e9:
            return faiss.IndexIVFScalarQuantizer(quantizer, dimensions, cells, kind, faiss.METRIC_INNER_PRODUCT, False)
    parts = max(part for part in range(1, max(1, dimensions // 4) + 1) if dimensions % part == 0)
    return faiss.IndexIVFPQ(quantizer, dimensions, cells, parts, 8, faiss.METRIC_INNER_PRODUCT)


def _probes(
    index: Any, sample: FloatArray, gallery: FloatArray, exact: Integers, most: int, least_recall: float
) -> int | None:
    """Return how many cells must be searched, by doubling; `None` where half of them do not suffice."""
    at, probes, recall = exact.shape[1], 4, 0.0
    while probes <= max(4, index.nlist // 2):
        found, _ = suggest(index, sample, gallery, most, probes)
        recall = float(np.mean([np.isin(one, two[:at]).mean() for one, two in zip(exact, found, strict=True)]))
        if recall >= least_recall:
            logger.warning(
                "%s database photographs take more than retrieve.memory_gb: an inverted file searches %d of %d cells, "
                "recall@%d %.4f of exact search (%d queries).",
                f"{len(gallery):,}", probes, index.nlist, at, recall, len(sample),
            )  # fmt: skip
            return probes
        probes *= 2
    logger.warning(
        "An inverted file reaches recall@%d %.4f of exact search; retrieve.recall asks for %.4f: the search is exact.",
        at, recall, least_recall,
    )  # fmt: skip
    return None


def exact_search(
    query: FloatArray, gallery: FloatArray, most: int, workers: int = 1, engine: Engine | None = None
) -> tuple[Integers, FloatArray]:
    """Return the best `most` rows of the gallery and their inner products, best first.

    A gallery of several blocks is searched block by block on the engine; the best so far are all that is held.
    """
    if len(gallery) <= _BLOCK:
        return _exact(query, gallery, most)
    blocks = ((start, gallery[start : start + _BLOCK]) for start in range(0, len(gallery), _BLOCK))
    found, scores = np.zeros((len(query), 0), np.int64), np.zeros((len(query), 0), np.float32)
    for more, theirs in (engine or ThisMachine()).ordered(_ExactSearch(query, most, workers=workers), blocks):
        found, scores = np.concatenate([found, more], axis=1), np.concatenate([scores, theirs], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :most]  # of equal ones the first in the gallery
        found, scores = np.take_along_axis(found, order, axis=1), np.take_along_axis(scores, order, axis=1)
    return found, scores


@dataclass(frozen=True, eq=False)
class _ExactSearch(ThreadedWork):
    """The work of searching blocks of the gallery, each with the row that it begins at."""

    query: FloatArray
    most: int
    title = "searching embeddings"
    chunks_a_task = 1

    def run(self, chunks: Iterable[tuple[int, FloatArray]]) -> Iterator[tuple[Integers, FloatArray]]:
        """Yield the best rows of each block, and their inner products; a thread takes some queries."""

        def search(start: int, block: FloatArray) -> tuple[Integers, FloatArray]:
            faiss.omp_set_num_threads(1)  # of this worker thread
            return _exact(self.query[start : start + _AT_ONCE], block, min(self.most, len(block)))

        starts = range(0, len(self.query), _AT_ONCE)
        with one_thread_each(), _matrix_products(), worker_threads(self.workers) as pool:
            for first, block in chunks:
                parts = list(pool.map(lambda start: search(start, block), starts))  # noqa: B023 - used at once
                yield (
                    np.concatenate([found for found, _ in parts]) + first,
                    np.concatenate([scores for _, scores in parts]),
                )

    def named(self, chunk: tuple[int, FloatArray]) -> str:
        """Return the first row of a block."""
        return f"database photograph {chunk[0]:,} and what follows it"


@contextmanager
def _matrix_products() -> Iterator[None]:
    """Let FAISS multiply matrices for few queries as well; one by one they take six times as long."""
    few = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = 1
    try:
        yield
    finally:
        faiss.cvar.distance_compute_blas_threshold = few


def _exact(query: FloatArray, gallery: FloatArray, most: int) -> tuple[Integers, FloatArray]:
    """Search without a copy of the gallery."""
    scores, found = faiss.knn(query, gallery, most, metric=faiss.METRIC_INNER_PRODUCT)
    return found, scores


def suggest(index: Any, query: FloatArray, gallery: FloatArray, most: int, probes: int) -> tuple[Integers, FloatArray]:
    """Rank what the inverted file suggests by exact inner products; a query with too few suggestions is exact."""
    reach = min(2 * most, len(gallery))
    index.nprobe = probes
    _, rows = index.search(query, reach)
    scores = np.einsum("qd,qkd->qk", query, gallery[np.maximum(rows, 0)], optimize=True).astype(np.float32)
    scores[rows < 0] = -np.inf
    order = np.lexsort((rows, -scores), axis=1)[:, :most]
    found, best = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    few = (found < 0).any(axis=1)
    if few.any():
        found[few], best[few] = _exact(query[few], gallery, most)
    return found, best
