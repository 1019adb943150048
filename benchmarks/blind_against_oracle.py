"""The cost of tuning blind: a finished run's score beside that of thresholds chosen with the truth.

    python benchmarks/blind_against_oracle.py RUN TRUTH_CSV [--tune] [--set decide.aggregations=[max] ...]

`--tune`, or any `--set`, tunes again from the pseudo-queries that the run keeps, and fuses its candidates anew. The
oracle takes, per data set, the threshold that scores best on the queries themselves, so part of its lead is luck. How
much is estimated by drawing individuals with replacement: what the best threshold of each draw gains there over the one
that is best for all queries. Intervals are over individuals too. Only for reporting: nothing in the package reads this.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
import pandas as pd

from animalclef.config import DecideConfig, load_config
from animalclef.data.submission import read_truth
from animalclef.decision.decision_model import Decision, load_decision
from animalclef.decision.fusion import fuse
from animalclef.decision.tune import tune
from animalclef.runtime.progress import Silent
from animalclef.store.finished_run import load_run
from animalclef.structures import PairScores

DRAWS = 2000


def main() -> None:
    """Print one row per data set, and their mean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--set", dest="assignments", nargs="*", default=[])
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    truth = read_truth(arguments.truth)
    if arguments.tune or arguments.assignments:
        decide = load_config(None, arguments.assignments, None).decide
        decision, listed = tuned_again(arguments.run, decide)
    else:
        decision = load_decision(arguments.run / "decision.json")
        text = {"query_id": str, "identity": str, "dataset": str}
        listed = pd.read_csv(arguments.run / "candidates.csv", dtype=text)
    best = listed.groupby("query_id", sort=False).first()
    print("| data set | rank-1 | blind | 95% | oracle | luck of the oracle | lost | thresholds | validated |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    rows = []
    for name in sorted(set(truth.dataset)):
        mine = truth.dataset == name
        value = np.array([best["identity_probability"].get(one, -1.0) for one in truth.image_id[mine]])
        named = np.array([best["identity"].get(one) for one in truth.image_id[mine]], dtype=object)
        score = Scores(truth.identity[mine], truth.known[mine].astype(bool), value, named)
        rule = decision.of(name)
        assert rule.margin == 0, "only thresholds on the probability can be compared"
        known = truth.known[mine].astype(bool)
        first = float((named == truth.identity[mine])[known].mean())
        every = np.unique(np.concatenate([[0.0, 1.1], value, np.nextafter(value, 2)]))
        blind, swept = score.at(np.array([rule.threshold]))[0], score.at(every)
        luck = score.luck(every, int(swept.argmax()))
        lost = swept.max() - blind - luck
        rows.append((blind, swept.max(), luck, lost, rule.validation.nested if rule.validation else np.nan))
        low, high = score.interval(rule.threshold)
        cells = [f"{one:.3f}" for one in rows[-1][:4]]
        cells.insert(1, f"[{low:.3f}, {high:.3f}]")
        ends = f"{rule.threshold:.3f} / {every[swept.argmax()]:.3f} | {rows[-1][4]:.3f} |"
        print(f"| {name} | {first:.3f} | " + " | ".join(cells) + f" | {ends}", flush=True)
    cells = [f"{one:.3f}" for one in np.mean(rows, axis=0)[:4]]
    print("| mean | | " + " | ".join([cells[0], "", *cells[1:]]) + f" | | {np.nanmean(rows, axis=0)[4]:.3f} |")


def tuned_again(path: Path, config: DecideConfig) -> tuple[Decision, pd.DataFrame]:
    """Return a decision tuned on the run's pseudo-queries, and its candidates fused by that decision, best first."""
    run = load_run(path)
    decision = tune(run.pseudo_queries, config, run.config.seed, run.scores, "", Silent())
    scores = PairScores(run.ranked.query_id, run.ranked.gallery_id, run.ranked.columns)
    ranked = fuse(scores, run.images, decision)
    content = {"query_id": ranked.query_id, "identity": ranked.identity}
    return decision, pd.DataFrame({**content, "identity_probability": ranked.identity_probability})


class Scores:
    """The official score of one data set at many thresholds, of all queries or of individuals drawn from them."""

    def __init__(self, identity: np.ndarray, known: np.ndarray, value: np.ndarray, named: np.ndarray) -> None:
        self.known, self.value, self.right = known, value, named == identity
        roles = np.array([f"{who}\x00{role}" for who, role in zip(identity, known, strict=True)])
        names, self.who = np.unique(roles, return_inverse=True)
        self.is_known = np.array([one.endswith("True") for one in names])
        self.count = np.bincount(self.who)

    def shares(self, threshold: np.ndarray) -> np.ndarray:
        """(individuals, thresholds): the share of an individual's queries that are answered right."""
        above = self.value[:, None] >= threshold
        hit = np.where(self.known[:, None], above & self.right[:, None], ~above)
        total = np.zeros((len(self.count), len(threshold)))
        np.add.at(total, self.who, hit)
        return total / self.count[:, None]

    def at(self, threshold: np.ndarray) -> np.ndarray:
        """The score at each threshold."""
        shares = self.shares(threshold)
        return np.sqrt(shares[self.is_known].mean(axis=0) * shares[~self.is_known].mean(axis=0))

    def interval(self, threshold: float) -> tuple[float, float]:
        """Return the 95% bootstrap interval of the score at a threshold, individuals drawn with replacement."""
        rng, shares = np.random.default_rng(1), self.shares(np.array([threshold]))[:, 0]
        sides = []
        for side in (self.is_known, ~self.is_known):
            n = int(side.sum())
            sides.append(rng.multinomial(n, np.full(n, 1 / n), size=DRAWS) @ shares[side] / n)
        low, high = np.quantile(np.sqrt(sides[0] * sides[1]), [0.025, 0.975])
        return float(low), float(high)

    def luck(self, threshold: np.ndarray, best: int) -> float:
        """Mean gain of a draw's own best threshold over the one that is best for all."""
        rng, shares = np.random.default_rng(0), self.shares(threshold)
        sides = []
        for side in (self.is_known, ~self.is_known):
            n = int(side.sum())
            sides.append(rng.multinomial(n, np.full(n, 1 / n), size=DRAWS) @ shares[side] / n)
        scores = np.sqrt(sides[0] * sides[1])
        return float((scores.max(axis=1) - scores[:, best]).mean())


if __name__ == "__main__":
    main()
