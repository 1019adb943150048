"""What tuning blind costs: a finished run's score beside that of thresholds chosen with the truth.

    python benchmarks/blind_against_oracle.py RUN TRUTH_CSV

The oracle takes, per data set, the threshold that scores best on the queries themselves, so part of its lead is luck.
How much is estimated by drawing individuals with replacement: what the best threshold of each draw gains there over the
one that is best for all queries. Only for reporting: nothing in the package reads this.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from animalclef.data.submission import read_truth
from animalclef.decision.decision_model import load_decision

DRAWS = 2000


def main() -> None:
    """Print one row per data set, and their mean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("truth", type=Path)
    arguments = parser.parse_args()
    truth, decision = read_truth(arguments.truth), load_decision(arguments.run / "decision.json")
    listed = pd.read_csv(arguments.run / "candidates.csv", dtype={"query_id": str, "identity": str, "dataset": str})
    best = listed.groupby("query_id", sort=False).first()
    print("| data set | blind | oracle | luck of the oracle | lost by tuning blind | thresholds | validated |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    rows = []
    for name in sorted(set(truth.dataset)):
        mine = truth.dataset == name
        value = np.array([best["identity_probability"].get(one, -1.0) for one in truth.image_id[mine]])
        named = np.array([best["identity"].get(one) for one in truth.image_id[mine]], dtype=object)
        score = Scores(truth.identity[mine], truth.known[mine].astype(bool), value, named)
        rule = decision.of(name)
        assert rule.margin == 0, "only thresholds on the probability can be compared"
        every = np.unique(np.concatenate([[0.0, 1.1], value, np.nextafter(value, 2)]))
        blind, swept = score.at(np.array([rule.threshold]))[0], score.at(every)
        luck = score.luck(every, int(swept.argmax()))
        lost = swept.max() - blind - luck
        rows.append((blind, swept.max(), luck, lost, rule.validation.nested if rule.validation else np.nan))
        cells = [f"{one:.3f}" for one in rows[-1][:4]]
        print(f"| {name} | " + " | ".join(cells) + f" | {rule.threshold:.3f} / {every[swept.argmax()]:.3f} | "
              f"{rows[-1][4]:.3f} |")  # fmt: skip
    print("| mean | " + " | ".join(f"{one:.3f}" for one in np.mean(rows, axis=0)[:4])
          + f" | | {np.mean(rows, axis=0)[4]:.3f} |")  # fmt: skip


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
