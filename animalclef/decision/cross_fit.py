"""Calibrators and pair models fitted on some folds of individuals and applied to the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from animalclef.config import DecideConfig
from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.calibrators import Calibrator
from animalclef.decision.fit_calibrators import Pairs, fit_calibrator, fit_pair_model
from animalclef.decision.leak_guard import Fitted
from animalclef.decision.model_average import search
from animalclef.decision.pair_classifier import PairModel, pair_inputs
from animalclef.decision.pseudo_query_scores import AnsweredQueries
from animalclef.decision.score_columns import is_count, scores_among
from animalclef.decision.search import SearchResult
from animalclef.decision.trial_evaluator import ROLES, LogOdds, Role, TrialEvaluator, numbered, seen_as
from animalclef.metrics.threshold_sweep import hits_of
from animalclef.structures.arrays import BoolArray, Floats, Integers

__all__ = ["CrossFitter", "Curves", "NestedAnswers", "SearchOfFold", "nested_answers"]

SearchOfFold = Callable[[Sequence[TrialEvaluator], DecideConfig], SearchResult]


_MOST_PAIRS = 12_000  # are enough for a curve: every pair of one individual, and evenly spaced others


@dataclass(frozen=True)
class Curves:
    """Models fitted on pairs: a curve per column, and the pair model where one is asked for."""

    of: Mapping[str, Calibrator]
    pair_model: PairModel | None


@dataclass(frozen=True, eq=False)
class _Source:
    """Rows of some queries that models are fitted on, and how much a pair counts as each role sees it."""

    part: PseudoQueries
    who: NDArray[np.int64]
    rows: Integers
    weight: Mapping[Role, float]
    labelled: BoolArray | None = None  # of queries that people answered: pairs whose answer is known

    def pairs(self, role: Role) -> BoolArray:
        """Return the pairs of the rows that models are fitted on, (rows, k)."""
        seen = seen_as(self.part, role)[self.rows]
        return seen if self.labelled is None else seen & self.labelled[self.rows]


class CrossFitter:
    """The pseudo-queries of one data set (or of several, pooled), cut into folds of individuals."""

    def __init__(
        self,
        name: str,
        parts: Mapping[str, PseudoQueries],
        config: DecideConfig,
        seed: int,
        others: Mapping[str, Pairs] | None = None,
        answered: Mapping[str, AnsweredQueries] | None = None,
    ) -> None:
        """`others` holds, per column, other data sets' standardised pairs, for fits on few pairs.

        Models are fitted on the `answered` queries of the parts, too; these are never scored.
        """
        self.name, self.parts, self.config, self.others = name, dict(parts), config, others or {}
        self.individuals = {
            one: np.array([f"{one}/{who}" for who in part.splits.identity], dtype=object) for one, part in parts.items()
        }
        self.fold_of = {one: _folds(who, config.folds, seed) for one, who in self.individuals.items()}
        self.who = {one: numbered(part) for one, part in parts.items()}
        self.columns = scores_among({name for part in parts.values() for name in part.columns})
        self._answered = {one: queries for one, queries in (answered or {}).items() if one in self.parts}
        self._fits: dict[frozenset[int], Fitted[Curves]] = {}

    def outside(self, folds: frozenset[int]) -> dict[str, Integers]:
        """Return the rows of each part that are in none of the folds."""
        return {name: np.flatnonzero(~np.isin(mine, list(folds))) for name, mine in self.fold_of.items()}

    def fitted(self, without: frozenset[int] = frozenset()) -> Fitted[Curves]:
        """Return the models fitted on all individuals but those of the folds named."""
        if without not in self._fits:
            rows = self.outside(without)
            individuals = {who for name, one in rows.items() for who in self.individuals[name][one]}
            sources = []
            for name, one in rows.items():
                share = float(self.config.of("unknown_share", name))
                sources.append(_Source(self.parts[name], self.who[name], one, {"known": 1 - share, "unknown": share}))
            for name, queries in self._answered.items():
                fold_of = dict(zip(self.individuals[name], self.fold_of[name].tolist(), strict=True))
                whose = [f"{name}/{who}" for who in queries.part.splits.identity]
                kept = np.flatnonzero([fold_of.get(who) not in without for who in whose])
                part = queries.part  # each of its queries has one role, with all of its candidates in view
                sources.append(_Source(part, numbered(part), kept, {"known": 1.0}, queries.labelled))
                individuals |= {whose[row] for row in kept}
            self._fits[without] = Fitted(self._fit(sources), frozenset(individuals))
        return self._fits[without]

    def log_odds(self, name: str, without: frozenset[int] = frozenset()) -> LogOdds:
        """Return log-odds of every pair of one part, by models fitted without its individual's fold and `without`."""
        part, folds, who = self.parts[name], self.fold_of[name], self.who[name]
        columns = {column: np.zeros(part.same.shape) for column in self.columns if column in part.columns}
        learned: dict[Role, Floats] = {role: np.zeros(part.same.shape) for role in ROLES} if self._learns else {}
        for fold in sorted(set(folds.tolist())):
            rows = np.flatnonzero(folds == fold)
            curves = self.fitted(without | {fold}).for_scoring(self.individuals[name][rows])
            for column, values in columns.items():
                values[rows] = curves.of[column].log_odds(part.columns[column][rows])
            mine = {column: values[rows] for column, values in part.columns.items()}
            for role, values in learned.items():
                if curves.pair_model is not None:
                    seen = seen_as(part, role)[rows]
                    values[rows] = curves.pair_model.log_odds(mine, seen, who[rows], part.agrees[rows])
        return LogOdds(columns, learned, who)

    def with_one_more_hidden(self) -> CrossFitter:
        """Return the same models and folds, with one more encounter of each pseudo-query's individual hidden."""
        other = copy(self)
        other.parts = {name: part.with_one_more_hidden() for name, part in self.parts.items()}
        return other

    @property
    def _learns(self) -> bool:
        return "learned" in self.config.fusions

    def _fit(self, sources: Sequence[_Source]) -> Curves:
        places, same, weight = self._sample(sources)
        curves: dict[str, Calibrator] = {}
        for column in self.columns:
            score = np.concatenate([_column(part, column, rows, slots) for part, rows, slots in places])
            others = self.others.get(column)
            curves[column] = fit_calibrator(score, same, log=is_count(column), others=others, weight=weight)
        return Curves(curves, self._fit_model(sources, curves) if self._learns else None)

    def _sample(
        self, sources: Sequence[_Source]
    ) -> tuple[list[tuple[PseudoQueries, Integers, Integers]], BoolArray, Floats]:
        """Return part, rows and slots of runs of pairs as either role sees them; whether a pair shows one individual,
        and its weight, by the share of unknown individuals that a data set expects.
        """
        places, same, weight = [], [], []
        total = sum(int(source.pairs(role).sum()) for source in sources for role in source.weight)
        step = max(1, -(-total // _MOST_PAIRS))
        for source in sources:
            for role, counts in source.weight.items():
                at, slots = np.nonzero(source.pairs(role))
                mine = source.part.same[source.rows[at], slots]
                kept = mine | (np.arange(len(mine)) % step == 0)
                at, slots, mine = at[kept], slots[kept], mine[kept]
                places.append((source.part, source.rows[at], slots))
                same.append(mine)
                weight.append(np.where(mine, 1.0, step) * counts)
        return places, np.concatenate(same), np.concatenate(weight)

    def _fit_model(self, sources: Sequence[_Source], curves: Mapping[str, Calibrator]) -> PairModel:
        """Fit on pairs as either role sees them: a model must know the best stranger of an unknown query."""
        tables, labels, weights = [], [], []
        for source in sources:
            part, who = source.part.select(source.rows), source.who[source.rows]
            for role, counts in source.weight.items():
                visible = seen_as(part, role)
                same = part.same[visible]
                step = max(1, -(-len(same) // (_MOST_PAIRS // 2)))
                kept = (same | (np.arange(len(same)) % step == 0)) & source.pairs(role)[visible]
                inputs = pair_inputs(part.columns, curves, visible, who, part.agrees)
                tables.append({one: values[kept] for one, values in inputs.items()})
                labels.append(same[kept])
                weights.append(np.where(same[kept], 1.0, step) * counts)
        inputs = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
        return fit_pair_model(curves, inputs, np.concatenate(labels), np.concatenate(weights))


def _column(part: PseudoQueries, name: str, rows: Integers, slots: Integers) -> NDArray[np.generic]:
    return part.columns[name][rows, slots] if name in part.columns else np.full(len(rows), np.nan, dtype=np.float32)


def _folds(individuals: NDArray[np.object_], folds: int, seed: int) -> NDArray[np.int64]:
    """A fold for every individual, so that no individual is on both sides."""
    names = sorted(set(individuals))
    order = np.random.default_rng([seed, 3]).permutation(len(names))
    fold = dict(zip([names[place] for place in order], np.arange(len(names)) % folds, strict=True))
    return np.array([fold[one] for one in individuals], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class NestedAnswers:
    """Which pseudo-queries are right when a choice that never saw their individuals answers them."""

    as_known: BoolArray  # (p,) answered right with their individual in the gallery
    as_unknown: BoolArray  # (p,) and without
    best_is_right: BoolArray  # (p,) the best identity of the known role is the true one, at any threshold
    with_one_more_hidden: BoolArray  # (p,) answered right as known with one more encounter of the individual hidden

    @property
    def hits(self) -> tuple[BoolArray, BoolArray]:
        """Which pseudo-queries are answered right, as known and as unknown, (p,) each."""
        return self.as_known, self.as_unknown


def nested_answers(
    fitter: CrossFitter, threshold: float | None = None, search_of_fold: SearchOfFold = search
) -> dict[str, NestedAnswers]:
    """Return the answers to each part's pseudo-queries, every fold answered by a choice searched for on the others.

    A `threshold` in log-odds holds for all folds.

    A pseudo-query counts as wrong where nothing could be tuned without its fold.
    """
    answered = {
        name: NestedAnswers(*(np.zeros(len(part), bool) for _ in range(4))) for name, part in fitter.parts.items()
    }
    thinner = fitter.with_one_more_hidden()
    changed = [name for name, part in fitter.parts.items() if part.one_more is not None and part.one_more.any()]
    thinner_odds = {name: thinner.log_odds(name) for name in changed}
    for fold in range(fitter.config.folds):
        outside = fitter.outside(frozenset({fold}))
        log_odds = {name: fitter.log_odds(name, frozenset({fold})) for name in fitter.parts}
        evaluators = [
            TrialEvaluator(fitter.parts[name].select(rows), log_odds[name].select(rows))
            for name, rows in outside.items()
        ]
        usable = [evaluator for evaluator in evaluators if evaluator.part.can_be_scored]
        if not usable:
            continue
        shaping = frozenset(who for name, rows in outside.items() for who in fitter.individuals[name][rows])
        chosen = Fitted(search_of_fold(usable, fitter.config).choice, shaping)
        for name, part in fitter.parts.items():
            rows = np.flatnonzero(fitter.fold_of[name] == fold)
            choice = chosen.for_scoring(fitter.individuals[name][rows])
            choice = choice if threshold is None else choice.at(threshold)
            found = TrialEvaluator(part.select(rows), log_odds[name].select(rows)).answers(choice)
            whole = answered[name]
            whole.as_known[rows], whole.as_unknown[rows] = hits_of(found, choice.threshold)
            whole.best_is_right[rows] = found.right
            if name in thinner_odds:
                seen = thinner.parts[name].select(rows)
                found = TrialEvaluator(seen, thinner_odds[name].select(rows)).answers(choice)
            whole.with_one_more_hidden[rows] = hits_of(found, choice.threshold)[0]
    return answered
