"""Choose calibrators, weights and thresholds on pseudo-queries from the gallery; a query is never looked at."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from animalclef.config import DecideConfig
from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.calibrators import Calibrator, shaped, sigmoid
from animalclef.decision.cross_fit import CrossFitter
from animalclef.decision.decision_model import DatasetDecision, Decision, Reliability, Summary, Validation
from animalclef.decision.decision_params import DecisionParams
from animalclef.decision.fit_calibrators import Pairs
from animalclef.decision.leak_guard import Fitted, digest_of
from animalclef.decision.reliability import reliability
from animalclef.decision.score_columns import CONTEXT, is_count, scores_among
from animalclef.decision.search import SearchResult, search
from animalclef.decision.trial_evaluator import TrialEvaluator
from animalclef.metrics.bootstrap import interval_over_individuals, mean_interval
from animalclef.metrics.threshold_sweep import hits_of, score_of
from animalclef.runtime.progress import Progress

__all__ = [
    "NestedAnswers",
    "Search",
    "default_decision",
    "held_out_parts",
    "nested_answers",
    "nested_hits",
    "tune",
    "used_parts",
]

logger = logging.getLogger(__name__)

Bools = NDArray[np.bool_]
_PAIRS_OF_OTHERS = 10_000  # are enough for a curve

Search = Callable[[str, Sequence[TrialEvaluator]], SearchResult]


def tune(
    pseudo: Mapping[str, PseudoQueries],
    config: DecideConfig,
    seed: int,
    scores: str,
    gallery: str,
    progress: Progress,
    final: Search | None = None,
) -> Decision:
    """One decision per data set that has enough pseudo-queries, and a pooled one for the others.

    Calibrators are scored on folds of individuals they were not fitted on, and refitted on all at the end. A study per
    data set finds the choice for the best mean score over the open-set splits; `final` makes the last one, over all
    folds, in another way (a study kept in a storage). Every fold of the nested score has a study of its own in memory.

    Raises:
        LeakError: something would have been scored on individuals it was fitted on.
    """
    final = final or (lambda name, evaluators: search(evaluators, config, seed))
    parts = used_parts(pseudo, config)
    scored = [name for name, part in parts.items() if part.can_be_scored]
    own = [held_out for held_out in held_out_parts(pseudo, config, seed) if held_out.name != "pooled"]
    with progress.task("tuning the decision", len(own) * (config.folds + 1) + 1, "studies") as advance:
        one_each = {
            held_out.name: _tune_one(held_out, config, seed, final, advance, validates=True) for held_out in own
        }
        if not scored:
            columns = {column for part in parts.values() for column in scores_among(part.columns)}
            pooled = default_decision(sorted(columns))
        elif len(own) == len(scored) == 1:
            pooled = one_each[own[0].name].model_copy(update={"fitted_on": "pooled"})
        else:
            together = pooled_parts(pseudo, config, seed)
            needed = len(own) < len(scored)
            pooled = _tune_one(together, config, seed, final, lambda done: None, validates=needed)
        advance(1)
    return Decision(
        scores=scores, gallery=gallery, seed=seed, datasets=one_each, pooled=pooled, summary=_summary(one_each)
    )


def _summary(datasets: Mapping[str, DatasetDecision]) -> Summary | None:
    seen = {name: part.validation for name, part in datasets.items() if part.validation is not None}
    whole = mean_interval({name: (one.nested, one.low or 0.0, one.high or 0.0) for name, one in seen.items()})
    if whole is None:
        return None
    optimism = float(np.mean([one.optimism for one in seen.values()]))
    return Summary(nested=whole[0], low=whole[1], high=whole[2], optimism=optimism)


def used_parts(pseudo: Mapping[str, PseudoQueries], config: DecideConfig) -> dict[str, PseudoQueries]:
    """With the score columns that the settings name, or all where none of them is there; circumstances stay."""
    parts = {}
    for name, part in sorted(pseudo.items()):
        names = [column for column in config.scores if column in part.columns] or scores_among(part.columns)
        kept = [*names, *sorted(CONTEXT)]
        parts[name] = part.only([column for column in kept if column in part.columns])
    return parts


def held_out_parts(pseudo: Mapping[str, PseudoQueries], config: DecideConfig, seed: int) -> list[CrossFitter]:
    """What is validated: each data set that has enough pseudo-queries, or where none has, all of them pooled."""
    parts = used_parts(pseudo, config)
    scored = {name: part for name, part in parts.items() if part.can_be_scored}
    able = {name: part for name, part in scored.items() if len(part) >= config.min_pseudo_queries}
    if not able:
        return [pooled_parts(pseudo, config, seed)] if scored else []
    return [
        CrossFitter(name, {name: part}, config, seed, _pairs_of_others(parts, name, config))
        for name, part in able.items()
    ]


def pooled_parts(pseudo: Mapping[str, PseudoQueries], config: DecideConfig, seed: int) -> CrossFitter:
    """All data sets' pseudo-queries together."""
    parts = {name: part for name, part in used_parts(pseudo, config).items() if part.can_be_scored}
    return CrossFitter("pooled", parts, config, seed)


def evaluators_of(held_out: CrossFitter) -> dict[str, TrialEvaluator]:
    """Each part with log-odds by what was fitted on the other folds."""
    return {name: TrialEvaluator(part, held_out.log_odds(name)) for name, part in held_out.parts.items()}


def default_decision(columns: Sequence[str]) -> DatasetDecision:
    """What is applied where nothing can be tuned: 12 inliers of a pair, or a similarity of 0.6, are an even bet."""
    odds = {name: Calibrator(log=True, mean=float(np.log1p(12)), spread=1.0, slope=3.0, intercept=0.0)
            for name in columns if name == "inliers"}  # fmt: skip
    if not odds:
        odds = {"similarity": Calibrator(log=False, mean=0.6, spread=0.1, slope=1.0, intercept=0.0)}
    return DatasetDecision(
        calibrators=odds, weights=dict.fromkeys(odds, 1.0), threshold=0.5, fitted_on="default", validation=None
    )


def _tune_one(
    held_out: CrossFitter, config: DecideConfig, seed: int, final: Search, advance: Callable[[int], None], *,
    validates: bool,
) -> DatasetDecision:  # fmt: skip
    evaluators = evaluators_of(held_out)
    found = final(held_out.name, list(evaluators.values()))
    advance(1)
    fitted = held_out.fitted()
    curves, choice = fitted.for_use, found.choice
    validation = _validated(held_out, evaluators, found, config, seed, advance) if validates else None
    return DatasetDecision(
        calibrators={column: curve for (kind, column), curve in curves.of.items() if kind == choice.calibration},
        weights=dict(choice.weights),
        threshold=float(sigmoid(np.array(choice.threshold))),
        margin=choice.margin,
        aggregation=choice.aggregation,
        crowd_weight=choice.crowd_weight,
        same_viewpoint=choice.same_viewpoint,
        pair_model=curves.pair_model if choice.fusion == "learned" else None,
        fitted_on=held_out.name,
        individuals_digest=digest_of(fitted.individuals),
        validation=validation,
    )


def _validated(
    held_out: CrossFitter,
    evaluators: Mapping[str, TrialEvaluator],
    found: SearchResult,
    config: DecideConfig,
    seed: int,
    advance: Callable[[int], None],
) -> Validation:
    nested = nested_hits(held_out, config, seed, advance)
    measured = {}
    for name, hits in nested.items():
        ends = interval_over_individuals(*hits, held_out.parts[name].splits, seed=seed)
        measured[name] = (score_of(hits, evaluators[name].roles)[0], *ends)
    score, low, high = mean_interval(measured) or (0.0, 0.0, 1.0)
    plateau = sigmoid(np.array(found.plateau)).tolist()
    logger.info("%s: %s, nested score %.3f", held_out.name, found.choice, score)
    return Validation(
        pseudo_queries=sum(map(len, held_out.parts.values())),
        individuals=len(held_out.fitted().individuals),
        tuned=found.score, nested=score, baks=found.baks, baus=found.baus, low=low, high=high,
        plateau=(plateau[0], plateau[1]), reliability=_reliability(evaluators, found.choice),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class NestedAnswers:
    """What comes of pseudo-queries that are answered by a choice which never saw their individuals."""

    hits: tuple[Bools, Bools]  # (p,) answered right as known, and as unknown
    best_is_right: Bools  # (p,) the best identity of the known role is the true one, at any threshold


def nested_hits(
    held_out: CrossFitter, config: DecideConfig, seed: int, advance: Callable[[int], None] = lambda done: None
) -> dict[str, tuple[Bools, Bools]]:
    """Which pseudo-queries of each part are answered right, as known and as unknown; see `nested_answers`."""
    return {name: found.hits for name, found in nested_answers(held_out, config, seed, advance).items()}


def nested_answers(
    held_out: CrossFitter, config: DecideConfig, seed: int, advance: Callable[[int], None] = lambda done: None
) -> dict[str, NestedAnswers]:
    """The answers to the pseudo-queries of each part when each fold of individuals is answered by calibrators and a
    choice that never saw it. One that no choice could be made for counts as wrong.
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
        chosen = Fitted(search(usable, config, seed).choice, shaping)
        for name, part in held_out.parts.items():
            rows = np.flatnonzero(held_out.fold_of[name] == fold)
            choice = chosen.for_scoring(held_out.individuals[name][rows])
            found = TrialEvaluator(part.select(rows), log_odds[name].select(rows)).answers(choice)
            whole, mine = answered[name], hits_of(found.with_margin(choice.margin), choice.threshold)
            whole.hits[0][rows], whole.hits[1][rows] = mine
            whole.best_is_right[rows] = found.right
    return answered


def _reliability(evaluators: Mapping[str, TrialEvaluator], choice: DecisionParams) -> Reliability:
    """Of the held-out probabilities of pairs, as known queries see them."""
    pairs = [evaluator.pair_probability(choice) for evaluator in evaluators.values()]
    probability, same = (np.concatenate(one) for one in zip(*pairs, strict=True))
    return reliability(probability, same)


def _pairs_of_others(parts: Mapping[str, PseudoQueries], mine: str, config: DecideConfig) -> dict[str, Pairs]:
    """Per column the other data sets' pairs, each standardised within its own data set."""
    pairs = {}
    if not config.shrinkage:
        return {}
    for column in scores_among(parts[mine].columns):
        z, same = [], []
        for name, part in parts.items():
            if name != mine and column in part.columns:
                values = shaped(part.columns[column][part.as_known], log=is_count(column))
                usable = np.isfinite(values)
                if usable.any() and values[usable].std() > 1e-9:
                    z.append(np.clip((values[usable] - values[usable].mean()) / values[usable].std(), -10, 10))
                    same.append(part.same[part.as_known][usable])
        if z:
            joined, labels = np.concatenate(z), np.concatenate(same)
            step = len(joined) // _PAIRS_OF_OTHERS + 1
            pairs[column] = Pairs(joined[::step], labels[::step], config.shrinkage)
    return pairs
