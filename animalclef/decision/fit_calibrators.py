"""Fit the curve from a raw score to the log-odds that a pair shows one individual, and the learned pair model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from animalclef.config.decision import Calibration
from animalclef.decision.calibrators import AnyCurve, BetaCurve, Calibrator, IsotonicCurve, Scale, beta_terms, shaped
from animalclef.decision.pair_classifier import PairModel

__all__ = ["Pairs", "fit_calibrator", "fit_logistic", "fit_pair_model"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Scores of other data sets' pairs, standardised within each; together they count as `positives` matching pairs."""

    z: Floats  # (n,)
    same: Bools  # (n,)
    positives: float

    @property
    def weight(self) -> float:
        """The weight of one pair."""
        return min(1.0, self.positives / max(int(self.same.sum()), 1))


def fit_calibrator(
    score: NDArray[np.generic],
    same: Bools,
    *,
    log: bool,
    kind: Calibration = "logistic",
    others: Pairs | None = None,
    weight: Floats | None = None,
) -> AnyCurve:
    """Fit a curve on shortlist pairs; `same` marks those that show one individual, `weight` counts each pair.

    `others` supports the fit where pairs are few. No curve ever falls: a higher score never lowers the log-odds. With
    one class only, or a constant score, the curve is flat at the smoothed share of positives.
    """
    values = shaped(score, log=log and kind != "none")
    usable = np.isfinite(values)
    values, same = values[usable], same[usable]
    weight = np.ones(len(values)) if weight is None else weight[usable]
    share = (float(weight @ same) + 1) / (float(weight.sum()) + 2)
    mean, spread = 0.0, 0.0
    if len(values):
        mean = float(np.average(values, weights=weight))
        spread = float(np.sqrt(np.average((values - mean) ** 2, weights=weight)))
    scale = Scale(log=log and kind != "none", mean=mean, spread=max(spread, 1e-6))
    flat = Calibrator(**scale.model_dump(), slope=0.0, intercept=float(np.log(share / (1 - share))))
    if spread < 1e-9:
        return flat
    if kind == "none":
        return Calibrator(**scale.model_dump(), slope=1.0, intercept=0.0)
    z = scale.standardised(score[usable])
    if others is not None and len(others.z):
        z, same = np.concatenate([z, others.z]), np.concatenate([same, others.same])
        weight = np.concatenate([weight, np.full(len(others.z), others.weight)])
    if same.all() or not same.any():
        return flat
    if kind == "isotonic":
        return _isotonic(scale, z, same, weight)
    return _beta(scale, z, same, weight, flat) if kind == "beta" else _logistic(scale, z, same, weight, flat)


def fit_pair_model(
    scales: Mapping[str, Scale], inputs: Mapping[str, Floats], same: Bools, weight: Floats | None = None
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


def _logistic(scale: Scale, z: Floats, same: Bools, weight: Floats, flat: Calibrator) -> Calibrator:
    slope, intercept = fit_logistic(z[:, None], same, weight)
    if slope[0] <= 0:
        return flat
    return Calibrator(**scale.model_dump(), slope=float(slope[0]), intercept=intercept)


def _beta(scale: Scale, z: Floats, same: Bools, weight: Floats, flat: Calibrator) -> BetaCurve | Calibrator:
    terms = np.stack(beta_terms(z), axis=1)
    used = [0, 1]
    while used:
        slopes, intercept = fit_logistic(terms[:, used], same, weight)
        if (slopes >= 0).all():
            both = dict(zip(used, slopes.tolist(), strict=True))
            return BetaCurve(**scale.model_dump(), rise=both.get(0, 0.0), fall=both.get(1, 0.0), intercept=intercept)
        used.pop(int(slopes.argmin()))
    return flat


def _isotonic(scale: Scale, z: Floats, same: Bools, weight: Floats) -> IsotonicCurve:
    """Pool adjacent violators, then draw a line through the blocks' centres.

    The share of each block is smoothed towards the base rate by one pair, so that no block is certain.
    """
    order = np.argsort(z, kind="stable")
    z, same, weight = z[order], same[order], weight[order]
    level = IsotonicRegression(out_of_bounds="clip").fit_transform(z, same.astype(np.float64), sample_weight=weight)
    block = np.cumsum(np.diff(level, prepend=level[0]) > 1e-12)
    pairs = np.bincount(block, weights=weight)
    centre = np.bincount(block, weights=weight * z) / pairs
    base = float((weight * same).sum() / weight.sum())
    share = np.maximum.accumulate((np.bincount(block, weights=weight * same) + base) / (pairs + 1))
    centre, kept = np.unique(centre, return_index=True)
    share = np.clip(share[kept], 1e-9, 1 - 1e-9)
    values = np.log(share / (1 - share))
    return IsotonicCurve(**scale.model_dump(), knots=tuple(centre.tolist()), values=tuple(values.tolist()))


def fit_logistic(inputs: Floats, same: Bools, weight: Floats, ridge: float = 1.0) -> tuple[Floats, float]:
    """Return slopes and intercept of a logistic regression whose slopes have an L2 penalty of ridge / 2."""
    model = LogisticRegression(C=1 / ridge, solver="newton-cholesky", tol=1e-8, max_iter=100)
    model.fit(inputs, same, sample_weight=weight)
    return np.asarray(model.coef_[0], dtype=np.float64), float(model.intercept_[0])
