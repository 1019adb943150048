"""Milliseconds of one core for each step of `predict`: a photograph decoded, cut out and described, a pair matched.

    python benchmarks/where_time_goes.py --data DIR [--photographs 16] [--rounds 3]

All steps run on one thread, in one run, on the same photographs; a figure is the median over photographs or pairs and
rounds. A query is matched with all its candidates in one call and the network gets all photographs at once, as in
`predict`. The last column is the speed of the step's arithmetic as a share of a large float32 matrix product's,
measured beside it: a step near 1 gets faster only by doing less.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from animalclef.config import Config, EmbedConfig
from animalclef.data.decode import read_image, resize_long_side
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.features.embedding.timm_embedder import load_embedder
from animalclef.features.embedding.vlad import VladExtractor, dense_descriptors, fit_codebook
from animalclef.features.local.sift import extract_sift
from animalclef.features.local.unit_descriptors import root_sift
from animalclef.hub.catalogue import shipped_segmenter
from animalclef.matching.nearest_neighbour import MutualNearest
from animalclef.prepare.u2net_segmenter import U2NetSegmenter
from animalclef.prepare.u2netp import load_u2netp
from animalclef.runtime.threads import one_thread_each, worker_threads

T = TypeVar("T")

SIZES = ((512, 512), (1024, 640), (2048, 800))  # keypoints, long side
SEGMENTER_GFLOP = 18.2  # U2-Net-P at 320 x 320: 9.08 billion multiplications and as many additions
SHOWN_SIDE = 640  # of a photograph that the segmenter is given
PAIRS = 12


class Clock:
    """Seconds of each step, and its arithmetic."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.gflop: dict[str, list[float]] = defaultdict(list)

    def time(self, step: str, work: Callable[..., T], *given: object, gflop: float = 0.0, items: int = 1) -> T:
        """Run a step with what it is given, and note how long it took for each of its items."""
        start = time.perf_counter()
        result = work(*given)
        self.seconds[step].append((time.perf_counter() - start) / items)
        self.gflop[step].append(gflop)
        return result

    def speed(self, step: str) -> float:
        """Return the billions of operations a second of a step."""
        return statistics.median(g / s for g, s in zip(self.gflop[step], self.seconds[step], strict=True))


def main() -> None:
    """Time every step and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--photographs", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    clock = Clock()
    with one_thread_each():
        for _ in range(given.rounds):
            measure(clock, given.data, given.photographs)
    peak = clock.speed(PRODUCT)
    print(f"{'step':44s}{'ms':>9s}{'share of peak':>16s}")
    for step, seconds in clock.seconds.items():
        share = f"{clock.speed(step) / peak:.2f}" if any(clock.gflop[step]) else ""
        print(f"{step:44s}{1e3 * statistics.median(seconds):9.2f}{share:>16s}")
    print(f"peak: {peak:.0f} billion operations a second")


PRODUCT = "a float32 product of 2,048 x 2,048 x 2,048"


def measure(clock: Clock, data: Path, photographs: int) -> None:
    """Time each step once for every photograph, and for a few pairs."""
    config = Config()
    one = np.random.default_rng(0).random((2048, 2048), dtype=np.float32)
    for _ in range(4):
        clock.time(PRODUCT, np.matmul, one, one, gflop=2 * 2048**3 / 1e9)
    table = load_table(find_source(data)).images
    rows = np.linspace(0, len(table) - 1, photographs).astype(int).tolist()
    decoded = [clock.time("decode", read_image, table, row, config.data) for row in rows]
    reader = U2NetSegmenter(load_u2netp(shipped_segmenter()), "cpu", 1)
    for image in decoded[:8]:
        shown = [resize_long_side(image.pixels, SHOWN_SIDE, enlarge=False)]
        clock.time("find the animal (U2-Net-P, 320 px)", reader.maps, shown, gflop=SEGMENTER_GFLOP)
    dense = [clock.time("VLAD: dense descriptors", dense_descriptors, image, config.embed) for image in decoded]
    with worker_threads(1) as pool:
        vlad = VladExtractor(fit_codebook(dense, config.embed, 0), config.embed)
        network = load_embedder(EmbedConfig(model="embedder-lite"), "cpu")
        for image in decoded:
            clock.time("VLAD, all", vlad.extract_features, [image], pool)
        clock.time("embedder-lite, all at once", network.extract_features, decoded, pool, items=len(decoded))
    matcher = MutualNearest(config.rerank)
    for most, long_side in SIZES:
        size = config.keypoints.model_copy(update={"max_keypoints": most, "long_side": long_side})
        found = [clock.time(f"SIFT, up to {most:,} at {long_side} px", extract_sift, one, size) for one in decoded]
        query, *candidates = sorted(found, key=len)[-PAIRS:]
        keypoints = round(statistics.mean(map(len, candidates)))
        wanted = root_sift(query.descriptors)
        for candidate in candidates:
            gflop = 2 * wanted.shape[1] * len(query) * len(candidate) / 1e9
            values = root_sift(candidate.descriptors).T
            clock.time(f"similarities of {keypoints:,} keypoints", np.matmul, wanted, values, gflop=gflop)
        gflop = statistics.mean(2 * wanted.shape[1] * len(query) * len(candidate) / 1e9 for candidate in candidates)
        pair = f"a pair of {keypoints:,} keypoints, all"
        clock.time(pair, matcher.match, query, candidates, gflop=gflop, items=len(candidates))


if __name__ == "__main__":
    main()
