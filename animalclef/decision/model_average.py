"""The default search: every column alone and in pairs, then the average of all choices that are not clearly worse.

Choosing the best of many choices overfits: on 15 to 200 individuals most differ by less than their standard error. So
the weights of all are averaged, each by its prior times exp(2 (score - best) / standard error), as Bayesian model
averaging does with likelihoods (Hoeting et al. 1999). The prior prefers `similarity` and `inliers`. The aggregation is
the one that has the largest part of the average. No random numbers are drawn.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from animalclef.config import DecideConfig
from animalclef.decision.score_columns import base_of
from animalclef.decision.search import SearchResult, choose_threshold
from animalclef.decision.trial_evaluator import DecisionParams, TrialEvaluator

__all__ = ["average", "choices_tried", "search", "sides_of"]

_PARTNERS = 6  # columns that are tried in pairs: those that are best alone
_PLAIN = frozenset({"similarity", "inliers"})
_PRIOR_OF_OTHERS = 1 / 3  # of a column other than the plain ones; of two columns the product
_PRIOR_OF_ALL = 1 / 3  # of the equal mean of all columns
_LEAST_WEIGHT = 0.02  # of a column in the average; a smaller one is left out


def search(evaluators: Sequence[TrialEvaluator], config: DecideConfig) -> SearchResult:
    """Return the average of the choices tried, or a variant that is clearly better."""
    return average(evaluators, choices_tried(evaluators, config), config)


def choices_tried(evaluators: Sequence[TrialEvaluator], config: DecideConfig) -> list[SearchResult]:
    """Evaluate single columns, pairs of the best ones and the mean of all, by every aggregation."""
    names = sorted({name for evaluator in evaluators for name in evaluator.log_odds.columns})
    tried: list[SearchResult] = []
    for aggregation in config.aggregations:
        base = DecisionParams({}, aggregation=aggregation)
        alone = [choose_threshold(evaluators, replace(base, weights={name: 1.0})) for name in names]
        order = np.argsort([-one.score for one in alone], kind="stable")
        best = sorted(names[place] for place in order[:_PARTNERS])
        sums = [dict.fromkeys(pair, 0.5) for pair in itertools.combinations(best, 2)]
        if len(names) > 2:
            sums.append(dict.fromkeys(names, 1 / len(names)))
        tried += alone
        tried += [choose_threshold(evaluators, replace(base, weights=one)) for one in sums]
    return tried


def average(evaluators: Sequence[TrialEvaluator], tried: Sequence[SearchResult], config: DecideConfig) -> SearchResult:
    """Return the averaged choice with its threshold; another fusion or variant replaces it where it is clearly better.

    Clearly better means by more than the standard error of the paired difference over individuals.
    """
    if "weighted" not in config.fusions:
        return _best(_learned(evaluators, tried[0].choice, config))
    best = max(tried, key=lambda one: one.score)
    unit = max(best.error / 2, 1e-6)
    mass = np.array([prior_of(one.choice) * np.exp((one.score - best.score) / unit) for one in tried])
    total = {
        name: sum(float(m) for m, one in zip(mass, tried, strict=True) if one.choice.aggregation == name)
        for name in config.aggregations
    }
    aggregation = max(config.aggregations, key=lambda name: total[name])
    weights: dict[str, float] = {}
    for m, one in zip(mass, tried, strict=True):
        if one.choice.aggregation == aggregation:
            for name, weight in one.choice.weights.items():
                weights[name] = weights.get(name, 0.0) + float(m) * weight
    chosen = replace(best.choice.at(-np.inf), weights=_normalised(weights), aggregation=aggregation)
    return _varied(evaluators, choose_threshold(evaluators, chosen), config)


def prior_of(choice: DecisionParams) -> float:
    """Return the prior weight of a choice of columns.

    >>> prior_of(DecisionParams({"similarity": 0.5, "inliers": 0.5})), round(prior_of(DecisionParams({"vote": 1.0})), 3)
    (1.0, 0.333)
    """
    if len(choice.weights) > 2:
        return _PRIOR_OF_ALL
    plain = [not _PLAIN.isdisjoint(base_of(name).split(":")) for name in choice.weights]
    return float(np.prod([1.0 if one else _PRIOR_OF_OTHERS for one in plain]))


def sides_of(evaluators: Sequence[TrialEvaluator]) -> list[bool]:
    """Return the values of `same_viewpoint` that can make a difference."""
    return [False, True] if any(evaluator.sides_differ for evaluator in evaluators) else [False]


def _varied(evaluators: Sequence[TrialEvaluator], found: SearchResult, config: DecideConfig) -> SearchResult:
    """Return a variant of the choice where one is clearly better: one side alone, then the learned model."""
    if True in sides_of(evaluators):
        one_side = replace(found.choice.at(-np.inf), same_viewpoint=True)
        found = _clearly(found, [choose_threshold(evaluators, one_side)])
    return _clearly(found, _learned(evaluators, found.choice, config)) if "learned" in config.fusions else found


def _learned(evaluators: Sequence[TrialEvaluator], choice: DecisionParams, config: DecideConfig) -> list[SearchResult]:
    plain = replace(choice.at(-np.inf), fusion="learned")
    return [choose_threshold(evaluators, replace(plain, aggregation=one)) for one in config.aggregations]


def _clearly(found: SearchResult, others: Sequence[SearchResult]) -> SearchResult:
    better = [one for one in others if one.score - found.score > one.error_of_difference(found) + 1e-9]
    return _best(better) if better else found


def _best(found: Sequence[SearchResult]) -> SearchResult:
    return max(found, key=lambda one: one.score)


def _normalised(weights: dict[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    kept = {name: weight for name, weight in sorted(weights.items()) if weight >= _LEAST_WEIGHT * total}
    return {name: weight / sum(kept.values()) for name, weight in kept.items()}
