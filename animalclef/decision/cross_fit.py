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
from animalclef.decision.score_columns import CONTEXT, is_count, scores_among
from animalclef.decision.trial_evaluator import LogOdds, numbered

__all__ = ["CrossFitter", "Curves"]

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Curves:
    """What is fitted on pairs: a curve per calibration and column, and the pair model where one is asked for."""

    of: Mapping[tuple[str, str], AnyCurve]
    pair_model: PairModel | None


class CrossFitter:
    """The pseudo-queries of one data set (or of several, pooled), cut into folds of individuals."""

    def __init__(
        self,
        name: str,
        parts: Mapping[str, PseudoQueries],
        config: DecideConfig,
        seed: int,
        others: Mapping[str, Pairs] | None = None,
    ) -> None:
        """`others` holds, per column, the pairs of other data sets that calibrations lean on where pairs are few."""
        self.name, self.parts, self.config, self.others = name, dict(parts), config, others or {}
        self.individuals = {
            one: np.array([f"{one}/{who}" for who in part.splits.identity], dtype=object) for one, part in parts.items()
        }
        self.fold_of = {one: _folds(who, config.folds, seed) for one, who in self.individuals.items()}
        self.who = {one: numbered(part) for one, part in parts.items()}
        self.columns = sorted({column for part in parts.values() for column in scores_among(part.columns)})
        self._fits: dict[frozenset[int], Fitted[Curves]] = {}

    def outside(self, fold: int) -> dict[str, Rows]:
        """Rows of each part that are not in the fold."""
        return {name: np.flatnonzero(folds != fold) for name, folds in self.fold_of.items()}

    def fitted(self, without: frozenset[int] = frozenset()) -> Fitted[Curves]:
        """Fitted on all individuals but those of the folds named."""
        if without not in self._fits:
            rows = {name: np.flatnonzero(~np.isin(folds, list(without))) for name, folds in self.fold_of.items()}
            individuals = frozenset(who for name, one in rows.items() for who in self.individuals[name][one])
            self._fits[without] = Fitted(self._fit(list(rows.items())), individuals)
        return self._fits[without]

    def log_odds(self, name: str, without: frozenset[int] = frozenset()) -> LogOdds:
        """Of every pair of one part, each by what was fitted without its individual's fold and without those named."""
        part, folds, who = self.parts[name], self.fold_of[name], self.who[name]
        columns: dict[tuple[str, str], NDArray[np.float64]]
        columns = {
            (kind, column): np.zeros(part.same.shape) for kind in self._kinds for column in scores_among(part.columns)
        }
        learned = {role: np.zeros(part.same.shape) for role in ("known", "unknown")} if self._learns else {}
        for fold in sorted(set(folds.tolist())):
            rows = np.flatnonzero(folds == fold)
            curves = self.fitted(without | {fold}).for_scoring(self.individuals[name][rows])
            for (kind, column), values in columns.items():
                values[rows] = curves.of[kind, column].log_odds(part.columns[column][rows])
            if curves.pair_model is not None:
                mine = {column: values[rows] for column, values in part.columns.items()}
                for role, values in learned.items():
                    seen = part.as_known if role == "known" else part.as_unknown
                    values[rows] = curves.pair_model.log_odds(mine, seen[rows], who[rows], part.agrees[rows])
        return LogOdds(columns, learned, who)

    @property
    def _kinds(self) -> Sequence[Calibration]:
        return self.config.calibrations

    @property
    def _learns(self) -> bool:
        return "learned" in self.config.fusions

    def _fit(self, chosen: list[tuple[str, Rows]]) -> Curves:
        seen = [(self.parts[name], rows, self.parts[name].as_known[rows]) for name, rows in chosen]
        same = _joined([part.same[rows][mask] for part, rows, mask in seen]).astype(bool)
        curves: dict[tuple[str, str], AnyCurve] = {}
        for column in self.columns:
            score = _joined([_column(part, column)[rows][mask] for part, rows, mask in seen])
            for kind in self._kinds:
                curves[kind, column] = fit_calibrator(
                    score, same, log=is_count(column), kind=kind, others=self.others.get(column)
                )
        return Curves(curves, self._fit_model(chosen, curves) if self._learns else None)

    def _fit_model(self, chosen: list[tuple[str, Rows]], curves: Mapping[tuple[str, str], AnyCurve]) -> PairModel:
        """Pairs as either role sees them: a model must know the best stranger of a query whose own are not there."""
        scales = {column: curves[self._kinds[0], column] for column in self.columns}
        context = sorted({column for part in self.parts.values() for column in CONTEXT & part.columns.keys()})
        for column in context:
            values = _joined([_column(self.parts[name], column)[rows] for name, rows in chosen])
            scales[column] = fit_calibrator(values.ravel(), np.zeros(values.size, dtype=bool), log=True)
        tables, labels = [], []
        for name, rows in chosen:
            part, who = self.parts[name].select(rows), self.who[name][rows]
            for visible in (part.as_known, part.as_unknown):
                tables.append(pair_inputs(part.columns, scales, visible, who, part.agrees))
                labels.append(part.same[visible])
        inputs = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]} if tables else {}
        return fit_pair_model(scales, inputs, _joined(labels).astype(bool))


def _column(part: PseudoQueries, name: str) -> NDArray[np.generic]:
    return part.columns[name] if name in part.columns else np.full(part.same.shape, np.nan, dtype=np.float32)


def _joined(parts: Sequence[NDArray[np.generic]]) -> NDArray[np.generic]:
    return np.concatenate([part.ravel() for part in parts]) if parts else np.zeros(0)


def _folds(individuals: NDArray[np.object_], folds: int, seed: int) -> NDArray[np.int64]:
    """A fold for every individual, so that no individual is on both sides."""
    names = sorted(set(individuals))
    order = np.random.default_rng([seed, 3]).permutation(len(names))
    fold = dict(zip([names[place] for place in order], np.arange(len(names)) % folds, strict=True))
    return np.array([fold[one] for one in individuals], dtype=np.int64)
