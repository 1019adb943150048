"""Pseudo-queries with held-out log-odds, ready to be answered by any choice in a few milliseconds."""

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

__all__ = ["LogOdds", "Role", "TrialEvaluator", "numbered"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

Role = Literal["known", "unknown"]


@dataclass(frozen=True, eq=False)
class LogOdds:
    """Of every pair of some pseudo-queries: by each calibrated column, and by the learned model in either role."""

    columns: Mapping[tuple[str, str], Floats]  # (calibration, column) -> (p, k)
    learned: Mapping[str, Floats]  # role -> (p, k); empty where no model was asked for
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
    _candidates: dict[tuple[str, bool], Candidates] = field(default_factory=dict)
    _taken: dict[tuple[object, ...], Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.roles = Roles.of(self.part.splits)

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
            return self._take(role, side, ("learned", role), self.log_odds.learned[role])
        pairs = np.zeros(len(self._seen(role, side).pair))
        for column, weight in choice.weights.items():
            key = (choice.calibration, column)
            if weight and key in self.log_odds.columns:
                pairs += weight * self._take(role, side, key, self.log_odds.columns[key])
        return pairs

    def _seen(self, role: Role, same_side: bool) -> Candidates:
        key = (role, same_side)
        if key not in self._candidates:
            visible = self.part.as_known if role == "known" else self.part.as_unknown
            visible = visible & self.part.agrees if same_side else visible
            self._candidates[key] = Candidates(visible, self.log_odds.who, self.part.columns.get("photographs"))
        return self._candidates[key]

    def _take(self, role: Role, same_side: bool, key: tuple[str, str], values: Floats) -> Floats:
        place = (role, same_side, *key)
        if place not in self._taken:
            self._taken[place] = self._seen(role, same_side).take(values)
        return self._taken[place]


def numbered(part: PseudoQueries) -> NDArray[np.int64]:
    """(p, k): a number for every candidate's individual; without names each candidate is one of its own."""
    if part.identity is None:
        return np.where(part.same, 0, 1 + np.arange(part.same.shape[1]))
    _, who = np.unique(np.where(part.identity == None, "", part.identity).astype(str), return_inverse=True)  # noqa: E711
    return np.asarray(who.reshape(part.same.shape), dtype=np.int64)
