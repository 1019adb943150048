"""Pseudo-queries with held-out log-odds, answered by any choice of parameters in a few milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.aggregation import BestIdentity, Candidates
from animalclef.decision.calibrators import sigmoid
from animalclef.decision.decision_params import DecisionParams
from animalclef.metrics.threshold_sweep import Answers, Roles

__all__ = ["ROLES", "LogOdds", "Role", "TrialEvaluator", "numbered", "seen_as"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

Role = Literal["known", "unknown"]
ROLES: tuple[Role, Role] = ("known", "unknown")


@dataclass(frozen=True, eq=False)
class LogOdds:
    """Log-odds of every pair of some pseudo-queries.

    `by_role` holds what depends on the other candidates: relative columns, and the learned model as ("learned", "").
    """

    columns: Mapping[tuple[str, str], Floats]  # (calibration, column) -> (p, k)
    by_role: Mapping[Role, Mapping[tuple[str, str], Floats]]
    who: NDArray[np.int64]  # (p, k) a number for every candidate's individual

    def select(self, rows: NDArray[np.int64]) -> LogOdds:
        """Some of the pseudo-queries."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        by_role = {
            role: {name: values[rows] for name, values in tables.items()} for role, tables in self.by_role.items()
        }
        return LogOdds(columns, by_role, self.who[rows])

    def of(self, key: tuple[str, str], role: Role) -> Floats | None:
        """Return one table as a role sees it; `None` where there is none."""
        return self.by_role.get(role, {}).get(key, self.columns.get(key))

    @property
    def names(self) -> list[str]:
        """The columns that can be weighted, sorted."""
        keys = {*self.columns, *(key for tables in self.by_role.values() for key in tables)}
        return sorted({column for kind, column in keys if kind != "learned"})


@dataclass(eq=False)
class TrialEvaluator:
    """Everything that does not change from choice to choice is worked out once."""

    part: PseudoQueries
    log_odds: LogOdds
    roles: Roles = field(init=False)
    individual: NDArray[np.int64] = field(init=False)  # (p,) a number for each pseudo-query's individual
    _candidates: dict[tuple[str, bool], Candidates] = field(default_factory=dict)
    _taken: dict[tuple[object, ...], Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.roles = Roles.of(self.part.splits)
        _, self.individual = np.unique(self.part.splits.identity.astype(str), return_inverse=True)

    @property
    def sides_differ(self) -> bool:
        """Whether some candidate is seen from another side than its pseudo-query."""
        return bool((~self.part.agrees & self.part.as_known).any())

    def best(self, choice: DecisionParams, role: Role) -> BestIdentity:
        """The best identity of every pseudo-query in one of its roles."""
        seen = self._seen(role, choice.same_viewpoint)
        return seen.best(seen.identity_log_odds(self._pairs(choice, role), choice.aggregation, choice.crowd_weight))

    def pair_probability(self, choice: DecisionParams) -> tuple[Floats, Bools]:
        """Of every pair that a known query sees: its probability, and whether it shows one individual."""
        seen = self._seen("known", choice.same_viewpoint)
        return sigmoid(self._pairs(choice, "known")), self.part.same.ravel()[seen.pair]

    def right(self, best: BestIdentity) -> Bools:
        """Whether the best identity is the pseudo-query's own."""
        return np.asarray((best.slot >= 0) & self.part.same[np.arange(len(self.part)), best.slot])

    def answers(self, choice: DecisionParams, known: BestIdentity | None = None) -> Answers:
        """Both roles; `known` where it is at hand."""
        known = known or self.best(choice, "known")
        unknown = self.best(choice, "unknown")
        return Answers(known.log_odds, self.right(known), unknown.log_odds, known.lead, unknown.lead)

    def _pairs(self, choice: DecisionParams, role: Role) -> Floats:
        side = choice.same_viewpoint
        if choice.fusion == "learned":
            return self._take(role, side, ("learned", ""))
        pairs = np.zeros(len(self._seen(role, side).pair))
        for column, weight in choice.weights.items():
            key = (choice.calibration, column)
            if weight and self.log_odds.of(key, role) is not None:
                pairs += weight * self._take(role, side, key)
        return pairs

    def _seen(self, role: Role, same_side: bool) -> Candidates:
        key = (role, same_side)
        if key not in self._candidates:
            visible = seen_as(self.part, role)
            visible = visible & self.part.agrees if same_side else visible
            self._candidates[key] = Candidates(visible, self.log_odds.who, self.part.columns.get("photographs"))
        return self._candidates[key]

    def _take(self, role: Role, same_side: bool, key: tuple[str, str]) -> Floats:
        place, values = (role, same_side, *key), self.log_odds.of(key, role)
        if place not in self._taken and values is not None:
            self._taken[place] = self._seen(role, same_side).take(values)
        return self._taken[place]


def seen_as(part: PseudoQueries, role: Role) -> Bools:
    """Return the candidates, (p, k), that pseudo-queries see with their individual in the gallery, or without."""
    return part.as_known if role == "known" else part.as_unknown


def numbered(part: PseudoQueries) -> NDArray[np.int64]:
    """(p, k): a number for every candidate's individual; without names each candidate is one of its own."""
    if part.identity is None:
        return np.where(part.same, 0, 1 + np.arange(part.same.shape[1]))
    _, who = np.unique(np.where(part.identity == None, "", part.identity).astype(str), return_inverse=True)  # noqa: E711
    return np.asarray(who.reshape(part.same.shape), dtype=np.int64)
