"""Accuracy against pairs matched: `predict --budget` on pseudo-queries of a data set whose candidates are all matched.

    python benchmarks/budget_curve.py --data DATA --run RUN --out FOLDER [--seed 0] [--share 0.25]

Uses what the run folder holds (a finished `predict`) and matches what it lacks. The rule is learned on the individuals
of three folds and scored on the fourth. Besides the curve by one fixed decision, prints the nested score of a decision
tuned on the scores of all pairs, and of one tuned and scored on what the rule leaves at `--share` of the pairs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from animalclef.config import Config, load_config
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.decision.decision_model import Decision
from animalclef.decision.early_exit import Trace, only_first, trace_of
from animalclef.decision.early_exit_curve import held_out_chances, limit_for, trade_off, write_trade_off
from animalclef.decision.tune import tune
from animalclef.pipeline.budget import STEPS
from animalclef.pipeline.candidate_search import CandidateSearch
from animalclef.pipeline.features import encounters_of, extract_all_features
from animalclef.pipeline.image_contents import read_contents
from animalclef.pipeline.match import match_pairs
from animalclef.pipeline.run_context import open_context
from animalclef.pipeline.shortlists import PseudoQuerySet, build_pseudo_queries
from animalclef.runtime.progress import Silent
from animalclef.store.run_folder import RunFolder
from animalclef.structures import PairScores


def main() -> None:
    """Match, trace_of, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0, help="of the draw of pseudo-queries and of the tuning")
    parser.add_argument("--share", type=float, default=0.25)
    parser.add_argument("--config", help="of the run")
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    arguments = parser.parse_args()
    with RunFolder(arguments.run).claimed():
        measure(arguments)


def measure(arguments: argparse.Namespace) -> None:
    """The curve, and what some shares cost."""
    config = load_config(arguments.config, arguments.assignments)
    folder, nothing = RunFolder(arguments.run), Silent()
    contents = read_contents(load_table(find_source(arguments.data)), config, 2, nothing)
    context = open_context(config, folder, "cpu", workers=2)
    columns = context.match_columns
    described = extract_all_features(contents, context)
    drawn = config.model_copy(update={"seed": arguments.seed})
    search = CandidateSearch(described, replace(context, config=drawn))
    played = build_pseudo_queries(search, encounters_of(described, config))
    scores = [match_pairs(one, described, context) for one in (played.as_known, played.as_unknown)]
    print(f"{len(played.queries)} pseudo-queries, {played.pair_count:,} pairs", flush=True)
    whole = tuned(played, scores, drawn)
    roles = [trace_of(one, described.images, whole, STEPS, columns) for one in scores]
    chances = held_out_chances(roles)
    points = trade_off(roles[0], roles[1], chances, played.findable)
    write_trade_off(points, arguments.out / "budget.csv", arguments.out / "budget.png")
    for point in points:
        print(f"{point.rule:8} {point.limit:8.4f} {point.pair_share:6.3f} {point.score:6.3f} {point.agreement:6.3f}")
    print(f"all pairs: nested {nested(whole)}", flush=True)
    unknown = np.mean([config.decide.of("unknown_share", name) for name in described.images.gallery.datasets])
    for share in sorted({0.1, 0.15, arguments.share}):
        limit = limit_for(roles[0], roles[1], chances, share, float(unknown))
        left = [budgeted(*one, limit, columns) for one in zip(scores, roles, chances, strict=True)]
        spent = np.mean([np.isfinite(one.columns[columns[0]]).mean() for one in left])
        print(f"limit {limit:.4f}, {spent:.3f} of the pairs: nested {nested(tuned(played, left, drawn))}", flush=True)
        first = [only_first(one, round(share * config.retrieve.top_k), columns) for one in scores]
        print(f"the first {share:.2f} of all lists: nested {nested(tuned(played, first, drawn))}", flush=True)


def tuned(played: PseudoQuerySet, scores: Sequence[PairScores], config: Config) -> Decision:
    """The decision by some scores of both roles."""
    laid = played.laid_out(scores[0], scores[1], config.retrieve.top_k)
    return tune(laid, config.decide, config.seed, "", "", Silent())


def budgeted(scores: PairScores, role: Trace, chance: np.ndarray, limit: float, columns: Sequence[str]) -> PairScores:
    """The scores that are left when every query stops as soon as it is settled."""
    stop = role.stopped_at(chance, limit)
    count = dict(zip(role.image_id, role.pairs[stop, np.arange(len(stop))], strict=True))
    return only_first(scores, np.array([count[one] for one in scores.query_id]), columns)


def nested(decision: Decision) -> str:
    """The validated score of each data set and their mean."""
    parts = {name: part.validation.nested for name, part in decision.datasets.items() if part.validation is not None}
    return (
        " ".join(f"{name} {value:.3f}" for name, value in parts.items()) + f" mean {np.mean(list(parts.values())):.3f}"
    )


if __name__ == "__main__":
    main()
