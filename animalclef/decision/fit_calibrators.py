"""Fit the curve from a raw score to the log-odds that a pair shows one individual, and the learned pair model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.calibrators import Calibrator, Scale, shaped
from animalclef.decision.pair_classifier import PairModel
from animalclef.decision.score_columns import is_count, scores_among
from animalclef.structures.arrays import BoolArray, Floats

__all__ = ["Pairs", "fit_calibrator", "fit_logistic", "fit_pair_model", "pairs_of_others"]

_SHRINKAGE = 10.0  # matching pairs, as which the pairs of all other data sets count together
_PAIRS_OF_OTHERS = 10_000  # pairs of other data sets, which are enough for a curve


@dataclass(frozen=True, eq=False)
class Pairs:
    """Scores of other data sets' pairs, standardised within each; together they count as `positives` matching pairs."""

    z: Floats  # (n,)
    same: BoolArray  # (n,)
    positives: float

    @property
    def weight(self) -> float:
        """Return the weight of one pair."""
        return min(1.0, self.positives / max(int(self.same.sum()), 1))


def pairs_of_others(parts: Mapping[str, PseudoQueries], mine: str) -> dict[str, Pairs]:
    """Return per column the pairs of all data sets but `mine`, each standardised within its own data set."""
    pairs = {}
    for column in scores_among(parts[mine].columns):
        others = [part for name, part in parts.items() if name != mine and len(part) and column in part.columns]
        found = [one for one in (_standardised(part, column) for part in others) if one is not None]
        if found:
            z, same = (np.concatenate(one) for one in zip(*found, strict=True))
            step = len(z) // _PAIRS_OF_OTHERS + 1
            pairs[column] = Pairs(z[::step], same[::step], _SHRINKAGE)
    return pairs


def _standardised(part: PseudoQueries, column: str) -> tuple[Floats, BoolArray] | None:
    """Return the scores of all known pairs in spreads from their mean, (n,), and which pairs show one individual.

    Scores count as at most 10 spreads either way; `None` where all are alike.
    """
    values = shaped(part.columns[column][part.as_known], log=is_count(column))
    usable = np.isfinite(values)
    values, same = values[usable], part.same[part.as_known][usable]
    if not len(values) or values.std() <= 1e-9:
        return None
    return np.clip((values - values.mean()) / values.std(), -10, 10), same


def fit_calibrator(
    score: NDArray[np.generic], same: BoolArray, *, log: bool, others: Pairs | None = None, weight: Floats | None = None
) -> Calibrator:
    """Fit a curve on shortlist pairs; `same` marks those that show one individual, `weight` counts each pair.

    `others` supports the fit where pairs are few. The curve never falls: a higher score never lowers the log-odds. With
    one class only, or a constant score, the curve is flat at the smoothed share of positives.
    """
    values = shaped(score, log=log)
    usable = np.isfinite(values)
    values, same = values[usable], same[usable]
    weight = np.ones(len(values)) if weight is None else weight[usable]
    share = (float(weight @ same) + 1) / (float(weight.sum()) + 2)
    mean, spread = 0.0, 0.0
    if len(values):
        mean = float(np.average(values, weights=weight))
        spread = float(np.sqrt(np.average((values - mean) ** 2, weights=weight)))
    scale = Scale(log=log, mean=mean, spread=max(spread, 1e-6))
    flat = Calibrator(**scale.model_dump(), slope=0.0, intercept=float(np.log(share / (1 - share))))
    if spread < 1e-9:
        return flat
    z = scale.standardised(score[usable])
    if others is not None and len(others.z):
        z, same = np.concatenate([z, others.z]), np.concatenate([same, others.same])
        weight = np.concatenate([weight, np.full(len(others.z), others.weight)])
    if same.all() or not same.any():
        return flat
    slope, intercept = fit_logistic(z[:, None], same, weight)
    return flat if slope[0] <= 0 else Calibrator(**scale.model_dump(), slope=float(slope[0]), intercept=intercept)


def fit_pair_model(
    scales: Mapping[str, Scale], inputs: Mapping[str, Floats], same: BoolArray, weight: Floats | None = None
) -> PairModel:
    """Fit a ridge-penalised logistic regression; both classes keep their frequencies."""
    names = sorted(inputs)
    table = np.stack([inputs[name] for name in names], axis=1) if len(same) else np.zeros((0, len(names)))
    mean, spread = (table.mean(axis=0), table.std(axis=0)) if len(same) else (np.zeros(len(names)),) * 2
    spread = np.where(spread < 1e-9, 1.0, spread)
    if same.any() and not same.all():
        counts = np.ones(len(same)) if weight is None else weight
        weights, intercept = fit_logistic((table - mean) / spread, same, counts, ridge=10.0)
    else:
        share = (same.sum() + 1) / (len(same) + 2)
        weights, intercept = np.zeros(len(names)), float(np.log(share / (1 - share)))
    plain = {name: Scale(log=one.log, mean=one.mean, spread=one.spread) for name, one in scales.items()}
    return PairModel(
        scales=plain, inputs=tuple(names), mean=tuple(mean.tolist()), spread=tuple(spread.tolist()),
        weights=tuple(weights.tolist()), intercept=intercept,
    )  # fmt: skip


def fit_logistic(inputs: Floats, same: BoolArray, weight: Floats, ridge: float = 1.0) -> tuple[Floats, float]:
    """Return slopes and intercept of a logistic regression whose slopes have an L2 penalty of ridge / 2."""
    model = LogisticRegression(C=1 / ridge, solver="newton-cholesky", tol=1e-8, max_iter=100)
    model.fit(inputs, same, sample_weight=weight)
    return np.asarray(model.coef_[0], dtype=np.float64), float(model.intercept_[0])
