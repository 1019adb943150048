"""Stage one alone, stage two alone, and both, on the pseudo-queries of finished runs: nothing here has seen a query.

    python benchmarks/stages_alone.py RUN [RUN ...] [--column inliers]

Per run and data set: the nested score, and rank-1 of the pseudo-queries that play a known animal in some split (one
whose individual is not in its shortlist counts as wrong). Weights, calibrators and thresholds come from others; rank-1
is of the same decision as the score, its threshold left aside.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from animalclef.config import DecideConfig
from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.cross_fit import nested_answers
from animalclef.decision.tune import cross_fitters
from animalclef.metrics.threshold_sweep import Roles, score_of
from animalclef.store.pseudo_query_file import read_pseudo_queries
from animalclef.store.run_folder import RunFolder


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--column", default="inliers", help="what stage two is told by")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    ways = {"one": ("similarity",), "two": (arguments.column,), "both": ("similarity", arguments.column)}
    for path in arguments.runs:
        pseudo = read_pseudo_queries(RunFolder(path))
        names = sorted(pseudo)
        print(f"| {path.name} | " + " | ".join(names) + " | mean |")
        print("|" + " --- |" * (len(names) + 2))
        for way, columns in ways.items():
            cells = measured(pseudo, columns, arguments.trials, arguments.seed)
            mean = np.mean([cells[name] for name in names], axis=0)
            told = [f"{score:.3f} / {rank:.3f}" for score, rank in (*(cells[name] for name in names), mean)]
            print(f"| stage {way} | " + " | ".join(told) + " |", flush=True)
        counts = {name: int(part.splits.is_known.any(axis=0).sum()) for name, part in pseudo.items()}
        print(f"known pseudo-queries: {counts}")


def measured(
    pseudo: dict[str, PseudoQueries], columns: tuple[str, ...], trials: int, seed: int
) -> dict[str, tuple[float, float]]:
    """Nested score and rank-1 of every data set: whether the best identity by the columns as they were fused for the
    fold is the right one, at any threshold.
    """
    config = DecideConfig(scores=columns, trials=trials)
    found = {}
    for fitter in cross_fitters(pseudo, config, seed):
        for name, answered in nested_answers(fitter).items():
            splits = fitter.parts[name].splits
            known = splits.is_known.any(axis=0)
            found[name] = score_of(answered.hits, Roles.of(splits))[0], float(answered.best_is_right[known].mean())
    return found


if __name__ == "__main__":
    main()
