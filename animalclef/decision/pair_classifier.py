"""The learned pair model: log-odds that a pair shows one individual, from all its scores and their place in the list.

Logistic regression over standardised inputs, so that it is stored as plain numbers. Per score column the inputs are the
score, its lead over the best photograph of any other individual on the list, and the logarithm of its rank; then the
circumstances of the pair where they are known, and whether the viewpoints agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from animalclef.decision.calibrators import Part, Scale
from animalclef.decision.score_columns import CONTEXT, scores_among

__all__ = ["PairModel", "pair_inputs"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Columns = Mapping[str, NDArray[np.generic]]


class PairModel(Part):
    """Weights of standardised inputs; `scales` are those of the score columns and circumstances."""

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
        return self

    def log_odds(self, columns: Columns, visible: Bools, who: NDArray[np.int64], agrees: Bools) -> Floats:
        """(q, k): log-odds of every pair that is visible; 0 elsewhere."""
        inputs = pair_inputs(columns, self.scales, visible, who, agrees)
        total = np.full(int(visible.sum()), self.intercept)
        for name, mean, spread, weight in zip(self.inputs, self.mean, self.spread, self.weights, strict=True):
            total += weight * (inputs[name] - mean) / spread
        result = np.zeros(visible.shape)
        result[visible] = total
        return result


def pair_inputs(
    columns: Columns, scales: Mapping[str, Scale], visible: Bools, who: NDArray[np.int64], agrees: Bools
) -> dict[str, Floats]:
    """What the model looks at, each (pairs,), for the visible pairs in row order."""
    inputs = {"agrees": agrees[visible].astype(np.float64)}
    for name in scores_among(scales):
        z = np.where(visible, scales[name].standardised(_column(columns, name, visible)), -np.inf)
        inputs[name] = z[visible]
        inputs[f"{name}:lead"] = (z - _best_of_others(z, who))[visible]
        inputs[f"{name}:rank"] = np.log1p(_rank(z))[visible]
    for name in sorted(CONTEXT & scales.keys()):
        values = _column(columns, name, visible)
        z = scales[name].standardised(values)
        inputs[name] = np.where(np.isfinite(values), z, 0.0)[visible]  # what is not known says nothing
    return inputs


def _column(columns: Columns, name: str, visible: Bools) -> NDArray[np.generic]:
    return columns[name] if name in columns else np.full(visible.shape, np.nan)


def _best_of_others(z: Floats, who: NDArray[np.int64]) -> Floats:
    """(q, k): the best value in the row among candidates of other individuals; the row's lowest where there is none."""
    rows = np.arange(len(z))
    if not z.size:
        return z
    top = z.argmax(axis=1)
    best, leader = z[rows, top], who[rows, top]
    of_leader = who == leader[:, None]
    second = np.where(of_leader, -np.inf, z).max(axis=1)
    lowest = np.where(np.isfinite(z), z, np.inf).min(axis=1)
    second = np.where(np.isfinite(second), second, np.where(np.isfinite(lowest), lowest, 0.0))
    return np.where(of_leader, second[:, None], np.where(np.isfinite(best), best, 0.0)[:, None])


def _rank(z: Floats) -> Floats:
    """The place of each value in its row, from 0 for the best; equal ones in list order."""
    order = np.argsort(-z, axis=1, kind="stable")
    rank = np.empty(z.shape)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(z.shape[1], dtype=np.float64), z.shape), axis=1)
    return rank
