"""Nested validation: every fold of individuals is answered by a decision that was tuned on the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from animalclef.config import DecideConfig
from animalclef.decision.cross_fit import CrossFitter
from animalclef.decision.leak_guard import Fitted
from animalclef.decision.model_average import search
from animalclef.decision.trial_evaluator import TrialEvaluator
from animalclef.metrics.threshold_sweep import hits_of

__all__ = ["NestedAnswers", "nested_answers", "nested_hits"]

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class NestedAnswers:
    """Which pseudo-queries are right when a choice that never saw their individuals answers them."""

    hits: tuple[Bools, Bools]  # (p,) answered right as known, and as unknown
    best_is_right: Bools  # (p,) the best identity of the known role is the true one, at any threshold


def nested_hits(
    held_out: CrossFitter, config: DecideConfig, advance: Callable[[int], None] = lambda done: None
) -> dict[str, tuple[Bools, Bools]]:
    """Return which pseudo-queries of each part are answered right, as known and as unknown; see `nested_answers`."""
    return {name: found.hits for name, found in nested_answers(held_out, config, advance).items()}


def nested_answers(
    held_out: CrossFitter, config: DecideConfig, advance: Callable[[int], None] = lambda done: None
) -> dict[str, NestedAnswers]:
    """Return the answers to each part's pseudo-queries, every fold answered by a choice tuned on the other folds.

    A pseudo-query counts as wrong where nothing could be tuned without its fold.
    """
    answered = {
        name: NestedAnswers((np.zeros(len(part), bool), np.zeros(len(part), bool)), np.zeros(len(part), bool))
        for name, part in held_out.parts.items()
    }
    for fold in range(config.folds):
        outside = held_out.outside(fold)
        log_odds = {name: held_out.log_odds(name, frozenset({fold})) for name in held_out.parts}
        evaluators = [
            TrialEvaluator(held_out.parts[name].select(rows), log_odds[name].select(rows))
            for name, rows in outside.items()
        ]
        usable = [evaluator for evaluator in evaluators if evaluator.part.can_be_scored]
        advance(1)
        if not usable:
            continue
        shaping = frozenset(who for name, rows in outside.items() for who in held_out.individuals[name][rows])
        chosen = Fitted(search(usable, config).choice, shaping)
        for name, part in held_out.parts.items():
            rows = np.flatnonzero(held_out.fold_of[name] == fold)
            choice = chosen.for_scoring(held_out.individuals[name][rows])
            found = TrialEvaluator(part.select(rows), log_odds[name].select(rows)).answers(choice)
            whole, mine = answered[name], hits_of(found, choice.threshold)
            whole.hits[0][rows], whole.hits[1][rows] = mine
            whole.best_is_right[rows] = found.right
    return answered
