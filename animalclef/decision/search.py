"""Give a choice of decision parameters its best threshold, and its score on pseudo-queries.

Which choices are tried is decided elsewhere: by `model_average` (the default), or `shared_study` (Optuna).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from animalclef.decision.calibrators import UNREACHED
from animalclef.decision.null_model import fit_null, weights_by_individual
from animalclef.decision.trial_evaluator import DecisionParams, TrialEvaluator
from animalclef.metrics.bootstrap import influence_of_individuals, standard_error
from animalclef.metrics.threshold_sweep import Answers, Sweep, hits_of, merged, midpoints, sweep

__all__ = ["SAFE_SHARE", "SearchResult", "choose_threshold", "with_threshold"]

SAFE_SHARE = 0.95  # of strangers that the threshold keeps below it; a higher one gains little and loses hard queries


@dataclass(frozen=True, eq=False)
class SearchResult:
    """A choice with its threshold, and its score on the pseudo-queries that it was tuned on."""

    choice: DecisionParams
    score: float  # mean over data sets and splits of sqrt(BAKS * BAUS), in [0, 1]
    baks: float
    baus: float
    plateau: tuple[float, float]  # lowest and highest threshold that scores within 1% of the best, in log-odds
    influence: NDArray[np.float64]  # (individuals,) what each adds to the score's deviation; see `metrics.bootstrap`

    @property
    def error(self) -> float:
        """The standard error of the score over individuals."""
        return standard_error(self.influence)

    def error_of_difference(self, other: SearchResult) -> float:
        """Return the standard error of the difference of two scores over the same individuals."""
        return standard_error(self.influence - other.influence)


def choose_threshold(evaluators: Sequence[TrialEvaluator], choice: DecisionParams) -> SearchResult:
    """Return the choice with the threshold that scores best on the pseudo-queries of all evaluators.

    The threshold is the middle of the plateau, or a lower one on it that keeps SAFE_SHARE of strangers below it by the
    null model: a higher threshold would only reject known animals that are harder to recognise than the database's
    photographs. If no threshold finds a known animal, the score says nothing, and the threshold keeps strangers out.

    Here are four pseudo-queries with two candidates each. Luna is in the gallery, Tara is hidden from it. The best
    candidates of Luna have 9 and 8 inliers, those of Tara 3 and 2, and log-odds are inliers - 5:

    >>> from animalclef.data.pseudo_query import OpenSetSplits, PseudoQueries
    >>> from animalclef.decision.trial_evaluator import LogOdds, numbered
    >>> who, is_known = np.array(["Luna", "Luna", "Tara", "Tara"], dtype=object), np.array([[True, True, False, False]])
    >>> inliers = np.array([[9, 1], [8, 2], [9, 3], [7, 2]], np.float32)
    >>> same = np.array([[True, False]] * 4)
    >>> part = PseudoQueries(
    ...     {"inliers": inliers}, same=same, agrees=same | True, as_known=same | True, as_unknown=~same,
    ...     splits=OpenSetSplits(np.arange(4).astype(object), who, is_known, ~is_known))
    >>> evaluator = TrialEvaluator(part, LogOdds({"inliers": inliers - 5.0}, {}, numbered(part)))
    >>> found = choose_threshold([evaluator], DecisionParams({"inliers": 1.0}))
    >>> found.score, found.plateau, found.choice.threshold
    (1.0, (0.0, 2.5), 0.0)
    """
    answers = [evaluator.answers(choice) for evaluator in evaluators]
    swept = _sweep(evaluators, answers, midpoints(answers))
    low, high = swept.plateau()
    safe = _safe_threshold(evaluators, answers)
    threshold = min(max(low, safe), (low + high) / 2) if swept.score.any() else min(safe, UNREACHED)
    return _score(evaluators, answers, choice.at(threshold), (low, high))


def with_threshold(evaluators: Sequence[TrialEvaluator], found: SearchResult, threshold: float) -> SearchResult:
    """Return the same choice with another threshold, in log-odds, and the score that it has there."""
    answers = [evaluator.answers(found.choice) for evaluator in evaluators]
    return _score(evaluators, answers, found.choice.at(threshold), found.plateau)


def _safe_threshold(evaluators: Sequence[TrialEvaluator], answers: Sequence[Answers]) -> float:
    """Return the threshold, in log-odds, that keeps SAFE_SHARE of strangers below it by the null model."""
    weight = np.concatenate([weights_by_individual(evaluator.part) for evaluator in evaluators])
    null = fit_null(np.concatenate([one.unknown for one in answers]), weight)
    return null.quantile(SAFE_SHARE) if null.photographs else np.inf


def _score(
    evaluators: Sequence[TrialEvaluator],
    answers: Sequence[Answers],
    choice: DecisionParams,
    plateau: tuple[float, float],
) -> SearchResult:
    """Return the score of a choice at its own threshold."""
    at = _sweep(evaluators, answers, np.array([choice.threshold]))
    influence = np.concatenate(
        [
            influence_of_individuals(hits_of(one, choice.threshold), evaluator.roles, evaluator.individual)
            / len(evaluators)
            for evaluator, one in zip(evaluators, answers, strict=True)
        ]
    )
    return SearchResult(choice, float(at.score[0]), float(at.baks[0]), float(at.baus[0]), plateau, influence)


def _sweep(evaluators: Sequence[TrialEvaluator], answers: Sequence[Answers], threshold: NDArray[np.float64]) -> Sweep:
    """Return the scores of thresholds, as means over the evaluators' data sets."""
    return merged([sweep(one, evaluator.roles, threshold) for evaluator, one in zip(evaluators, answers, strict=True)])
