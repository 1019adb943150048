"""Databases thinned to one photograph of each individual: the decision's score beside that of the best threshold.

    python benchmarks/thinned_databases.py RUN TRUTH_CSV [--seeds 5]

No individual can be recognised in such a database, so the threshold rests on its strangers alone. Candidates and
pseudo-queries of a finished run are cut down to the photographs kept (the shortlists of a run over them would be
longer). `alone` decides each data set by itself; `others` gives it the pooled decision of the run's other data sets,
which are not thinned. The truth is only read to report.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
from blind_against_oracle import Scores

from animalclef.config import DecideConfig
from animalclef.data.pseudo_query import OpenSetSplits, PseudoQueries
from animalclef.data.submission import Truth, read_truth
from animalclef.decision.fusion import fuse
from animalclef.decision.tune import tune
from animalclef.runtime.progress import Silent
from animalclef.store.finished_run import load_run
from animalclef.structures import ImageTable, PairScores, RankedCandidates


def main() -> None:
    """Print blind score and oracle of every data set, means over seeds."""
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    run, truth = load_run(arguments.run), read_truth(arguments.truth)
    pseudo = run.pseudo_queries
    config, found = DecideConfig(), {}
    for seed in range(arguments.seeds):
        kept = one_each(run.images.gallery, seed)
        there = np.isin(run.ranked.gallery_id.astype(str), list(kept))
        columns = {name: values[there] for name, values in run.ranked.columns.items()}
        scores = PairScores(run.ranked.query_id[there], run.ranked.gallery_id[there], columns)
        thin = {name: thinned(part, kept) for name, part in pseudo.items()}
        for name in pseudo:
            full = {one: part for one, part in pseudo.items() if one != name}
            for how, parts in (("alone", {name: thin[name]}), ("others", {**full, name: thin[name]})):
                if how == "others" and seed:
                    continue
                decision = tune(parts, config, seed, "s", "g", Silent())
                ranked = fuse(scores, run.images, decision)
                found.setdefault((name, how), []).append(measured(ranked, truth, name, decision.of(name).threshold))
    print("| data set | decided | blind | oracle | lost |\n| --- | --- | --- | --- | --- |")
    for (name, how), rows in sorted(found.items()):
        blind, oracle = np.mean(rows, axis=0)
        print(f"| {name} | {how} | {blind:.3f} | {oracle:.3f} | {oracle - blind:.3f} |")


def one_each(gallery: ImageTable, seed: int) -> set[str]:
    """Return one photograph of each individual, drawn at random."""
    rng = np.random.default_rng([seed, 9])
    order = rng.permutation(len(gallery))
    first = {(gallery.dataset[row], gallery.identity[row]): gallery.image_id[row] for row in order}
    return set(first.values())


def thinned(part: PseudoQueries, kept: set[str]) -> PseudoQueries:
    """Return the pseudo-queries that are kept, with the candidates that are; nobody has a second photograph."""
    rows = np.flatnonzero([one in kept for one in part.splits.image_id])
    assert part.gallery_id is not None
    there = np.isin(part.gallery_id[rows].astype(str), list(kept)) & ~part.same[rows]
    nobody = np.zeros((0, len(rows)), dtype=bool)
    splits = OpenSetSplits(part.splits.image_id[rows], part.splits.identity[rows], nobody, nobody)
    part = replace(part, splits=splits, **{
        name: getattr(part, name)[rows] for name in ("same", "agrees", "gallery_id", "identity")
    }, as_known=part.as_unknown[rows] & there, as_unknown=part.as_unknown[rows] & there,
        columns={name: values[rows] for name, values in part.columns.items()})  # fmt: skip
    return part


def measured(ranked: RankedCandidates, truth: Truth, name: str, threshold: float) -> tuple[float, float]:
    """Return the score at the decision's threshold, and at the best one for these queries."""
    first: dict[str, int] = {}
    for row, one in enumerate(ranked.query_id):
        first.setdefault(one, row)
    mine = np.flatnonzero(truth.dataset == name)
    value = np.array(
        [ranked.identity_probability[first[one]] if one in first else -1.0 for one in truth.image_id[mine]]
    )
    named = np.array(
        [ranked.identity[first[one]] if one in first else None for one in truth.image_id[mine]], dtype=object
    )
    scores = Scores(truth.identity[mine], truth.known[mine].astype(bool), value, named)
    every = np.unique(np.concatenate([[0.0, 1.1], value, np.nextafter(value, 2)]))
    return float(scores.at(np.array([threshold]))[0]), float(scores.at(every).max())


if __name__ == "__main__":
    main()
