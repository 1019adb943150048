"""Choose defaults on other data sets: a table of candidate defaults, and leave-one-data-set-out choices among them.

    python benchmarks/defaults.py RUN [RUN ...] [--seeds 2] [--only NAME ...]

Every score is nested validation on the databases of finished runs; no photograph and no truth is read. Below the table,
for each data set: the candidate that wins on all the others, and what it loses there against the best candidate.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from animalclef.config import DecideConfig
from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.cross_fit import nested_answers
from animalclef.decision.tune import cross_fitters
from animalclef.metrics.threshold_sweep import Roles, score_of
from animalclef.store.pseudo_query_file import read_pseudo_queries
from animalclef.store.run_folder import RunFolder

BEFORE = ("similarity", "similarity:embedder-lite", "matches", "inliers", "inlier_weight", "vote")
TWO: dict[str, Any] = {"scores": ("similarity", "inliers"), "fusions": ("weighted",)}
CANDIDATES: dict[str, dict[str, Any]] = {
    "two columns, max": {**TWO, "aggregations": ("max",)},
    "two columns, top2": {**TWO, "aggregations": ("top2",)},
    "two columns": TWO,
    "all columns, max": {"fusions": ("weighted",), "aggregations": ("max",)},
    "all columns, top2": {"fusions": ("weighted",), "aggregations": ("top2",)},
    "all columns, noisy-or": {"fusions": ("weighted",), "aggregations": ("noisy_or",)},
    "all columns": {"fusions": ("weighted",)},
    "all columns, learned alone": {"fusions": ("learned",)},
    "all columns but consistency": {"scores": BEFORE},
    "default": {},
}


def main() -> None:
    """Print the table of candidates, then the leave-one-out choices."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=list(CANDIDATES))
    arguments = parser.parse_args()
    pseudo: dict[str, PseudoQueries] = {}
    for path in arguments.runs:
        pseudo |= read_pseudo_queries(RunFolder(path))
    names = sorted(pseudo)
    print("| candidate | " + " | ".join(names) + " | mean | CPU seconds |")
    print("|" + " --- |" * (len(names) + 3))
    rows = []
    with threadpool_limits(limits=1):
        for name in arguments.only:
            start = time.process_time()
            scores = [nested(pseudo, DecideConfig(**CANDIDATES[name]), seed) for seed in range(arguments.seeds)]
            row = [float(np.mean([one.get(dataset, np.nan) for one in scores])) for dataset in names]
            rows.append(row)
            cells = " | ".join(f"{score:.3f}" for score in [*row, float(np.nanmean(row))])
            print(f"| {name} | {cells} | {time.process_time() - start:.0f} |", flush=True)
    print_left_out(list(arguments.only), names, np.array(rows))


def nested(pseudo: dict[str, PseudoQueries], config: DecideConfig, seed: int) -> dict[str, float]:
    """Return the nested score of every data set that has one."""
    found = {}
    for fitter in cross_fitters(pseudo, config, seed):
        for name, answered in nested_answers(fitter).items():
            found[name] = score_of(answered.hits, Roles.of(fitter.parts[name].splits))[0]
    return found


def print_left_out(candidates: list[str], names: list[str], table: np.ndarray) -> None:
    """Print, for every data set, the winner of the others and its loss here."""
    print("\n| left out | winner on the others | its score here | best here | loss |\n| --- | --- | --- | --- | --- |")
    for place, name in enumerate(names):
        others = np.delete(table, place, axis=1)
        winner = int(np.nanargmax(np.nanmean(others, axis=1)))
        here, best = float(table[winner, place]), float(np.nanmax(table[:, place]))
        print(f"| {name} | {candidates[winner]} | {here:.3f} | {best:.3f} | {best - here:.3f} |")


if __name__ == "__main__":
    main()
