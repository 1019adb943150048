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
from animalclef.decision.calibrators import shaped
from animalclef.decision.cross_fit import CrossFitter, SearchOfFold, nested_answers
from animalclef.decision.decision_model import DatasetDecision, Decision, Summary, Validation
from animalclef.decision.fit_calibrators import Pairs
from animalclef.decision.leak_guard import digest_of
from animalclef.decision.model_average import search
from animalclef.decision.null_model import nulls_of
from animalclef.decision.pseudo_query_scores import AnsweredQueries
from animalclef.decision.score_columns import is_count, scores_among
from animalclef.decision.search import SearchResult, at_threshold
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

__all__ = ["Search", "evaluators_of", "held_out_parts", "pooled_parts", "tune", "tuning_warnings", "used_parts"]

logger = logging.getLogger(__name__)

_PAIRS_OF_OTHERS = 10_000  # are enough for a curve

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
    kind. Calibrators are fitted on the `answered`
    queries, too, which take no part in scores and thresholds: reviewers are asked about the doubtful ones first. The
    data sets do not depend on each other, and the `engine` runs them. Linear algebra runs on one thread, so that the
    decision does not depend on the number of threads.

    Raises:
        EngineError: a data set failed again and again on a cluster.
        LeakError: something would have been scored on individuals it was fitted on.
    """
    parts = used_parts(pseudo, config)
    scored = [name for name, part in parts.items() if part.can_be_scored]
    with threadpool_limits(limits=1):
        own = [held_out for held_out in held_out_parts(pseudo, config, seed, answered) if held_out.name != "pooled"]
        asked = [*own, pooled_parts(pseudo, config, seed, answered)] if scored else []
        work = _Searches(seed, final, search_of_fold, validates_pooled=len(own) < len(scored))
        decided: dict[str, DatasetDecision] = {}
        with progress.task("tuning the decision", len(asked), "studies") as advance:
            for held_out, found in zip(asked, engine.ordered(work, asked), strict=True):
                decided[held_out.name] = found
                advance(1)
        pooled = decided.pop("pooled", None) or prior_decision(
            sorted({column for part in parts.values() for column in scores_among(part.columns)})
        )
        for name, part in parts.items():
            if name not in decided and len(part):
                mine = _transferred(pooled, part, config)
                decided[name] = mine if name in scored else mine.model_copy(update={"validation": None})
        decided = {
            name: one.model_copy(update={"strangers": measured_on_strangers(one, parts[name])})
            for name, one in sorted(decided.items())
        }
    return Decision(
        scores=scores, gallery=gallery, seed=seed, datasets=decided, pooled=pooled, summary=_summary(decided, own)
    )


def tuning_warnings(decision: Decision, pseudo: Mapping[str, PseudoQueries], config: DecideConfig) -> list[str]:
    """Return what is odd about the database by its pseudo-queries, and on how little the decision rests."""
    return [*confidence_sentences(decision), *look_alike_sentences(used_parts(pseudo, config))]


def _transferred(pooled: DatasetDecision, part: PseudoQueries, config: DecideConfig) -> DatasetDecision:
    """Return the pooled decision for a data set, its threshold from its own strangers unless one is set."""
    decision = for_dataset(pooled, nulls_of(part))
    if config.threshold is not None:
        return decision.model_copy(update={"threshold": config.threshold})
    return with_own_threshold(decision, part)


def _summary(datasets: Mapping[str, DatasetDecision], own: Sequence[CrossFitter]) -> Summary | None:
    seen = [one for held_out in own if (one := datasets[held_out.name].validation) is not None]
    whole = mean_interval([(one.nested, one.low or 0.0, one.high or 0.0) for one in seen])
    if whole is None:
        return None
    optimism = float(np.mean([one.optimism for one in seen]))
    return Summary(nested=whole[0], low=whole[1], high=whole[2], optimism=optimism)


def used_parts(pseudo: Mapping[str, PseudoQueries], config: DecideConfig) -> dict[str, PseudoQueries]:
    """Return the pseudo-queries with the score columns that the settings name, or all where none of them is there.

    Raises:
        ConfigError: no data set has any of the named ones, not even as a part of a fused run.
    """
    there = sorted({column for part in pseudo.values() for column in scores_among(part.columns)})
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


def held_out_parts(
    pseudo: Mapping[str, PseudoQueries], config: DecideConfig, seed: int,
    answered: Mapping[str, AnsweredQueries] = _NONE_ANSWERED,
) -> list[CrossFitter]:  # fmt: skip
    """Return the data sets that have enough pseudo-queries, each by itself, or where none has, all of them pooled."""
    parts = used_parts(pseudo, config)
    scored = {name: part for name, part in parts.items() if part.can_be_scored}
    able = {name: part for name, part in scored.items() if len(part) >= config.min_pseudo_queries}
    if not able:
        return [pooled_parts(pseudo, config, seed, answered)] if scored else []
    return [
        CrossFitter(name, {name: part}, config, seed, _pairs_of_others(parts, name, config), answered)
        for name, part in able.items()
    ]


def pooled_parts(
    pseudo: Mapping[str, PseudoQueries], config: DecideConfig, seed: int,
    answered: Mapping[str, AnsweredQueries] = _NONE_ANSWERED,
) -> CrossFitter:  # fmt: skip
    """Return all data sets' pseudo-queries together, their scores in scale-free units."""
    scored = {name: part for name, part in used_parts(pseudo, config).items() if part.can_be_scored}
    nulls = {name: nulls_of(part) for name, part in scored.items()}
    parts = {name: scale_free(part, nulls[name]) for name, part in scored.items()}
    free = {
        name: replace(one, part=scale_free(one.part.only(list(nulls[name])), nulls[name]))
        for name, one in answered.items()
        if name in nulls
    }
    return CrossFitter("pooled", parts, config, seed, answered=free)


def evaluators_of(held_out: CrossFitter) -> dict[str, TrialEvaluator]:
    """Return each part with log-odds by models fitted on the other folds."""
    return {name: TrialEvaluator(part, held_out.log_odds(name)) for name, part in held_out.parts.items()}


@dataclass(frozen=True, eq=False)
class _Searches:
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
        for held_out in chunks:
            with threadpool_limits(limits=1):
                found = self._tuned(held_out)
            yield found

    def named(self, chunk: CrossFitter) -> str:
        """Return the name of a data set."""
        return chunk.name

    def with_threads(self, threads: int) -> _Searches:
        """Return this work as it is."""
        return self

    def _tuned(self, held_out: CrossFitter) -> DatasetDecision:
        evaluators = evaluators_of(held_out)
        asked = list(evaluators.values())
        found = search(asked, held_out.config) if self.final is None else self.final(held_out.name, asked)
        fitted = held_out.fitted()
        curves, choice = fitted.for_use, found.choice
        answer = AnswerFit.of(held_out, evaluators, choice)
        fixed = held_out.config.threshold  # of the probabilities that are answered with; it changes none of them
        if fixed is not None:
            found = at_threshold(asked, found, answer.log_odds(fixed))
        pooled = held_out.name == "pooled"
        validation = None
        if self.validates_pooled or not pooled:
            validation = _validated(held_out, evaluators, found, answer, self)
        return DatasetDecision(
            calibrators={column: curves.of[column] for column in held_out.columns},
            weights={column: choice.weights.get(column, 0.0) for column in held_out.columns},
            threshold=answer.probability(choice.threshold) if fixed is None else fixed,
            aggregation=choice.aggregation,
            same_viewpoint=choice.same_viewpoint,
            pair_model=curves.pair_model if choice.fusion == "learned" else None,
            fitted_on=held_out.name,
            individuals_digest=digest_of(fitted.individuals),
            validation=validation,
            answer_curve=answer.curve,
            scale_free=pooled,
            nulls={} if pooled else nulls_of(held_out.parts[held_out.name]),
        )


def _validated(
    held_out: CrossFitter,
    evaluators: Mapping[str, TrialEvaluator],
    found: SearchResult,
    answer: AnswerFit,
    searches: _Searches,
) -> Validation:
    measured = []
    fixed = None if held_out.config.threshold is None else found.choice.threshold
    for name, answered in nested_answers(held_out, fixed, searches.search_of_fold).items():
        roles = evaluators[name].roles
        score = score_of(answered.hits, roles)[0]
        low, high = interval_over_individuals(*answered.hits, held_out.parts[name].splits, seed=searches.seed)
        # A query has an encounter of its individual more to be found in than a pseudo-query. What the next one
        # hidden costs bounds what that is worth.
        worth = score - score_of((answered.with_one_more_hidden, answered.as_unknown), roles)[0]
        measured.append((score, low, min(1.0, high + max(0.0, worth))))
    score, low, high = mean_interval(measured) or (0.0, 0.0, 1.0)
    logger.info("%s: %s, nested score %.3f", held_out.name, found.choice, score)
    pairs = [evaluator.pair_probability(found.choice) for evaluator in evaluators.values()]
    probability, same = (np.concatenate(one) for one in zip(*pairs, strict=True))
    return Validation(
        pseudo_queries=sum(map(len, held_out.parts.values())),
        individuals=len({who for part in held_out.individuals.values() for who in part}),
        tuned=found.score, nested=score, baks=found.baks, baus=found.baus, low=low, high=high,
        plateau=(answer.probability(found.plateau[0]), answer.probability(found.plateau[1])),
        reliability=reliability(probability, same), answers=answer.reliability,
    )  # fmt: skip


def _pairs_of_others(parts: Mapping[str, PseudoQueries], mine: str, config: DecideConfig) -> dict[str, Pairs]:
    """Return per column the other data sets' pairs, each standardised within its own data set."""
    if not config.shrinkage:
        return {}
    pairs = {}
    for column in scores_among(parts[mine].columns):
        z, same = [], []
        for name, part in parts.items():
            if name != mine and len(part) and column in part.columns:
                seen = part.as_known
                values = shaped(part.columns[column][seen], log=is_count(column))
                usable = np.isfinite(values)
                if usable.any() and values[usable].std() > 1e-9:
                    z.append(np.clip((values[usable] - values[usable].mean()) / values[usable].std(), -10, 10))
                    same.append(part.same[seen][usable])
        if z:
            joined, labels = np.concatenate(z), np.concatenate(same)
            step = len(joined) // _PAIRS_OF_OTHERS + 1
            pairs[column] = Pairs(joined[::step], labels[::step], config.shrinkage)
    return pairs
