"""Calibrators and pair models fitted on some folds of individuals and applied to the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from animalclef.config import DecideConfig
from animalclef.config.decision import Calibration
from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.calibrators import AnyCurve
from animalclef.decision.fit_calibrators import Pairs, fit_calibrator, fit_pair_model
from animalclef.decision.leak_guard import Fitted
from animalclef.decision.pair_classifier import PairModel, pair_inputs
from animalclef.decision.pseudo_query_scores import AnsweredQueries
from animalclef.decision.relative_scores import with_relative
from animalclef.decision.score_columns import CONTEXT, EXCESS, LEAD, is_count, is_relative, scores_among
from animalclef.decision.trial_evaluator import ROLES, LogOdds, Role, numbered, seen_as

__all__ = ["CrossFitter", "Curves", "columns_to_fit", "role_views"]

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Views = Mapping[Role, Mapping[str, NDArray[np.generic]]]

_MOST_PAIRS = 12_000  # are enough for a curve: every pair of one individual, and evenly spaced others


@dataclass(frozen=True)
class Curves:
    """Models fitted on pairs: a curve per calibration and column, and the pair model where one is asked for."""

    of: Mapping[tuple[str, str], AnyCurve]
    pair_model: PairModel | None


@dataclass(frozen=True, eq=False)
class _Sample:
    """Pairs that curves are fitted on; `place` holds columns, rows and slots of each run of pairs."""

    place: list[tuple[Mapping[str, NDArray[np.generic]], Rows, Rows]]
    same: NDArray[np.bool_]
    weight: Floats


@dataclass(frozen=True, eq=False)
class _Source:
    """Rows of some queries that models are fitted on, and how much a pair counts as each role sees it."""

    part: PseudoQueries
    views: Views
    who: NDArray[np.int64]
    rows: Rows
    weight: Mapping[Role, float]
    labelled: NDArray[np.bool_] | None = None  # of queries that people answered: pairs whose answer is known

    def pairs(self, role: Role) -> NDArray[np.bool_]:
        """Return the pairs of the rows that models are fitted on, (rows, k)."""
        seen = seen_as(self.part, role)[self.rows]
        return seen if self.labelled is None else seen & self.labelled[self.rows]


def columns_to_fit(columns: Mapping[str, object], config: DecideConfig) -> list[str]:
    """Return the score columns, and what is worked out of each from the candidate list."""
    raw = scores_among(columns)
    if not config.relative_scores:
        return raw
    return sorted([*raw, *[name + ending for name in raw for ending in (LEAD, EXCESS)]])


def role_views(part: PseudoQueries, config: DecideConfig) -> Views:
    """Return the columns as each role sees them; relative ones depend on which candidates are there."""
    who, names = numbered(part), columns_to_fit(part.columns, config)
    return {role: with_relative(part.columns, seen_as(part, role), who, names) for role in ROLES}


class CrossFitter:
    """The pseudo-queries of one data set (or of several, pooled), cut into folds of individuals."""

    def __init__(
        self,
        name: str,
        parts: Mapping[str, PseudoQueries],
        config: DecideConfig,
        seed: int,
        others: Mapping[str, Pairs] | None = None,
        views: Mapping[str, Views] | None = None,
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
        self.views = {one: (views or {}).get(one) or role_views(part, config) for one, part in parts.items()}
        self.columns = sorted({name for part in parts.values() for name in columns_to_fit(part.columns, config)})
        self._answered = {one: queries for one, queries in (answered or {}).items() if one in self.parts}
        self._fits: dict[frozenset[int], Fitted[Curves]] = {}

    def outside(self, fold: int) -> dict[str, Rows]:
        """Return the rows of each part that are not in the fold."""
        return {name: np.flatnonzero(folds != fold) for name, folds in self.fold_of.items()}

    def fitted(self, without: frozenset[int] = frozenset()) -> Fitted[Curves]:
        """Return the models fitted on all individuals but those of the folds named."""
        if without not in self._fits:
            rows = {name: np.flatnonzero(~np.isin(folds, list(without))) for name, folds in self.fold_of.items()}
            individuals = {who for name, one in rows.items() for who in self.individuals[name][one]}
            sources = [self._source(name, one) for name, one in rows.items()]
            for name, queries in self._answered.items():
                fold_of = dict(zip(self.individuals[name], self.fold_of[name].tolist(), strict=True))
                whose = [f"{name}/{who}" for who in queries.part.splits.identity]
                kept = np.flatnonzero([fold_of.get(who) not in without for who in whose])
                sources.append(_source_of(queries, kept, self.config))
                individuals |= {whose[row] for row in kept}
            self._fits[without] = Fitted(self._fit(sources), frozenset(individuals))
        return self._fits[without]

    def _source(self, name: str, rows: Rows) -> _Source:
        share = float(self.config.of("unknown_share", name))
        weight: dict[Role, float] = {"known": 1 - share, "unknown": share}
        return _Source(self.parts[name], self.views[name], self.who[name], rows, weight)

    def log_odds(self, name: str, without: frozenset[int] = frozenset()) -> LogOdds:
        """Return log-odds of every pair of one part, by models fitted without its individual's fold and `without`."""
        part, folds, who, views = self.parts[name], self.fold_of[name], self.who[name], self.views[name]
        there = [column for column in self.columns if column in views["known"]]
        empty: list[tuple[str, str]] = [(kind, column) for kind in self._kinds for column in there]
        columns = {key: np.zeros(part.same.shape) for key in empty if not is_relative(key[1])}
        by_role: dict[Role, dict[tuple[str, str], Floats]] = {
            role: {key: np.zeros(part.same.shape) for key in empty if is_relative(key[1])} for role in ROLES
        }
        if self._learns:
            for role in ROLES:
                by_role[role]["learned", ""] = np.zeros(part.same.shape)
        for fold in sorted(set(folds.tolist())):
            rows = np.flatnonzero(folds == fold)
            curves = self.fitted(without | {fold}).for_scoring(self.individuals[name][rows])
            for (kind, column), values in columns.items():
                values[rows] = curves.of[kind, column].log_odds(part.columns[column][rows])
            mine = {column: values[rows] for column, values in part.columns.items()}
            for role in ROLES:
                for (kind, column), values in by_role[role].items():
                    if kind != "learned":
                        values[rows] = curves.of[kind, column].log_odds(views[role][column][rows])
                    elif curves.pair_model is not None:
                        seen = seen_as(part, role)[rows]
                        values[rows] = curves.pair_model.log_odds(mine, seen, who[rows], part.agrees[rows])
        return LogOdds(columns, by_role, who)

    @property
    def _kinds(self) -> Sequence[Calibration]:
        return self.config.calibrations

    @property
    def _learns(self) -> bool:
        return "learned" in self.config.fusions

    def _fit(self, sources: Sequence[_Source]) -> Curves:
        sample = self._sample(sources)
        curves: dict[tuple[str, str], AnyCurve] = {}
        for column in self.columns:
            score = _joined([_column(view, column, rows, slots) for view, rows, slots in sample.place])
            for kind in self._kinds:
                curves[kind, column] = fit_calibrator(
                    score, sample.same, log=is_count(column), kind=kind, others=self.others.get(column),
                    weight=sample.weight,
                )  # fmt: skip
        return Curves(curves, self._fit_model(sources, curves) if self._learns else None)

    def _sample(self, sources: Sequence[_Source]) -> _Sample:
        """Pairs as either role sees them, weighted by the share of unknown individuals that a data set expects."""
        place, same, weight = [], [], []
        total = sum(int(source.pairs(role).sum()) for source in sources for role in source.weight)
        step = max(1, -(-total // _MOST_PAIRS))
        for source in sources:
            for role, counts in source.weight.items():
                at, slots = np.nonzero(source.pairs(role))
                mine = source.part.same[source.rows[at], slots]
                kept = mine | (np.arange(len(mine)) % step == 0)
                at, slots, mine = at[kept], slots[kept], mine[kept]
                place.append((source.views[role], source.rows[at], slots))
                same.append(mine)
                weight.append(np.where(mine, 1.0, step) * counts)
        return _Sample(place, _joined(same).astype(bool), _joined(weight).astype(np.float64))

    def _fit_model(self, sources: Sequence[_Source], curves: Mapping[tuple[str, str], AnyCurve]) -> PairModel:
        """Fit on pairs as either role sees them: a model must know the best stranger of an unknown query."""
        raw = [column for column in self.columns if not column.endswith((LEAD, EXCESS))]
        scales = {column: curves[self._kinds[0], column] for column in raw}
        context = sorted({column for part in self.parts.values() for column in CONTEXT & part.columns.keys()})
        for column in context:
            values = _joined([_whole(source.part, column)[source.rows] for source in sources])
            scales[column] = fit_calibrator(values, np.zeros(len(values), dtype=bool), log=True)
        tables, labels, weights = [], [], []
        for source in sources:
            part, who = source.part.select(source.rows), source.who[source.rows]
            for role, counts in source.weight.items():
                visible = seen_as(part, role)
                same = part.same[visible]
                step = max(1, -(-len(same) // (_MOST_PAIRS // 2)))
                kept = (same | (np.arange(len(same)) % step == 0)) & source.pairs(role)[visible]
                inputs = pair_inputs(part.columns, scales, visible, who, part.agrees)
                tables.append({one: values[kept] for one, values in inputs.items()})
                labels.append(same[kept])
                weights.append(np.where(same[kept], 1.0, step) * counts)
        inputs = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]} if tables else {}
        return fit_pair_model(scales, inputs, _joined(labels).astype(bool), _joined(weights).astype(np.float64))


def _source_of(queries: AnsweredQueries, rows: Rows, config: DecideConfig) -> _Source:
    """Return queries that people answered: each has one role, with all of its candidates in view."""
    part = queries.part
    return _Source(part, role_views(part, config), numbered(part), rows, {"known": 1.0}, queries.labelled)


def _column(view: Mapping[str, NDArray[np.generic]], name: str, rows: Rows, slots: Rows) -> NDArray[np.generic]:
    return view[name][rows, slots] if name in view else np.full(len(rows), np.nan, dtype=np.float32)


def _whole(part: PseudoQueries, name: str) -> NDArray[np.generic]:
    return part.columns[name] if name in part.columns else np.full(part.same.shape, np.nan, dtype=np.float32)


def _joined(parts: Sequence[NDArray[np.generic]]) -> NDArray[np.generic]:
    return np.concatenate([part.ravel() for part in parts]) if parts else np.zeros(0)


def _folds(individuals: NDArray[np.object_], folds: int, seed: int) -> NDArray[np.int64]:
    """A fold for every individual, so that no individual is on both sides."""
    names = sorted(set(individuals))
    order = np.random.default_rng([seed, 3]).permutation(len(names))
    fold = dict(zip([names[place] for place in order], np.arange(len(names)) % folds, strict=True))
    return np.array([fold[one] for one in individuals], dtype=np.int64)
