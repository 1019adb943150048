"""Each part of the decision switched off or exchanged, by nested validation on the pseudo-queries of finished runs.

    python benchmarks/decision_ablation.py RUN [RUN ...] [--only NAME ...]

The runs differ in their seed alone. Nothing here has seen a query. The interval is over individuals, drawn again within
each data set; then comes that of the difference from `plain`, paired.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from animalclef.config import DecideConfig
from animalclef.data.pseudo_query import OpenSetSplits, PseudoQueries
from animalclef.decision.cross_fit import nested_answers
from animalclef.decision.tune import cross_fitters
from animalclef.metrics.threshold_sweep import Roles, score_of
from animalclef.store.pseudo_query_file import read_pseudo_queries
from animalclef.store.run_folder import RunFolder

SCORES = ("similarity", "inliers")
FOUR = ("similarity", "matches", "inliers", "inlier_weight")
PLAIN: dict[str, Any] = {"scores": SCORES, "fusions": ("weighted",), "aggregations": ("max",)}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no fusion: similarity": {"scores": ("similarity",)},
    "no fusion: inliers": {"scores": ("inliers",)},
    "four columns": {"scores": FOUR},
    "one pooled threshold": {"min_pseudo_queries": 10**6},
    "fixed 0.5": {"threshold": 0.5},
    "top2": {"aggregations": ("top2",)},
    "noisy-or": {"aggregations": ("noisy_or",)},
    "aggregation searched": {"aggregations": ("max", "top2", "noisy_or")},
    "learned": {"fusions": ("learned",)},
    "learned, four columns": {"fusions": ("learned",), "scores": FOUR},
    "learned or weighted": {"fusions": ("weighted", "learned")},
    "learned, four, noisy-or": {"fusions": ("learned",), "scores": FOUR, "aggregations": ("noisy_or",)},
    "everything searched": {
        "scores": FOUR, "fusions": ("weighted", "learned"), "aggregations": ("max", "top2", "noisy_or")
    },
}  # fmt: skip


def main() -> None:
    """Print a table; the first row is what the others differ from."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--only", nargs="*", default=list(VARIANTS))
    arguments = parser.parse_args()
    seeds = [read_pseudo_queries(RunFolder(path)) for path in arguments.runs]
    names = sorted(seeds[0])
    print("| variant | " + " | ".join(names) + " | mean | 95% interval | from plain | seconds |")
    print("|" + " --- |" * (len(names) + 5))
    plain = None
    for name in arguments.only:
        config = DecideConfig(**{**PLAIN, **VARIANTS[name]})
        start = time.perf_counter()
        scores, draws = measured(seeds, names, config)
        plain = draws if plain is None else plain
        low, high = np.quantile(draws, [0.025, 0.975])
        below, above = np.quantile(draws - plain, [0.025, 0.975])
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
        for fitter in cross_fitters(pseudo, config, seed):
            for name, answered in nested_answers(fitter).items():
                splits = fitter.parts[name].splits
                of[name] = score_of(answered.hits, Roles.of(splits))[0]
                drawn[name] = redrawn(splits, answered.hits, seed)
        scores.append([of[name] for name in names])
        draws.append(np.mean([drawn[name] for name in names], axis=0))
    return np.mean(scores, axis=0), np.mean(draws, axis=0)


def redrawn(splits: OpenSetSplits, hits: tuple[np.ndarray, np.ndarray], seed: int, draws: int = 1000) -> np.ndarray:
    """(draws,): the score, the mean over splits, when individuals are drawn with replacement.

    `hits` says which pseudo-queries are answered right as known and as unknown. A draw in which a split has lost one of
    its two roles leaves that split out.
    """
    names, who = np.unique(splits.identity.astype(str), return_inverse=True)
    known, known_there = per_individual(splits.is_known, who, len(names), hits[0])
    unknown, unknown_there = per_individual(splits.is_unknown, who, len(names), hits[1])
    rng = np.random.default_rng([seed, 5])
    times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws).astype(np.float64)
    counts = times @ known_there.T, times @ unknown_there.T
    with np.errstate(invalid="ignore", divide="ignore"):
        score = np.sqrt((times @ known.T / counts[0]) * (times @ unknown.T / counts[1]))
    usable = np.isfinite(score)
    return np.asarray(np.where(usable, score, 0).sum(axis=1) / np.maximum(usable.sum(axis=1), 1))


def per_individual(role: np.ndarray, who: np.ndarray, count: int, hit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(splits, individuals): the share of an individual's photographs that are hit, and whether it has the role."""
    member = np.zeros((len(who), count))
    member[np.arange(len(who)), who] = 1.0
    there = role.astype(np.float64) @ member
    share = (role * hit).astype(np.float64) @ member / np.maximum(there, 1)
    return share, (there > 0).astype(np.float64)


if __name__ == "__main__":
    main()
