"""Choices of decision parameters, and pseudo-queries with held-out log-odds that any choice answers in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from animalclef.config.decision import Aggregation, Fusion
from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.aggregation import BestIdentity, Candidates
from animalclef.decision.calibrators import sigmoid
from animalclef.metrics.threshold_sweep import Answers, Roles
from animalclef.structures.arrays import BoolArray, Floats

__all__ = ["ROLES", "DecisionParams", "LogOdds", "Role", "TrialEvaluator", "numbered", "seen_as"]


Role = Literal["known", "unknown"]
ROLES: tuple[Role, Role] = ("known", "unknown")


@dataclass(frozen=True)
class DecisionParams:
    """One way to answer, as the search proposes it: everything between raw scores and names."""

    weights: Mapping[str, float]
    fusion: Fusion = "weighted"
    aggregation: Aggregation = "max"
    same_viewpoint: bool = False
    threshold: float = -np.inf  # in log-odds

    def at(self, threshold: float) -> DecisionParams:
        """Return the choice with another threshold."""
        return replace(self, threshold=threshold)

    def as_json(self) -> dict[str, Any]:
        """Return plain values, without the threshold."""
        return {name: value for name, value in asdict(self).items() if name != "threshold"}


@dataclass(frozen=True, eq=False)
class LogOdds:
    """Log-odds of every pair of some pseudo-queries, by each score column and by the learned model."""

    columns: Mapping[str, Floats]  # (p, k)
    learned: Mapping[Role, Floats]  # (p, k), by the candidates that each role sees; empty without a model
    who: NDArray[np.int64]  # (p, k) a number for every candidate's individual

    def select(self, rows: NDArray[np.int64]) -> LogOdds:
        """Some of the pseudo-queries."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        return LogOdds(columns, {role: values[rows] for role, values in self.learned.items()}, self.who[rows])


@dataclass(eq=False)
class TrialEvaluator:
    """Everything that does not change from choice to choice is worked out once."""

    part: PseudoQueries
    log_odds: LogOdds
    roles: Roles = field(init=False)
    individual: NDArray[np.int64] = field(init=False)  # (p,) a number for each pseudo-query's individual
    _candidates: dict[tuple[str, bool], Candidates] = field(default_factory=dict)
    _taken: dict[tuple[Role, bool, str | None], Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.roles = Roles.of(self.part.splits)
        _, self.individual = np.unique(self.part.splits.identity.astype(str), return_inverse=True)

    @property
    def sides_differ(self) -> bool:
        """Whether some candidate is seen from another side than its pseudo-query."""
        return bool((~self.part.agrees & self.part.as_known).any())

    def pair_probability(self, choice: DecisionParams) -> tuple[Floats, BoolArray]:
        """Of every pair that a known query sees: its probability, and whether it shows one individual."""
        seen = self._seen("known", choice.same_viewpoint)
        return sigmoid(self._pairs(choice, "known")), self.part.same.ravel()[seen.pair]

    def answers(self, choice: DecisionParams) -> Answers:
        """Return the best identities in both roles."""
        known, unknown = (self._best(choice, role) for role in ROLES)
        right = (known.slot >= 0) & self.part.same[np.arange(len(self.part)), known.slot]
        return Answers(known.log_odds, right, unknown.log_odds)

    def _best(self, choice: DecisionParams, role: Role) -> BestIdentity:
        seen = self._seen(role, choice.same_viewpoint)
        return seen.best(seen.identity_log_odds(self._pairs(choice, role), choice.aggregation))

    def _pairs(self, choice: DecisionParams, role: Role) -> Floats:
        side = choice.same_viewpoint
        if choice.fusion == "learned":
            return self._take(role, side, None)
        pairs = np.zeros(len(self._seen(role, side).pair))
        for column, weight in choice.weights.items():
            if weight and column in self.log_odds.columns:
                pairs += weight * self._take(role, side, column)
        return pairs

    def _seen(self, role: Role, same_side: bool) -> Candidates:
        key = (role, same_side)
        if key not in self._candidates:
            visible = seen_as(self.part, role)
            visible = visible & self.part.agrees if same_side else visible
            self._candidates[key] = Candidates(visible, self.log_odds.who)
        return self._candidates[key]

    def _take(self, role: Role, same_side: bool, column: str | None) -> Floats:
        """Return a column's log-odds of the pairs that a role sees, or without a column the learned model's."""
        place = (role, same_side, column)
        if place not in self._taken:
            values = self.log_odds.learned[role] if column is None else self.log_odds.columns[column]
            self._taken[place] = self._seen(role, same_side).take(values)
        return self._taken[place]


def seen_as(part: PseudoQueries, role: Role) -> BoolArray:
    """Return the candidates, (p, k), that pseudo-queries see with their individual in the gallery, or without."""
    return part.as_known if role == "known" else part.as_unknown


def numbered(part: PseudoQueries) -> NDArray[np.int64]:
    """(p, k): a number for every candidate's individual; without names each candidate is one of its own."""
    if part.identity is None:
        return np.where(part.same, 0, 1 + np.arange(part.same.shape[1]))
    _, who = np.unique(np.where(part.identity == None, "", part.identity).astype(str), return_inverse=True)  # noqa: E711
    return np.asarray(who.reshape(part.same.shape), dtype=np.int64)
