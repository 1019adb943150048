"""One evaluation of the official score at the size of AnimalCLEF 2025, against the plain pandas loop.

python benchmarks/score_speed.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from animalclef.metrics.competition import ScoreKernel


def main() -> None:
    """Print medians and their ratio, and check that both agree."""
    rng = np.random.default_rng(0)
    sizes = {"LynxID2025": (946, 77), "SalamanderID2025": (689, 587), "SeaTurtleID2022": (500, 438)}
    frames = []
    for dataset, (queries, individuals) in sizes.items():
        identity = np.array([f"{dataset}_{number}" for number in rng.integers(0, individuals, queries)], dtype=object)
        frames.append(pd.DataFrame({"dataset": dataset, "identity": identity}))
    truth = pd.concat(frames, ignore_index=True)
    truth["known"] = truth["identity"].map(lambda name: hash_share(name) > 0.35)
    answers = np.where(rng.random(len(truth)) < 0.6, truth["identity"], None)
    kernel = ScoreKernel(truth["identity"].to_numpy(), truth["dataset"].to_numpy(), truth["known"].to_numpy())
    codes = kernel.encode(answers)
    ours, fast = timed(lambda: kernel.overall(codes), 200)
    plain, slow = timed(lambda: plain_score(truth, answers), 5)
    assert abs(ours - plain) < 1e-12, (ours, plain)
    print(f"{len(truth)} queries: ours {fast * 1e3:.3f} ms, plain loop {slow * 1e3:.1f} ms, ratio {slow / fast:.0f}")


def hash_share(name: str) -> float:
    """A fixed number in [0, 1) for a name."""
    return sum(map(ord, name)) * 7919 % 1000 / 1000


def plain_score(truth: pd.DataFrame, answers: np.ndarray) -> float:
    """The definition, group by group."""
    scores = []
    hit = np.where(truth["known"], answers == truth["identity"], pd.isna(answers))
    frame = truth.assign(hit=hit)
    for _, rows in frame.groupby("dataset"):
        known, unknown = rows[rows["known"]], rows[~rows["known"]]
        parts = [np.mean([one["hit"].mean() for _, one in side.groupby("identity")]) for side in (known, unknown)]
        scores.append(np.sqrt(np.nan_to_num(parts[0]) * np.nan_to_num(parts[1])))
    return float(np.mean(scores))


def timed(work: Callable[[], float], runs: int) -> tuple[float, float]:
    """The result and the median seconds of a call."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return result, statistics.median(seconds)


if __name__ == "__main__":
    main()
