"""A million made-up 256-d vectors: what their index takes, and what it finds of an exact search.

    python benchmarks/large_gallery.py [--vectors 1000000] [--queries 500] [--memory-gb 0.6]

Vectors lie about 20,000 centres, as photographs of individuals do. Prints seconds and peak memory of the index, the
cells that are searched for each recall@100, and queries a second beside exact search.
"""

from __future__ import annotations

import argparse
import resource
import time

import faiss
import numpy as np

from animalclef.retrieval.large_gallery import build_index, cells_for, suggest
from animalclef.structures import FloatArray

DIMENSIONS, CENTRES, MOST = 256, 20_000, 100


def main() -> None:
    """Index, search, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--memory-gb", type=float, default=0.6)
    given = parser.parse_args()
    centres = np.random.default_rng(0).normal(size=(min(CENTRES, given.vectors), DIMENSIONS)).astype(np.float32)
    gallery, query = made_up(given.vectors, centres, 1), made_up(given.queries, centres, 2)
    print(f"{given.vectors:,} vectors, {cells_for(given.vectors):,} cells, {gallery.nbytes / 1e9:.2f} GB")
    start = time.perf_counter()
    exact = faiss.knn(query, gallery, MOST, metric=faiss.METRIC_INNER_PRODUCT)[1]
    print(f"exact search: {given.queries / (time.perf_counter() - start):,.0f} queries a second")
    start, before = time.perf_counter(), peak_gb()
    index = build_index(gallery, given.memory_gb)
    print(f"index: {time.perf_counter() - start:,.0f} s, codes of {index.code_size} bytes, "
          f"peak {before:.2f} GB before and {peak_gb():.2f} GB after")  # fmt: skip
    for probes in (4, 8, 16, 32, 64, 128, 256):
        start = time.perf_counter()
        found, _ = suggest(index, query, gallery, MOST, probes)
        seconds = time.perf_counter() - start
        recall = np.mean([np.isin(one, two).mean() for one, two in zip(exact, found, strict=True)])
        print(f"{probes:4d} cells: recall@{MOST} {recall:.4f}, {given.queries / seconds:,.0f} queries a second")
        if recall >= 0.999:
            break


def made_up(count: int, centres: FloatArray, seed: int) -> FloatArray:
    """Return unit vectors (count, d) about the centres."""
    rng = np.random.default_rng(seed)
    values = np.empty((count, DIMENSIONS), np.float32)
    for start in range(0, count, 100_000):
        rows = slice(start, min(start + 100_000, count))
        noise = rng.standard_normal((rows.stop - rows.start, DIMENSIONS), np.float32)
        values[rows] = centres[rng.integers(0, len(centres), len(noise))] + 0.6 * noise
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def peak_gb() -> float:
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
