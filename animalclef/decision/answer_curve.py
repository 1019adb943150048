"""Calibrate the probability of an answer out of fold, and compare probabilities with how often they came true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from animalclef.decision.calibrators import log_odds_of, sigmoid
from animalclef.decision.cross_fit import CrossFitter
from animalclef.decision.decision_model import AnswerCurve, Reliability
from animalclef.decision.fit_calibrators import fit_logistic
from animalclef.decision.trial_evaluator import DecisionParams, TrialEvaluator
from animalclef.structures.arrays import BoolArray, Floats

__all__ = ["AnswerFit", "reliability"]


_NEAR = 2.0  # log-odds around the threshold within which calibration is measured


@dataclass(frozen=True, eq=False)
class AnswerFit:
    """The curve, `None` where there is too little to fit one on, and how well it is calibrated near the threshold."""

    curve: AnswerCurve | None
    reliability: Reliability | None

    @classmethod
    def of(cls, fitter: CrossFitter, evaluators: Mapping[str, TrialEvaluator], choice: DecisionParams) -> AnswerFit:
        """Fit on best identities of pseudo-queries, with and without their individual in the gallery.

        The log-odds come from folds that the individual is not in; so do the probabilities that are compared with the
        outcomes. Roles are weighted as if `unknown_share` of the queries showed new individuals.
        """
        tables = [_answers(fitter, name, evaluator, choice) for name, evaluator in evaluators.items()]
        value, right, weight, fold = (np.concatenate(one) for one in zip(*tables, strict=True))
        shares = [float(fitter.config.of("unknown_share", name)) for name in evaluators]
        curve = _fit(value, right > 0, weight, float(np.mean(shares)))
        if curve is None:
            return cls(None, None)
        probability = np.full(len(value), np.nan)
        for one in np.unique(fold):
            others = _fit(value[fold != one], right[fold != one] > 0, weight[fold != one], curve.unknown_share)
            used = others or curve
            probability[fold == one] = sigmoid(used.slope * value[fold == one] + used.intercept)
        near = np.abs(value - choice.threshold) <= _NEAR
        return cls(curve, reliability(probability[near], right[near] > 0, weight=weight[near]) if near.any() else None)

    def log_odds(self, probability: float) -> float:
        """Return an identity's log-odds that belong to a probability."""
        log_odds = log_odds_of(probability)
        if self.curve is None or not 0 < probability < 1:
            return log_odds
        return (log_odds - self.curve.intercept) / self.curve.slope

    def probability(self, log_odds: float) -> float:
        """Return the probability that belongs to an identity's log-odds."""
        if self.curve is not None:
            log_odds = self.curve.slope * log_odds + self.curve.intercept
        return float(sigmoid(np.array(log_odds)))


def _answers(
    fitter: CrossFitter, name: str, evaluator: TrialEvaluator, choice: DecisionParams
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return log-odds, outcome, weight and fold of each answer of one part, in both roles."""
    found, share = evaluator.answers(choice), float(fitter.config.of("unknown_share", name))
    splits = evaluator.part.splits
    known = np.zeros(len(evaluator.part), dtype=bool)
    if len(splits.is_known):
        known = np.asarray(splits.is_known.any(axis=0), dtype=bool)
    fold = fitter.fold_of[name].astype(np.float64)
    ratio = float(known.sum()) / max(len(known), 1)  # the roles' weights have the stated shares, whatever their numbers
    rows = [
        (found.known[known], found.right[known].astype(float), np.full(int(known.sum()), 1 - share), fold[known]),
        (found.unknown, np.zeros(len(known)), np.full(len(known), share * ratio), fold),
    ]
    value, right, weight, folds = (np.concatenate(one) for one in zip(*rows, strict=True))
    usable = np.isfinite(value)
    return value[usable], right[usable], weight[usable], folds[usable]


def _fit(value: Floats, right: BoolArray, weight: Floats, share: float) -> AnswerCurve | None:
    used = weight > 0
    value, right, weight = value[used], right[used], weight[used]
    if not right.any() or right.all() or value.std() < 1e-9:
        return None
    mean, spread = float(value.mean()), float(value.std())
    slopes, intercept = fit_logistic(((value - mean) / spread)[:, None], right, weight)
    slope = float(slopes[0]) / spread
    return AnswerCurve(slope=slope, intercept=intercept - slope * mean, unknown_share=share) if slope > 1e-9 else None


def reliability(probability: Floats, same: BoolArray, bins: int = 10, weight: Floats | None = None) -> Reliability:
    """Sort pairs or answers into bins of equal width by their probability, and compare it with their outcome.

    >>> reliability(np.array([0.05, 0.07, 0.95]), np.array([False, False, True])).pairs
    (2, 1)
    """
    weight = np.ones(len(probability)) if weight is None else weight
    place = np.minimum((probability * bins).astype(np.int64), bins - 1)
    pairs = np.bincount(place, minlength=bins)
    total = np.bincount(place, weights=weight, minlength=bins)
    filled = total > 0
    said = np.bincount(place, weights=weight * probability, minlength=bins)[filled] / total[filled]
    seen = np.bincount(place, weights=weight * same, minlength=bins)[filled] / total[filled]
    error = float((total[filled] * np.abs(said - seen)).sum() / max(float(total.sum()), 1e-12))
    return Reliability(said=tuple(said.tolist()), seen=tuple(seen.tolist()), pairs=tuple(pairs[filled].tolist()),
                       error=error)  # fmt: skip
