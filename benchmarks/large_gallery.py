"""A million made-up 256-d vectors: what their index takes, and what it finds of an exact search.

    python benchmarks/large_gallery.py [--vectors 1000000] [--queries 500] [--memory-gb 0.6]

Vectors lie about the centres of 20,000 individuals; their k-th number has a variance of 1 / k, as after a PCA. Prints
processor seconds (of all threads, so that other work on the machine does not count), peak memory, the length of codes,
and the cells that are searched for each recall@100.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from animalclef.retrieval.large_gallery import build_index, cells_for, exact_search, suggest
from animalclef.structures import FloatArray

DIMENSIONS, INDIVIDUALS, MOST = 256, 20_000, 100


def main() -> None:
    """Index, search, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--memory-gb", type=float, default=0.6)
    given = parser.parse_args()
    scale = np.arange(1, DIMENSIONS + 1, dtype=np.float32) ** -0.5
    centres = (
        np.random.default_rng(0).standard_normal((min(INDIVIDUALS, given.vectors), DIMENSIONS), np.float32) * scale
    )
    gallery, query = made_up(given.vectors, centres, scale, 1), made_up(given.queries, centres, scale, 2)
    print(f"{given.vectors:,} vectors, {cells_for(given.vectors):,} cells, {gallery.nbytes / 1e9:.2f} GB")
    start, before = time.process_time(), peak_gb()
    exact, _ = exact_search(query, gallery, MOST, workers=2)
    print(f"exact search: {rate(given.queries, start)}, peak {before:.2f} GB before and {peak_gb():.2f} GB after")
    start, before = time.process_time(), peak_gb()
    index = build_index(gallery, given.memory_gb)
    print(f"index: {time.process_time() - start:,.0f} s, codes of {index.code_size} bytes, "
          f"peak {before:.2f} GB before and {peak_gb():.2f} GB after")  # fmt: skip
    probes = 4
    while probes <= index.nlist:
        start = time.process_time()
        found, _ = suggest(index, query, gallery, MOST, probes)
        recall = np.mean([np.isin(one, two).mean() for one, two in zip(exact, found, strict=True)])
        print(f"{probes:4d} cells: recall@{MOST} {recall:.4f}, {rate(given.queries, start)}")
        if recall >= 0.999:
            break
        probes *= 2


def made_up(count: int, centres: FloatArray, scale: FloatArray, seed: int) -> FloatArray:
    """Return unit vectors (count, d) about the centres."""
    rng = np.random.default_rng(seed)
    values = np.empty((count, DIMENSIONS), np.float32)
    for start in range(0, count, 100_000):
        rows = values[start : start + 100_000]
        rows[:] = centres[rng.integers(0, len(centres), len(rows))] + 0.6 * scale * rng.standard_normal(
            rows.shape, np.float32
        )
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return values


def rate(queries: int, start: float) -> str:
    """Return queries per processor second since `start`."""
    return f"{queries / (time.process_time() - start):,.0f} queries a processor second"


def peak_gb() -> float:
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
