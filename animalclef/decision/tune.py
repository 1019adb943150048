"""Choose calibrators, weights and thresholds on pseudo-queries from the gallery; queries are never used."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from animalclef.config import DecideConfig
from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.answer_curve import AnswerFit, reliability
from animalclef.decision.cross_fit import CrossFitter, SearchOfFold, nested_answers
from animalclef.decision.decision_model import DatasetDecision, Decision, Summary, Validation
from animalclef.decision.fit_calibrators import pairs_of_others
from animalclef.decision.leak_guard import digest_of
from animalclef.decision.model_average import search
from animalclef.decision.null_model import nulls_of
from animalclef.decision.pseudo_query_scores import AnsweredQueries
from animalclef.decision.score_columns import scores_among
from animalclef.decision.search import SearchResult, with_threshold
from animalclef.decision.strangers import (
    confidence_sentences,
    look_alike_sentences,
    measured_on_strangers,
    with_own_threshold,
)
from animalclef.decision.transfer import for_dataset, prior_decision, scale_free
from animalclef.decision.trial_evaluator import TrialEvaluator
from animalclef.engine.work import Engine, ThisMachine
from animalclef.errors import ConfigError, suggestion
from animalclef.metrics.bootstrap import interval_over_individuals, mean_interval
from animalclef.metrics.threshold_sweep import score_of
from animalclef.runtime.progress import Progress

__all__ = [
    "Search",
    "cross_fitters",
    "evaluators_of",
    "pooled_cross_fitter",
    "tune",
    "tuning_warnings",
    "with_named_scores",
]

logger = logging.getLogger(__name__)

Search = Callable[[str, Sequence[TrialEvaluator]], SearchResult]
_NONE_ANSWERED: Mapping[str, AnsweredQueries] = {}
_HERE = ThisMachine()


def tune(
    pseudo: Mapping[str, PseudoQueries],
    config: DecideConfig,
    seed: int,
    scores: str,
    gallery: str,
    progress: Progress,
    final: Search | None = None,
    search_of_fold: SearchOfFold = search,
    answered: Mapping[str, AnsweredQueries] = _NONE_ANSWERED,
    engine: Engine = _HERE,
) -> Decision:
    """Return one decision per data set: its own where it has enough pseudo-queries, else the pooled, scale-free one.

    Calibrators are scored on folds of individuals they were not fitted on, and refitted on all at the end. A search per
    data set maximises the mean score over the open-set splits; `final` replaces the search over all folds (a study kept
    in a storage). Every fold of the nested score has a search of its own, `search_of_fold`, which must be of the same
    kind. Calibrators are fitted on the `answered` queries, too, which take no part in scores and thresholds: reviewers
    are asked about the doubtful ones first. The data sets do not depend on each other, and the `engine` runs them.
    Linear algebra runs on one thread, so that the decision does not depend on the number of threads. `scores` and
    `gallery` are digests that the decision keeps.

    Raises:
        ConfigError: the settings name no score that any data set has.
        EngineError: a data set failed again and again on a cluster.
        LeakError: something would have been scored on individuals it was fitted on.
    """
    parts = with_named_scores(pseudo, config)
    scored = [name for name, part in parts.items() if part.can_be_scored]
    with threadpool_limits(limits=1):
        own = [fitter for fitter in cross_fitters(pseudo, config, seed, answered) if fitter.name != "pooled"]
        fitters = [*own, pooled_cross_fitter(pseudo, config, seed, answered)] if scored else []
        work = _Tuning(seed, final, search_of_fold, validates_pooled=len(own) < len(scored))
        decisions: dict[str, DatasetDecision] = {}
        with progress.task(work.title, len(fitters), "studies") as advance:
            for fitter, decision in zip(fitters, engine.ordered(work, fitters), strict=True):
                decisions[fitter.name] = decision
                advance(1)
        pooled = decisions.pop("pooled", None) or prior_decision(_score_columns(parts))
        for name, part in parts.items():
            if name not in decisions and len(part):
                transferred = _transferred(pooled, part, config)
                # The pooled validation is of the data sets that it was scored on, and says nothing about others.
                decisions[name] = transferred if name in scored else transferred.model_copy(update={"validation": None})
        decisions = {
            name: one.model_copy(update={"strangers": measured_on_strangers(one, parts[name])})
            for name, one in sorted(decisions.items())
        }
    return Decision(
        scores=scores, gallery=gallery, seed=seed, datasets=decisions, pooled=pooled, summary=_summary(decisions, own)
    )


def tuning_warnings(decision: Decision, pseudo: Mapping[str, PseudoQueries], config: DecideConfig) -> list[str]:
    """Return what is odd about the database by its pseudo-queries, and on how little the decision rests."""
    return [*confidence_sentences(decision), *look_alike_sentences(with_named_scores(pseudo, config))]


def _transferred(pooled: DatasetDecision, part: PseudoQueries, config: DecideConfig) -> DatasetDecision:
    """Return the pooled decision for a data set, its threshold from its own strangers unless one is set."""
    decision = for_dataset(pooled, nulls_of(part))
    if config.threshold is not None:
        return decision.model_copy(update={"threshold": config.threshold})
    return with_own_threshold(decision, part)


def _summary(decisions: Mapping[str, DatasetDecision], own: Sequence[CrossFitter]) -> Summary | None:
    """Return the means over the data sets that have a decision of their own; `None` if there is none."""
    seen = [one for fitter in own if (one := decisions[fitter.name].validation) is not None]
    mean = mean_interval([(one.nested, one.low or 0.0, one.high or 0.0) for one in seen])
    if mean is None:
        return None
    optimism = float(np.mean([one.optimism for one in seen]))
    return Summary(nested=mean[0], low=mean[1], high=mean[2], optimism=optimism)


def _score_columns(parts: Mapping[str, PseudoQueries]) -> list[str]:
    return sorted({column for part in parts.values() for column in scores_among(part.columns)})


def with_named_scores(pseudo: Mapping[str, PseudoQueries], config: DecideConfig) -> dict[str, PseudoQueries]:
    """Return the pseudo-queries with the score columns that the settings name, or all where none of them is there.

    Raises:
        ConfigError: no data set has any of the named ones, not even as a part of a fused run.
    """
    there = _score_columns(pseudo)
    kinds = {kind for column in there for kind in (column, *column.split(":"))}
    if config.scores and there and kinds.isdisjoint(config.scores):
        raise ConfigError(
            f"decide.scores: this run has no {' or '.join(config.scores)}, but {', '.join(there)}."
            f"{suggestion(config.scores[0], there)}"
        )
    return {
        name: part.only([column for column in config.scores if column in part.columns] or scores_among(part.columns))
        for name, part in sorted(pseudo.items())
    }


def cross_fitters(
    pseudo: Mapping[str, PseudoQueries], config: DecideConfig, seed: int,
    answered: Mapping[str, AnsweredQueries] = _NONE_ANSWERED,
) -> list[CrossFitter]:  # fmt: skip
    """Return a fitter for each data set that has enough pseudo-queries; if none has, one for all of them pooled."""
    parts = with_named_scores(pseudo, config)
    scored = {name: part for name, part in parts.items() if part.can_be_scored}
    able = {name: part for name, part in scored.items() if len(part) >= config.min_pseudo_queries}
    if not able:
        return [pooled_cross_fitter(pseudo, config, seed, answered)] if scored else []
    return [
        CrossFitter(name, {name: part}, config, seed, pairs_of_others(parts, name), answered)
        for name, part in able.items()
    ]


def pooled_cross_fitter(
    pseudo: Mapping[str, PseudoQueries], config: DecideConfig, seed: int,
    answered: Mapping[str, AnsweredQueries] = _NONE_ANSWERED,
) -> CrossFitter:  # fmt: skip
    """Return one fitter, named `pooled`, for all data sets together, with scores in scale-free units."""
    scored = {name: part for name, part in with_named_scores(pseudo, config).items() if part.can_be_scored}
    nulls = {name: nulls_of(part) for name, part in scored.items()}
    parts = {name: scale_free(part, nulls[name]) for name, part in scored.items()}
    free = {
        name: replace(one, part=scale_free(one.part.only(list(nulls[name])), nulls[name]))
        for name, one in answered.items()
        if name in nulls
    }
    return CrossFitter("pooled", parts, config, seed, answered=free)


def evaluators_of(fitter: CrossFitter) -> dict[str, TrialEvaluator]:
    """Return an evaluator for each part, with log-odds by models fitted on the other folds."""
    return {name: TrialEvaluator(part, fitter.log_odds(name)) for name, part in fitter.parts.items()}


@dataclass(frozen=True, eq=False)
class _Tuning:
    """The work of tuning; a chunk is one data set, or all of them pooled.

    The folds of a data set share fitted models, so they stay together.
    """

    seed: int
    final: Search | None
    search_of_fold: SearchOfFold
    validates_pooled: bool
    title = "tuning the decision"
    chunks_a_task = 1

    def run(self, chunks: Iterable[CrossFitter]) -> Iterator[DatasetDecision]:
        """Yield the decision of each data set."""
        for fitter in chunks:
            with threadpool_limits(limits=1):
                decision = self._tune(fitter)
            yield decision

    def named(self, chunk: CrossFitter) -> str:
        """Return the name of a data set."""
        return chunk.name

    def with_threads(self, threads: int) -> _Tuning:
        """Return this work as it is."""
        return self

    def _tune(self, fitter: CrossFitter) -> DatasetDecision:
        evaluators = evaluators_of(fitter)
        trials = list(evaluators.values())
        found = search(trials, fitter.config) if self.final is None else self.final(fitter.name, trials)
        fitted = fitter.fitted()
        curves, choice = fitted.for_use, found.choice
        answer = AnswerFit.of(fitter, evaluators, choice)
        fixed = fitter.config.threshold  # a setting, in the probabilities of answers; it changes none of them
        if fixed is not None:
            found = with_threshold(trials, found, answer.log_odds(fixed))
        pooled = fitter.name == "pooled"
        validation = None
        if self.validates_pooled or not pooled:
            validation = _validate(fitter, evaluators, found, answer, self)
        return DatasetDecision(
            calibrators={column: curves.of[column] for column in fitter.columns},
            weights={column: choice.weights.get(column, 0.0) for column in fitter.columns},
            threshold=answer.probability(choice.threshold) if fixed is None else fixed,
            aggregation=choice.aggregation,
            same_viewpoint=choice.same_viewpoint,
            pair_model=curves.pair_model if choice.fusion == "learned" else None,
            fitted_on=fitter.name,
            individuals_digest=digest_of(fitted.individuals),
            validation=validation,
            answer_curve=answer.curve,
            scale_free=pooled,
            nulls={} if pooled else nulls_of(fitter.parts[fitter.name]),
        )


def _validate(
    fitter: CrossFitter, evaluators: Mapping[str, TrialEvaluator], found: SearchResult, answer: AnswerFit, work: _Tuning
) -> Validation:
    """Return the nested score with its interval over individuals, and how well probabilities are calibrated."""
    measured = []
    fixed = None if fitter.config.threshold is None else found.choice.threshold
    for name, answered in nested_answers(fitter, fixed, work.search_of_fold).items():
        roles = evaluators[name].roles
        score = score_of(answered.hits, roles)[0]
        low, high = interval_over_individuals(*answered.hits, fitter.parts[name].splits, seed=work.seed)
        # A query can be found by one encounter of its individual more than a pseudo-query, whose own is hidden. What
        # that is worth is at most what hiding a further one costs.
        worth = score - score_of((answered.with_one_more_hidden, answered.as_unknown), roles)[0]
        measured.append((score, low, min(1.0, high + max(0.0, worth))))
    score, low, high = mean_interval(measured) or (0.0, 0.0, 1.0)
    logger.info("%s: %s, nested score %.3f", fitter.name, found.choice, score)
    pairs = [evaluator.pair_probability(found.choice) for evaluator in evaluators.values()]
    probability, same = (np.concatenate(one) for one in zip(*pairs, strict=True))
    return Validation(
        pseudo_queries=sum(map(len, fitter.parts.values())),
        individuals=len({who for part in fitter.individuals.values() for who in part}),
        tuned=found.score, nested=score, baks=found.baks, baus=found.baus, low=low, high=high,
        plateau=(answer.probability(found.plateau[0]), answer.probability(found.plateau[1])),
        reliability=reliability(probability, same), answers=answer.reliability,
    )  # fmt: skip
