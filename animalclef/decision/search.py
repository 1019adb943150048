"""Evaluate choices of decision parameters on pseudo-queries: the score, and the threshold that goes with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from animalclef.config import DecideConfig
from animalclef.decision.null_model import fit_null, weights_by_individual
from animalclef.decision.trial_evaluator import DecisionParams, TrialEvaluator
from animalclef.metrics.bootstrap import influence_of_individuals, standard_error
from animalclef.metrics.threshold_sweep import Answers, Sweep, hits_of, merged, midpoints, sweep

__all__ = ["SAFE_SHARE", "SearchResult", "at_threshold", "evaluate", "log_odds_of"]

_NO_NAME = 1e9  # log-odds that nothing reaches
SAFE_SHARE = 0.95  # of strangers that the threshold keeps below it; a higher one gains little and loses hard queries


@dataclass(frozen=True, eq=False)
class SearchResult:
    """A choice with its threshold, and its score on the pseudo-queries that it was tuned on."""

    choice: DecisionParams
    score: float
    baks: float
    baus: float
    plateau: tuple[float, float]  # of the threshold, in log-odds
    influence: NDArray[np.float64]  # (individuals,) what each adds to the score's deviation; see `metrics.bootstrap`

    @property
    def error(self) -> float:
        """The standard error of the score over individuals."""
        return standard_error(self.influence)

    def error_of_difference(self, other: SearchResult) -> float:
        """Return the standard error of the difference of two scores over the same individuals."""
        return standard_error(self.influence - other.influence)


def evaluate(evaluators: Sequence[TrialEvaluator], choice: DecisionParams, config: DecideConfig) -> SearchResult:
    """Return the choice with the threshold that scores best.

    All thresholds on a plateau score within 1% of the best. Its middle is taken, or a lower one that keeps SAFE_SHARE
    of strangers below it by the null model: a higher threshold would only reject known animals that are harder to
    recognise than the database's photographs. Where no threshold finds a known animal the score tells nothing, and the
    threshold keeps strangers out.
    """
    answers = [evaluator.answers(choice) for evaluator in evaluators]
    swept = _swept(evaluators, answers, midpoints(answers))
    low, high = swept.plateau()
    threshold = (low + high) / 2
    if not swept.score.any():
        threshold = min(_safe(evaluators, answers), _NO_NAME)
    elif config.safe_threshold:
        threshold = min(max(low, _safe(evaluators, answers)), threshold)
    return _found(evaluators, answers, choice.at(threshold), (low, high))


def at_threshold(evaluators: Sequence[TrialEvaluator], found: SearchResult, threshold: float) -> SearchResult:
    """Return what was found with another threshold, in log-odds."""
    answers = [evaluator.answers(found.choice) for evaluator in evaluators]
    return _found(evaluators, answers, found.choice.at(threshold), found.plateau)


def _safe(evaluators: Sequence[TrialEvaluator], answers: Sequence[Answers]) -> float:
    """Return the quantile of strangers' best values that a threshold need not exceed."""
    weight = np.concatenate([weights_by_individual(evaluator.part) for evaluator in evaluators])
    null = fit_null(np.concatenate([one.unknown for one in answers]), weight)
    return null.quantile(SAFE_SHARE) if null.photographs else np.inf


def _found(
    evaluators: Sequence[TrialEvaluator],
    answers: Sequence[Answers],
    choice: DecisionParams,
    plateau: tuple[float, float],
) -> SearchResult:
    at = _swept(evaluators, answers, np.array([choice.threshold]))
    influence = [
        influence_of_individuals(hits_of(one, choice.threshold), evaluator.roles, evaluator.individual)
        / len(evaluators)
        for evaluator, one in zip(evaluators, answers, strict=True)
    ]
    return SearchResult(
        choice, float(at.score[0]), float(at.baks[0]), float(at.baus[0]), plateau, np.concatenate(influence)
    )


def _swept(evaluators: Sequence[TrialEvaluator], answers: Sequence[Answers], threshold: NDArray[np.float64]) -> Sweep:
    return merged([sweep(one, evaluator.roles, threshold) for evaluator, one in zip(evaluators, answers, strict=True)])


def log_odds_of(probability: float) -> float:
    """Return the log-odds of a probability; at 1 or above, more than any answer has."""
    with np.errstate(divide="ignore"):
        return float(np.log(probability) - np.log1p(-probability)) if probability < 1 else _NO_NAME
