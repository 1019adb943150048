"""Each part of the decision switched off or exchanged, by nested validation on the pseudo-queries of finished runs.

    python benchmarks/decision_ablation.py RUN [RUN ...] [--trials 60] [--only NAME ...]

The runs differ in their seed alone, and were made with `--set decide.fusions=[learned] --set decide.crowd_weight=1 --set
retrieve.rescore=[expanded,reciprocal]`, so that every column is there. Nothing here has seen a query. The interval is over
individuals, drawn again within each data set; the last column is the paired interval of the difference from `default`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from animalclef.config import DecideConfig
from animalclef.data.pseudo_queries import PseudoQueries
from animalclef.evaluation.answers import Roles, score_of
from animalclef.evaluation.honesty import interval, redrawn
from animalclef.evaluation.tune import held_out_parts, nested_hits
from animalclef.store.run import RunFolder
from animalclef.store.validation import read_pseudo_queries

SCORES = ("similarity", "inliers")
FOUR = ("similarity", "matches", "inliers", "inlier_weight")
PLAIN: dict[str, Any] = {
    "scores": SCORES, "calibrations": ("logistic",), "fusions": ("weighted",), "aggregations": ("max",),
    "rules": ("probability",), "crowd_weight": 0.0,
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no calibration": {"calibrations": ("none",)},
    "isotonic": {"calibrations": ("isotonic",)},
    "beta": {"calibrations": ("beta",)},
    "calibration searched": {"calibrations": ("logistic", "isotonic", "beta")},
    "no shrinkage": {"shrinkage": 0.0},
    "no fusion: similarity": {"scores": ("similarity",)},
    "no fusion: inliers": {"scores": ("inliers",)},
    "four columns": {"scores": FOUR},
    "one pooled threshold": {"min_pseudo_queries": 10**6},
    "fixed 0.5": {"threshold": 0.5},
    "top2": {"aggregations": ("top2",)},
    "noisy-or": {"aggregations": ("noisy_or",)},
    "aggregation searched": {"aggregations": ("max", "top2", "noisy_or")},
    "gallery size prior": {"crowd_weight": 1.0},
    "noisy-or with prior": {"aggregations": ("noisy_or",), "crowd_weight": 1.0},
    "noisy-or with prior, beta": {"aggregations": ("noisy_or",), "crowd_weight": 1.0, "calibrations": ("beta",)},
    "noisy-or with prior, four columns": {"aggregations": ("noisy_or",), "crowd_weight": 1.0, "scores": FOUR},
    "noisy-or with prior, expanded": {
        "aggregations": ("noisy_or",), "crowd_weight": 1.0, "scores": (*SCORES, "expanded")
    },
    "noisy-or with prior, not calibrated": {
        "aggregations": ("noisy_or",), "crowd_weight": 1.0, "calibrations": ("none",)
    },
    "aggregation searched with prior": {"aggregations": ("max", "top2", "noisy_or"), "crowd_weight": 1.0},
    "learned, noisy-or with prior": {"fusions": ("learned",), "aggregations": ("noisy_or",), "crowd_weight": 1.0},
    "learned, four columns, noisy-or with prior": {
        "fusions": ("learned",), "scores": FOUR, "aggregations": ("noisy_or",), "crowd_weight": 1.0
    },
    "weighted or learned, noisy-or with prior": {
        "fusions": ("weighted", "learned"), "aggregations": ("noisy_or",), "crowd_weight": 1.0
    },
    "margin alone": {"rules": ("margin",)},
    "probability and margin": {"rules": ("both",)},
    "learned": {"fusions": ("learned",)},
    "learned, four columns": {"fusions": ("learned",), "scores": FOUR},
    "learned or weighted": {"fusions": ("weighted", "learned")},
    "learned, four, noisy-or": {"fusions": ("learned",), "scores": FOUR, "aggregations": ("noisy_or",)},
    "with query expansion": {"scores": (*SCORES, "expanded")},
    "with k-reciprocal": {"scores": (*SCORES, "reciprocal")},
    "everything searched": {
        "scores": FOUR, "calibrations": ("logistic", "isotonic", "beta"), "fusions": ("weighted", "learned"),
        "aggregations": ("max", "top2", "noisy_or"), "crowd_weight": 1.0, "rules": ("probability", "both"),
    },
}  # fmt: skip


def main() -> None:
    """Print a table; the first row is what the others differ from."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS))
    arguments = parser.parse_args()
    seeds = [read_pseudo_queries(RunFolder(path)) for path in arguments.runs]
    names = sorted(seeds[0])
    print("| variant | " + " | ".join(names) + " | mean | 95 % interval | from plain | seconds |")
    print("|" + " --- |" * (len(names) + 5))
    plain = None
    for name in arguments.only:
        config = DecideConfig(**{**PLAIN, "trials": arguments.trials, **VARIANTS[name]})
        start = time.perf_counter()
        scores, draws = measured(seeds, names, config)
        plain = draws if plain is None else plain
        low, high = interval(draws)
        below, above = interval(draws - plain)
        cells = [f"{score:.3f}" for score in scores]
        cells += [f"{scores.mean():.3f}", f"[{low:.3f}, {high:.3f}]", f"[{below:+.3f}, {above:+.3f}]"]
        print(f"| {name} | " + " | ".join(cells) + f" | {time.perf_counter() - start:.0f} |", flush=True)


def measured(
    seeds: list[dict[str, PseudoQueries]], names: list[str], config: DecideConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Nested score per data set, the mean over seeds; and the overall score redrawn."""
    scores, draws = [], []
    for seed, pseudo in enumerate(seeds):
        of, drawn = {}, {}
        for held_out in held_out_parts(pseudo, config, seed):
            for name, hits in nested_hits(held_out, config, seed).items():
                splits = held_out.parts[name].splits
                of[name] = score_of(hits, Roles.of(splits))[0]
                drawn[name] = redrawn(splits, hits, seed)
        scores.append([of[name] for name in names])
        draws.append(np.mean([drawn[name] for name in names], axis=0))
    return np.mean(scores, axis=0), np.mean(draws, axis=0)


if __name__ == "__main__":
    main()
