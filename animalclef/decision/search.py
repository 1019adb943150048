"""Evaluate choices of decision parameters on pseudo-queries: the score, and the threshold that goes with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from animalclef.config import DecideConfig
from animalclef.decision.decision_params import DecisionParams
from animalclef.decision.null_model import fit_null, weights_by_individual
from animalclef.decision.trial_evaluator import TrialEvaluator
from animalclef.metrics.bootstrap import influence_of_individuals, standard_error
from animalclef.metrics.threshold_sweep import Answers, Sweep, hits_of, merged, midpoints, sweep

__all__ = ["SAFE_SHARE", "SearchResult", "best_threshold", "evaluate"]

_NO_NAME = 1e9  # log-odds that nothing reaches
SAFE_SHARE = 0.95  # of strangers that the threshold keeps below it; a higher one gains little and loses hard queries


@dataclass(frozen=True, eq=False)
class SearchResult:
    """A choice with its threshold, and its score on the pseudo-queries that it was tuned on."""

    choice: DecisionParams
    score: float
    baks: float
    baus: float
    plateau: tuple[float, float]  # of the threshold, in log-odds, or of the lead where only that counts
    influence: NDArray[np.float64]  # (individuals,) what each adds to the score's deviation; see `metrics.bootstrap`

    @property
    def error(self) -> float:
        """The standard error of the score over individuals."""
        return standard_error(self.influence)

    def error_of_difference(self, other: SearchResult) -> float:
        """Return the standard error of the difference of two scores over the same individuals."""
        return standard_error(self.influence - other.influence)


def evaluate(
    evaluators: Sequence[TrialEvaluator], choice: DecisionParams, rule: str, config: DecideConfig
) -> SearchResult:
    """Return the choice with its best threshold by a rule: `probability`, `margin`, or `both`."""
    answers = [evaluator.answers(choice) for evaluator in evaluators]
    return best_threshold(evaluators, answers, choice, rule, config)


def best_threshold(
    evaluators: Sequence[TrialEvaluator],
    answers: Sequence[Answers],
    choice: DecisionParams,
    rule: str,
    config: DecideConfig,
) -> SearchResult:
    """Return the choice with the threshold that scores best, unless the settings fix one.

    All thresholds on a plateau score within 1 % of the best. Its middle is taken, or a lower one that keeps SAFE_SHARE
    of strangers below it by the null model: a higher threshold would only reject known animals that are harder to
    recognise than the database's photographs.
    """
    if config.threshold is not None and rule != "margin":
        fixed = _log_odds(config.threshold)
        shown = [one.with_margin(choice.margin) for one in answers]
        return _found(evaluators, shown, replace(choice, threshold=fixed), fixed, (fixed, fixed))
    by_lead = rule == "margin"
    shown = [one.by_lead() if by_lead else one.with_margin(choice.margin) for one in answers]
    low, high = _swept(evaluators, shown, midpoints(shown)).plateau()
    threshold = (low + high) / 2
    if config.safe_threshold:
        threshold = min(max(low, _safe(evaluators, shown)), threshold)
    if by_lead:
        threshold = max(threshold, 0.0)
        return _found(evaluators, shown, choice.at(-np.inf, threshold), threshold, (low, high))
    return _found(evaluators, shown, choice.at(threshold), threshold, (low, high))


def _safe(evaluators: Sequence[TrialEvaluator], shown: Sequence[Answers]) -> float:
    """Return the quantile of strangers' best values that a threshold need not exceed."""
    weight = np.concatenate([weights_by_individual(evaluator.part) for evaluator in evaluators])
    null = fit_null(np.concatenate([one.unknown for one in shown]), weight)
    return null.quantile(SAFE_SHARE) if null.photographs else np.inf


def _found(
    evaluators: Sequence[TrialEvaluator],
    shown: Sequence[Answers],
    choice: DecisionParams,
    threshold: float,
    plateau: tuple[float, float],
) -> SearchResult:
    at = _swept(evaluators, shown, np.array([threshold]))
    influence = [
        influence_of_individuals(hits_of(one, threshold), evaluator.roles, evaluator.individual) / len(evaluators)
        for evaluator, one in zip(evaluators, shown, strict=True)
    ]
    return SearchResult(
        choice, float(at.score[0]), float(at.baks[0]), float(at.baus[0]), plateau, np.concatenate(influence)
    )


def _swept(evaluators: Sequence[TrialEvaluator], answers: Sequence[Answers], threshold: NDArray[np.float64]) -> Sweep:
    return merged([sweep(one, evaluator.roles, threshold) for evaluator, one in zip(evaluators, answers, strict=True)])


def _log_odds(probability: float) -> float:
    with np.errstate(divide="ignore"):
        return float(np.log(probability) - np.log1p(-probability)) if probability < 1 else _NO_NAME
