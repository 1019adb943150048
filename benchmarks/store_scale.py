"""Disk, memory and the time to go on, at the size of AnimalCLEF 2025: 13,074 gallery photographs, 213,500 pairs.

    python benchmarks/store_scale.py --out DIR [--images 13074] [--queries 2135] [--matched 300] [--vlad 60000]

Made-up local features (512 keypoints of 128 numbers), real stores, log, plan and matchers. Each part runs in a process
of its own, because the peak of a process's memory cannot be taken back. Memory is told twice: what the process owns,
and the whole of it with the pages of the feature files that the system keeps for it and takes back at will.

`disk`       bytes an image in the feature store, beside a plain `np.savez` (float32, an image a file).
`nearest`    re-ranking with mutual nearest neighbours; every gallery photograph is matched.
`lightglue`  re-ranking with LightGlue 256 wide (one layer, random: an image's state is as large as with nine), until
             the images kept on the device reach their limit.
`vlad`       the step from stored VLAD vectors (8,448 numbers) to 256 principal components, of 30,000 photographs and
             of `--vlad`.
`resume`     a run with every pair in its log, and with half of them, until the first photograph is read for matching.
`pairs`      the pair log and the plan of `--planned` queries with 100 candidates each, half of them in the log.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from animalclef.config import Config, RerankConfig
from animalclef.features.embedding.embedder import FITTED_ON, Embedder
from animalclef.features.embedding.principal_components import unit
from animalclef.features.local.entries import features_from_entry
from animalclef.matching.nearest_neighbour import MutualNearest
from animalclef.matching.rerank import rerank
from animalclef.runtime.progress import Silent
from animalclef.store.pair_log import PairLog
from animalclef.store.shard_store import Entry, ShardStore
from animalclef.structures import ImageTable, LocalFeatures, Shortlist

KEYPOINTS, DIMENSIONS, TOP_K, SIZE_WH = 512, 128, 100, (1024, 683)
PARTS = ("disk", "nearest", "lightglue", "vlad", "resume", "pairs")


def main() -> None:
    """Every part in a process of its own, or the one that is named."""
    given = arguments()
    if given.part:
        print(json.dumps(globals()[f"part_{given.part}"](given)), flush=True)
        return
    given.out.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        own = [sys.executable, __file__, *sys.argv[1:], "--part", part]
        told = json.loads(subprocess.run(own, check=True, capture_output=True, text=True).stdout)
        print(f"{part}: " + ", ".join(f"{name} {value:,.2f}" for name, value in told.items()), flush=True)


def part_disk(given: argparse.Namespace) -> dict[str, float]:
    """The stores that the other parts read, and 200 images as plain files."""
    told: dict[str, float] = {}
    for kind in ("sift", "aliked-n16"):
        shutil.rmtree(given.out / kind, ignore_errors=True)
        store = ShardStore(given.out / kind, kind)
        for first in range(0, given.images + given.queries, 32):
            numbers = range(first, min(first + 32, given.images + given.queries))
            store.put({key(number): entry(kind, number) for number in numbers})
        told[f"{kind}: kB an image"] = size_of(given.out / kind) / (given.images + given.queries) / 1e3
        plain = given.out / f"{kind}-plain"
        plain.mkdir(exist_ok=True)
        for number in range(200):
            made = entry(kind, number)
            np.savez(plain / key(number), **{name: np.asarray(part, np.float32) for name, part in made.items()})
        told[f"{kind}: kB as float32 in np.savez"] = size_of(plain) / 200 / 1e3
        told[f"{kind}: GB for all"] = size_of(given.out / kind) / 1e9
    return told


def part_nearest(given: argparse.Namespace) -> dict[str, float]:
    """As many queries as reach every gallery photograph, all data sets in one gallery."""
    return memory_of(given, MutualNearest(RerankConfig()), "sift", given.matched, TOP_K)


def part_lightglue(given: argparse.Namespace) -> dict[str, float]:
    """Float32 states of 0.66 MB each; the limit is 2 GiB."""
    import torch
    from kornia.feature import LightGlue

    from animalclef.matching.lightglue.batched import BatchedLightGlue
    from animalclef.matching.lightglue.factory import memory_budget
    from animalclef.matching.lightglue.loading import LightGlueConfig, LightGlueModel
    from animalclef.matching.lightglue.matcher import DeviceWorker, LightGlueMatcher

    torch.set_num_threads(1)
    shape = LightGlueConfig("aliked", DIMENSIONS, n_layers=1, depth_confidence=-1, width_confidence=-1)
    network = LightGlue(features=None, **shape.architecture).eval().requires_grad_(False)
    device = torch.device("cpu")
    engine = BatchedLightGlue(LightGlueModel(network, shape, "random", Path()), device, torch.float32)
    lane = DeviceWorker(engine, *memory_budget(device))
    matcher = LightGlueMatcher(RerankConfig(matcher="lightglue"), [lane])
    told = memory_of(given, matcher, "aliked-n16", given.matched // 8, TOP_K)
    kept = sum(key(number) in lane for number in range(given.images + given.queries))
    return told | {"images kept at the end": kept, "GB that they take": lane._bytes / 1e9}


def memory_of(given: argparse.Namespace, matcher: Any, kind: str, queries: int, top_k: int) -> dict[str, float]:
    """Re-rank, and tell the peaks."""
    before = owned()
    store = ShardStore(given.out / kind, kind)
    log = PairLog(fresh(given.out / f"{kind}.log"), "benchmark", matcher.columns)
    table = images(given)
    shortlist = candidates(given, queries, top_k, spread=True)
    peak = [0.0]

    def read(name: str) -> LocalFeatures:
        peak[0] = max(peak[0], owned())
        return features_from_entry(name, store.get(name), kind)

    start, ran = time.perf_counter(), time.process_time()
    rerank(shortlist, table, read, matcher, log, 1, Silent())
    wall = time.perf_counter() - start
    return {
        "pairs": len(log), "gallery photographs matched": len(np.unique(shortlist.index)),
        "pairs a second": len(log) / wall, "processor s": time.process_time() - ran,
        "GB owned before": before, "GB owned at most": max(peak[0], owned()),
        "GB with mapped files": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }  # fmt: skip


def part_vlad(given: argparse.Namespace) -> dict[str, float]:
    """Memory of the projection, for as many photographs as a PCA is fitted on and for more."""
    told: dict[str, float] = {}
    rng = np.random.default_rng(0)
    values = rng.standard_normal((4096, 8448), dtype=np.float32) * np.arange(1, 8449, dtype=np.float32) ** -0.5
    for count in (FITTED_ON, given.vlad):
        numbered = argparse.Namespace(out=given.out, images=count, queries=0)
        embedder = Embedder("A", images(numbered), Config(), None)
        for made in (f"vlad-{count}", f"vlad-{count}-vectors"):
            shutil.rmtree(given.out / made, ignore_errors=True)
        store = ShardStore(given.out / f"vlad-{count}", "vlad")
        for first in range(0, count, 64):
            rows = range(first, min(first + 64, count))
            store.put(
                {
                    key(row): {"embedding": unit(np.roll(values[row % 4096], row // 4096)).astype(np.float16)}
                    for row in rows
                }
            )
        start, peak = time.perf_counter(), Peak()
        with peak:
            embedder.embeddings(embedder.gallery, store)
        told[f"{count:,}: GB owned at most"] = peak.gigabytes
        told[f"{count:,}: seconds"] = time.perf_counter() - start
    return told


class Peak:
    """The most memory owned within a block, looked at ten times a second."""

    def __enter__(self) -> Peak:
        self.gigabytes, self._ended = owned(), threading.Event()
        self._watch = threading.Thread(target=self._look)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watch.join()

    def _look(self) -> None:
        while not self._ended.wait(0.1):
            self.gigabytes = max(self.gigabytes, owned())


def part_resume(given: argparse.Namespace) -> dict[str, float]:
    """The features are looked through once, as at the start of every run; then the log is opened and the plan made."""
    told: dict[str, float] = {}
    start = time.perf_counter()
    store = ShardStore(given.out / "sift", "sift")
    told["s to list the feature store"] = time.perf_counter() - start
    start = time.perf_counter()
    damaged = store.verify([key(number) for number in range(given.images + given.queries)])
    if damaged:
        raise SystemExit(f"{given.out / 'sift'}: {len(damaged):,} features are damaged or missing. Run `disk` again.")
    told["s to check every feature"] = time.perf_counter() - start
    table, shortlist = images(given), candidates(given, given.queries, TOP_K, spread=False)
    columns = MutualNearest.columns
    path = fresh(given.out / "resume.log")
    log = PairLog(path, "benchmark", columns)
    plan = [(key(given.images + row), [key(int(at)) for at in index]) for row, index in enumerate(shortlist.index)]
    for number, (query, others) in enumerate(plan):
        log.append([query] * len(others), others, np.full((len(others), len(columns)), number, np.float32))
        if number == len(plan) // 2:
            shutil.copyfile(path, path.with_suffix(".half"))
    told["pairs"] = len(log)
    told["MB of log"] = path.stat().st_size / 1e6
    told["MB as a dense grid"] = given.queries * given.images * len(columns) * 4 / 1e6
    for name, file in (("all", path), ("half", path.with_suffix(".half"))):
        start = time.perf_counter()
        log = PairLog(file, "benchmark", columns)
        told[f"{name} done: s to open the log"] = time.perf_counter() - start
        with contextlib.suppress(Reached):
            rerank(shortlist, table, stop, MutualNearest(RerankConfig()), log, 1, Silent())
        told[f"{name} done: s in all"] = time.perf_counter() - start
    grid = np.full((given.queries, given.images, len(columns)), np.nan, np.float32)
    np.save(given.out / "grid.npy", grid)
    start = time.perf_counter()
    grid = np.load(given.out / "grid.npy")
    np.isnan(grid[:, :, 0]).sum()
    told["dense grid: s to open and count"] = time.perf_counter() - start
    return told | {"GB owned": owned()}


def part_pairs(given: argparse.Namespace) -> dict[str, float]:
    """Memory and seconds until the first photograph is read for matching."""
    many = argparse.Namespace(**{**vars(given), "queries": given.planned})
    table, shortlist = images(many), candidates(many, given.planned, TOP_K, spread=False)
    columns, path = MutualNearest.columns, fresh(given.out / "pairs.log")
    log = PairLog(path, "benchmark", columns)
    for row in range(0, given.planned, 2):
        others = [key(int(at)) for at in shortlist.index[row]]
        log.append([key(given.images + row)] * TOP_K, others, np.zeros((TOP_K, len(columns)), np.float32))
    del log
    count, before, start = shortlist.pair_count, owned(), time.perf_counter()
    with Peak() as opening:
        log = PairLog(path, "benchmark", columns)
    told = {"pairs planned": float(count), "s to open the log": time.perf_counter() - start}
    told["bytes a pair of the log"] = (owned() - before) * 1e9 / len(log)
    told["bytes a pair at most"] = (opening.gigabytes - before) * 1e9 / len(log)
    before, start = owned(), time.perf_counter()
    with Peak() as planning, contextlib.suppress(Reached):
        rerank(shortlist, table, stop, MutualNearest(RerankConfig()), log, 1, Silent())
    told["plan: s"] = time.perf_counter() - start
    return told | {"plan: bytes a pair at most": (planning.gigabytes - before) * 1e9 / count}


class Reached(Exception):
    """The first photograph is wanted: matching goes on."""


def stop(name: str) -> LocalFeatures:
    """Read nothing."""
    raise Reached


def key(number: int) -> str:
    """A content key."""
    return f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}{number:016x}"


def entry(kind: str, number: int) -> Entry:
    """What an extractor stores, of noise."""
    rng = np.random.default_rng([1, number])
    points = (rng.random((KEYPOINTS, 2)) * SIZE_WH).astype(np.float32)
    nothing, size = np.zeros(KEYPOINTS, np.float32), np.array(SIZE_WH, np.int32)
    common = {"keypoints_xy": points, "scale": nothing + 8, "orientation_rad": nothing, "size_wh": size}
    if kind == "sift":
        return {**common, "descriptors": rng.integers(0, 128, (KEYPOINTS, DIMENSIONS), dtype=np.uint8)}
    descriptors = rng.standard_normal((KEYPOINTS, DIMENSIONS), dtype=np.float32) / DIMENSIONS**0.5
    made_by = np.frombuffer(kind.encode(), np.uint8)
    return {**common, "descriptors": descriptors.astype(np.float16), "confidence": nothing + 1, "extractor": made_by}


def images(given: argparse.Namespace) -> ImageTable:
    """The gallery and then the queries, in one data set."""
    count = given.images + given.queries
    names = np.array([str(number) for number in range(count)], dtype=object)
    keys = np.array([key(number) for number in range(count)], dtype=object)
    is_query = np.arange(count) >= given.images
    who = np.array([None if query else f"a{number // 8}" for number, query in enumerate(is_query)], dtype=object)
    empty = np.full(count, "", dtype=object)
    return ImageTable(
        root=given.out, image_id=names, path=names, dataset=np.full(count, "A", dtype=object), is_query=is_query,
        identity=who, date=empty, viewpoint=empty, species=empty, encounter=empty,
        bbox_xywhr=np.full((count, 5), np.nan, np.float32), key=keys,
    )  # fmt: skip


def candidates(given: argparse.Namespace, queries: int, top_k: int, *, spread: bool) -> Shortlist:
    """`spread`: each photograph as often as the next, so that all are reached."""
    rng = np.random.default_rng(2)
    if spread:
        order = np.concatenate(list(shuffled(rng, given.images, queries * top_k)))[: queries * top_k]
        index = order.reshape(queries, top_k)
    else:
        index = np.array([rng.choice(given.images, top_k, replace=False) for _ in range(queries)])
    query_id = np.array([str(given.images + row) for row in range(queries)], dtype=object)
    gallery_id = np.array([str(number) for number in range(given.images)], dtype=object)
    return Shortlist(query_id, gallery_id, index.astype(np.int32), np.zeros(index.shape, np.float32))


def shuffled(rng: np.random.Generator, images: int, wanted: int) -> Iterator[np.ndarray]:
    """Every photograph once, in a new order each time."""
    for _ in range(0, wanted, images):
        yield rng.permutation(images)


def owned() -> float:
    """GB of memory that no file stands behind."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1e6


def fresh(path: Path) -> Path:
    """The path, without a file at it."""
    path.unlink(missing_ok=True)
    return path


def size_of(folder: Path) -> int:
    """Bytes of the files in it."""
    return sum(path.stat().st_size for path in folder.iterdir())


def arguments() -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="a folder for about 4 GB")
    parser.add_argument("--images", type=int, default=13_074)
    parser.add_argument("--queries", type=int, default=2_135)
    parser.add_argument("--matched", type=int, default=300, help="queries that are matched for the peak of memory")
    parser.add_argument("--vlad", type=int, default=60_000, help="photographs of the part of that name")
    parser.add_argument("--planned", type=int, default=20_000, help="queries of `pairs`")
    parser.add_argument("--part", choices=PARTS, help="this part alone, as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
