"""Fit the curve from a raw score to the log-odds that a pair shows one individual, and the learned pair model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from animalclef.config.decision import Calibration
from animalclef.decision.calibrators import AnyCurve, BetaCurve, Calibrator, IsotonicCurve, Scale, beta_terms, shaped
from animalclef.decision.pair_classifier import PairModel

__all__ = ["Pairs", "fit_calibrator", "fit_pair_model"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Standardised scores of other data sets' pairs, which count as `positives` matching pairs in all."""

    z: Floats  # (n,)
    same: Bools  # (n,)
    positives: float

    @property
    def weight(self) -> float:
        """Of one pair."""
        return min(1.0, self.positives / max(int(self.same.sum()), 1))


def fit_calibrator(
    score: NDArray[np.generic],
    same: Bools,
    *,
    log: bool,
    kind: Calibration = "logistic",
    others: Pairs | None = None,
) -> AnyCurve:
    """A curve fitted on shortlist pairs; `same` says which show one individual. `others` hold it where pairs are few.

    No curve ever falls: likeness cannot speak against identity. With one class only, or a constant score, it is flat at
    the smoothed share of positives.
    """
    values = shaped(score, log=log and kind != "none")
    usable = np.isfinite(values)
    values, same = values[usable], same[usable]
    share = (same.sum() + 1) / (len(same) + 2)
    mean, spread = (float(values.mean()), float(values.std())) if len(values) else (0.0, 0.0)
    scale = Scale(log=log and kind != "none", mean=mean, spread=max(spread, 1e-6))
    flat = Calibrator(**scale.model_dump(), slope=0.0, intercept=float(np.log(share / (1 - share))))
    if spread < 1e-9:
        return flat
    if kind == "none":
        return Calibrator(**scale.model_dump(), slope=1.0, intercept=0.0)
    z, weight = scale.standardised(score[usable]), np.ones(len(values))
    if others is not None and len(others.z):
        z, same = np.concatenate([z, others.z]), np.concatenate([same, others.same])
        weight = np.concatenate([weight, np.full(len(others.z), others.weight)])
    if same.all() or not same.any():
        return flat
    if kind == "isotonic":
        return _isotonic(scale, z, same, weight)
    return _beta(scale, z, same, weight, flat) if kind == "beta" else _logistic(scale, z, same, weight, flat)


def fit_pair_model(scales: Mapping[str, Scale], inputs: Mapping[str, Floats], same: Bools) -> PairModel:
    """Ridge-penalised logistic regression; pairs of both classes weigh as they come."""
    names = sorted(inputs)
    table = np.stack([inputs[name] for name in names], axis=1) if len(same) else np.zeros((0, len(names)))
    mean, spread = (table.mean(axis=0), table.std(axis=0)) if len(same) else (np.zeros(len(names)),) * 2
    spread = np.where(spread < 1e-9, 1.0, spread)
    if same.any() and not same.all():
        weights, intercept = _fit_logistic((table - mean) / spread, same, np.ones(len(same)), ridge=10.0)
    else:
        share = (same.sum() + 1) / (len(same) + 2)
        weights, intercept = np.zeros(len(names)), float(np.log(share / (1 - share)))
    plain = {name: Scale(log=one.log, mean=one.mean, spread=one.spread) for name, one in scales.items()}
    return PairModel(
        scales=plain, inputs=tuple(names), mean=tuple(mean.tolist()), spread=tuple(spread.tolist()),
        weights=tuple(weights.tolist()), intercept=intercept,
    )  # fmt: skip


def _logistic(scale: Scale, z: Floats, same: Bools, weight: Floats, flat: Calibrator) -> Calibrator:
    slope, intercept = _fit_logistic(z[:, None], same, weight)
    if slope[0] <= 0:
        return flat
    return Calibrator(**scale.model_dump(), slope=float(slope[0]), intercept=intercept)


def _beta(scale: Scale, z: Floats, same: Bools, weight: Floats, flat: Calibrator) -> BetaCurve | Calibrator:
    terms = np.stack(beta_terms(z), axis=1)
    used = [0, 1]
    while used:
        slopes, intercept = _fit_logistic(terms[:, used], same, weight)
        if (slopes >= 0).all():
            both = dict(zip(used, slopes.tolist(), strict=True))
            return BetaCurve(**scale.model_dump(), rise=both.get(0, 0.0), fall=both.get(1, 0.0), intercept=intercept)
        used.pop(int(slopes.argmin()))
    return flat


def _isotonic(scale: Scale, z: Floats, same: Bools, weight: Floats) -> IsotonicCurve:
    """Pool adjacent violators, then a line through the blocks' centres; each block's share is drawn to the base rate by
    the weight of one pair, so that no block is certain.
    """
    from sklearn.isotonic import IsotonicRegression

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


def _fit_logistic(inputs: Floats, same: Bools, weight: Floats, ridge: float = 1.0) -> tuple[Floats, float]:
    """Slopes and intercept that maximise the penalised likelihood, by Newton's method with halved steps."""
    table = np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1)
    penalty = np.full(table.shape[1], ridge)
    penalty[-1] = 1e-9
    target = same.astype(np.float64)

    def loss(one: Floats) -> float:
        odds = table @ one
        return float((weight * (np.logaddexp(0, odds) - target * odds)).sum() + (penalty * one**2).sum() / 2)

    current = np.zeros(table.shape[1])
    share = float((weight * target).sum() / weight.sum())
    current[-1] = np.log(share / (1 - share))
    best = loss(current)
    for _ in range(50):
        probability = np.exp(-np.logaddexp(0, -(table @ current)))
        gradient = table.T @ (weight * (probability - target)) + penalty * current
        curvature = (table * (weight * probability * (1 - probability))[:, None]).T @ table + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while (new := loss(current - size * step)) > best and size > 1e-6:
            size /= 2
        if new >= best - 1e-9 * abs(best):
            break
        current, best = current - size * step, new
    return current[:-1], float(current[-1])
