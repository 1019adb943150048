"""The exact sweep at the size of AnimalCLEF 2025 and one evaluation of the tuning objective, in CPU time.

python benchmarks/sweep_speed.py
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from animalclef.config import DecideConfig
from animalclef.data.pseudo_query import OpenSetSplits, PseudoQueries
from animalclef.decision.shared_study import Shared, new_study, objective, opened
from animalclef.decision.trial_evaluator import DecisionParams, LogOdds, TrialEvaluator
from animalclef.metrics.threshold_sweep import Roles, midpoints, sweep

QUERIES, CANDIDATES, INDIVIDUALS, SPLITS = 2135, 100, 500, 8


def main() -> None:
    """Print medians."""
    bench = prepared(QUERIES)
    plain = DecisionParams(dict.fromkeys(("inliers", "similarity"), 0.5))
    bench.answers(plain)  # what every choice shares is worked out once
    answered = timed(lambda: bench.answers(plain), 15)
    answers, roles = bench.answers(plain), Roles.of(bench.part.splits)
    grid = midpoints([answers])
    swept = timed(lambda: sweep(answers, roles, midpoints([answers])), 15)
    print(f"{QUERIES} queries x {CANDIDATES} candidates: gathering {answered:.1f} ms, exact sweep over {len(grid)} "
          f"thresholds and {SPLITS} splits {swept:.1f} ms, together {answered + swept:.1f} ms")  # fmt: skip
    config = DecideConfig(aggregations=("max", "top2", "noisy_or"))
    for queries in (300, 712):
        report(f"{queries} pseudo-queries", prepared(queries), config)


def report(name: str, bench: TrialEvaluator, config: DecideConfig, trials: int = 60) -> None:
    """One trial in memory and in a SQLite file: the objective, and what the sampler and the storage add."""
    with tempfile.TemporaryDirectory() as folder:
        shared = Shared(f"sqlite:///{Path(folder) / 'studies.db'}", "benchmark", 0)
        studies = {"in memory": new_study(0), "SQLite": opened(shared, "speed")}
        whole, inside = {}, {}
        for where, study in studies.items():
            value, spent = objective([bench], config), []

            def measured(trial: Any, value: Any = value, spent: list[float] = spent) -> float:
                start = time.process_time()
                try:
                    return float(value(trial))
                finally:
                    spent.append(time.process_time() - start)

            start = time.process_time()
            study.optimize(measured, n_trials=trials)
            whole[where], inside[where] = (time.process_time() - start) / trials * 1e3, statistics.median(spent) * 1e3
        bare = timed(
            lambda: bench.answers(DecisionParams({"inliers": 0.3, "similarity": 0.7}, aggregation="noisy_or")), 9
        )
        print(f"{name}: evaluation {bare:.1f} ms; a trial in memory {whole['in memory']:.1f} ms (objective with its "
              f"suggestions {inside['in memory']:.1f}); in SQLite {whole['SQLite']:.1f} ms, so the storage adds "
              f"{whole['SQLite'] - whole['in memory']:.1f}")  # fmt: skip


def prepared(queries: int) -> TrialEvaluator:
    """Random scores with something to find in them."""
    rng = np.random.default_rng(0)
    shape = (queries, CANDIDATES)
    identity = np.array([f"i{number % INDIVIDUALS}" for number in range(queries)], dtype=object)
    who = rng.integers(0, INDIVIDUALS, shape)
    who[:, 0] = np.arange(queries) % INDIVIDUALS
    same = who == (np.arange(queries) % INDIVIDUALS)[:, None]
    hidden = rng.random((SPLITS, INDIVIDUALS))[:, np.arange(queries) % INDIVIDUALS] < 0.4
    splits = OpenSetSplits(np.array([f"q{row}" for row in range(queries)], dtype=object), identity, ~hidden, hidden)
    columns = ("inliers", "similarity")
    odds = {column: rng.normal(-3, 1, shape) + 4 * same for column in columns}
    seen = np.ones(shape, dtype=bool)
    scores = {column: np.zeros(shape, np.float32) for column in columns}
    return TrialEvaluator(PseudoQueries(scores, same, seen, seen, ~same, splits), LogOdds(odds, {}, who))


def timed(work: Callable[[], object], runs: int) -> float:
    """Median milliseconds of a call."""
    seconds = []
    for _ in range(runs):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds) * 1e3


if __name__ == "__main__":
    main()
