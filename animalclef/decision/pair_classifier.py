"""The learned pair model: log-odds that a pair shows one individual, from all its scores and their rank in the list.

It is a logistic regression over standardised inputs, stored as plain numbers. The inputs are, for every score column,
the score, its lead over the best photograph of any other individual on the list, and the logarithm of its rank; then
whether the viewpoints agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from animalclef.decision.calibrators import Part, Scale
from animalclef.decision.score_columns import CONTEXT
from animalclef.structures.arrays import BoolArray, Floats

__all__ = ["PairModel", "best_of_others", "pair_inputs"]

Columns = Mapping[str, NDArray[np.generic]]


class PairModel(Part):
    """Weights of standardised inputs; `scales` standardise the score columns."""

    scales: dict[str, Scale]
    inputs: tuple[str, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float

    @model_validator(mode="after")
    def _one_weight_each(self) -> Self:
        if {len(self.mean), len(self.spread), len(self.weights)} != {len(self.inputs)}:
            raise ValueError(f"{len(self.inputs)} inputs need a mean, a spread and a weight each")
        if gone := sorted(CONTEXT & self.scales.keys()):
            raise ValueError(f"the covariate {gone[0]} has gone; leave the decision out to tune a new one")
        return self

    def log_odds(self, columns: Columns, visible: BoolArray, who: NDArray[np.int64], agrees: BoolArray) -> Floats:
        """Return log-odds, (q, k), of every visible pair; 0 elsewhere."""
        inputs = pair_inputs(columns, self.scales, visible, who, agrees)
        total = np.full(int(visible.sum()), self.intercept)
        for name, mean, spread, weight in zip(self.inputs, self.mean, self.spread, self.weights, strict=True):
            total += weight * (inputs[name] - mean) / spread
        result = np.zeros(visible.shape)
        result[visible] = total
        return result


def pair_inputs(
    columns: Columns, scales: Mapping[str, Scale], visible: BoolArray, who: NDArray[np.int64], agrees: BoolArray
) -> dict[str, Floats]:
    """Return the inputs of the model, each (pairs,), for the visible pairs in row order."""
    inputs = {"agrees": agrees[visible].astype(np.float64)}
    for name in sorted(scales):
        score = columns.get(name, np.full(visible.shape, np.nan))
        z = np.where(visible, scales[name].standardised(score), -np.inf)
        rank = np.argsort(np.argsort(-z, axis=1, kind="stable"), axis=1)  # 0 for the best, equal ones in list order
        inputs[name] = z[visible]
        inputs[f"{name}:lead"] = (z - best_of_others(z, who))[visible]
        inputs[f"{name}:rank"] = np.log1p(rank)[visible]
    return inputs


def best_of_others(level: Floats, who: NDArray[np.int64]) -> Floats:
    """Return, (q, k), the best value in the row among candidates of other individuals.

    `level` is minus infinity where nothing is known. A row without others holds its own lowest value, so that the lead
    is not negative.
    """
    if not level.size:
        return level
    rows = np.arange(len(level))
    top = level.argmax(axis=1)
    best, leader = level[rows, top], who[rows, top]
    of_leader = who == leader[:, None]
    second = np.where(of_leader, -np.inf, level).max(axis=1)
    lowest = np.where(np.isfinite(level), level, np.inf).min(axis=1)
    second = np.where(np.isfinite(second), second, np.where(np.isfinite(lowest), lowest, 0.0))
    return np.where(of_leader, second[:, None], np.where(np.isfinite(best), best, 0.0)[:, None])
