"""What the driver of a cluster does alone after the others: reads the stores, fuses the scores, writes the candidates.

    python benchmarks/driver_rates.py RUN [--pairs 200000]

RUN is a finished run. Every entry of its stores is read once, as a run does that finds them filled. The queries are
taken again and again under new names until they have so many pairs; these are fused by the run's own decision and
written. One thread, medians of three; the rates in `cluster_cost.py` come from here.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import reduce
from pathlib import Path

import numpy as np
from safetensors import safe_open

from animalclef.catalogue.recogniser import joined
from animalclef.decision.fusion import fuse
from animalclef.store import shard_store
from animalclef.store.finished_run import FinishedRun, load_run
from animalclef.store.run_folder import RunFolder
from animalclef.store.shard_store import ShardStore
from animalclef.structures import ImageTable, PairScores


def main() -> None:
    """Print the seconds of each part and its rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--pairs", type=int, default=200_000)
    given = parser.parse_args()
    for folder in sorted({path.parent for path in given.run.rglob("*.safetensors")}):
        made_by = _made_by(folder)
        opened = seconds(lambda folder=folder, made_by=made_by: _opened(folder, made_by))
        store = ShardStore(folder, made_by)
        keys = list(store._places)
        read = seconds(lambda store=store, keys=keys: store.verify(keys))
        size = sum(path.stat().st_size for path in folder.iterdir()) / max(1, len(keys)) / 1000
        name = folder.relative_to(given.run)
        print(f"{name}: {len(keys):,} entries of {size:,.1f} kB, {len(keys) / (opened + read):,.0f} a second")
    run = load_run(given.run)
    scores, images = repeated(run, given.pairs)
    fused = seconds(lambda: fuse(scores, images, run.decision))
    print(f"fusing {len(scores.columns)} scores: {len(scores) / fused:,.0f} pairs a second")
    ranked = fuse(scores, images, run.decision)
    with tempfile.TemporaryDirectory() as out:
        written = seconds(lambda: RunFolder(Path(out)).write_candidates(ranked))
    print(f"writing candidates.csv: {len(scores) / written:,.0f} pairs a second")


def repeated(run: FinishedRun, pairs: int) -> tuple[PairScores, ImageTable]:
    """Return the run's candidates with queries of many names, and a table with these."""
    frame, images = run.candidates, run.images
    times = -(-pairs // len(frame))
    queries = images.queries
    copies = [queries.with_columns(image_id=_renamed(queries.image_id, turn)) for turn in range(times)]
    table = reduce(joined, copies, images.gallery)
    query = np.concatenate([_renamed(frame["query_id"].to_numpy(dtype=object), turn) for turn in range(times)])
    columns = {name: np.tile(frame[name].to_numpy(np.float32), times) for name in frame.columns[2:]}
    scores = PairScores(query, np.tile(frame["gallery_id"].to_numpy(dtype=object), times), columns)
    return scores, table


def _renamed(names: np.ndarray, turn: int) -> np.ndarray:
    return np.array([f"{name}/{turn}" for name in names], dtype=object)


def _opened(folder: Path, made_by: str) -> ShardStore:
    shard_store._entries_of.cache_clear()
    return ShardStore(folder, made_by)


def _made_by(folder: Path) -> str:
    with safe_open(next(folder.glob("*.safetensors")), framework="np") as file:
        return str((file.metadata() or {}).get("made_by", ""))


def seconds(what: Callable[[], object]) -> float:
    """Return the median of three runs."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        what()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
