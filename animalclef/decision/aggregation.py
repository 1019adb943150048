"""From log-odds of pairs to log-odds of identities: the candidates of each query, gathered by whom they show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from animalclef.config.decision import Aggregation
from animalclef.structures.arrays import BoolArray, Floats, Integers

__all__ = ["BestIdentity", "CandidateTable", "Candidates", "places_in_list"]


def places_in_list(query: NDArray[np.generic]) -> Integers:
    """Return the place of each pair, from 0, among the pairs of its query.

    >>> places_in_list(np.array([3, 3, 5, 3]))
    array([0, 1, 0, 2])
    """
    return np.asarray(pd.Series(query).groupby(query, sort=False).cumcount(), dtype=np.int64)


class CandidateTable:
    """Lays pairs out with a row for each query and its candidates in list order, (q, k)."""

    def __init__(self, rows: Integers, count: int) -> None:
        """`rows` is the row of each pair's query, (p,), below `count`."""
        self.rows, self.slots = rows, places_in_list(rows)
        self.shape = count, int(self.slots.max(initial=0)) + 1

    def lay_out(self, values: NDArray[Any], absent: object) -> NDArray[Any]:
        """Return a value of each pair, (p,), at its place; `absent` where a query has no candidate."""
        table = np.full(self.shape, absent, dtype=values.dtype)
        table[self.rows, self.slots] = values
        return table


@dataclass(frozen=True, eq=False)
class BestIdentity:
    """Of each query: the best identity on its list."""

    log_odds: Floats  # (q,), minus infinity where there is no candidate
    lead: Floats  # (q,) over the second identity; infinite where there is none, minus infinity without candidates
    slot: Integers  # (q,) of the identity's first candidate, -1 without candidates


class Candidates:
    """The candidates that some queries see, in an order that makes gathering by identity a few passes over an array."""

    def __init__(self, visible: BoolArray, who: Integers) -> None:
        """visible, who: (q, k); `who` numbers the identities, which keep the order of the list where they are equal."""
        self.shape = visible.shape
        rows, slots = np.nonzero(visible)
        key = rows * (int(who.max(initial=0)) + 1) + who[rows, slots]
        group = pd.factorize(key)[0]  # numbered in order of first appearance
        order = np.argsort(group, kind="stable")
        self.pair = (rows * self.shape[1] + slots)[order]  # flat indices into (q, k), grouped by query and identity
        self._group = group[order]
        self._start = np.flatnonzero(np.diff(self._group, prepend=-1))
        lead_pair = self.pair[self._start]
        self._row, self._slot = lead_pair // max(self.shape[1], 1), lead_pair % max(self.shape[1], 1)
        self._row_start = np.flatnonzero(np.diff(self._row, prepend=-1))
        self._filled = self._row[self._row_start]  # rows with a candidate
        self._row_place = np.repeat(np.arange(len(self._filled)), np.diff(self._row_start, append=len(self._row)))

    def take(self, values: NDArray[np.generic]) -> Floats:
        """The values, (q, k), of the candidates seen, in this object's order."""
        return np.asarray(values.ravel()[self.pair], dtype=np.float64)

    def identity_log_odds(self, log_odds: Floats, aggregation: Aggregation) -> Floats:
        """One value per query and identity, in a row each; `log_odds` comes from `take`.

        `max` is the best photograph, `top2` the mean of the two best (one alone counts as it is), `noisy_or` the odds
        that not all are mistaken.
        """
        if not len(log_odds):
            return np.zeros(0)
        if aggregation == "noisy_or":
            none = np.add.reduceat(-np.logaddexp(0, log_odds), self._start)
            with np.errstate(divide="ignore"):
                return np.asarray(-none + np.log(-np.expm1(none)))
        if aggregation == "top2":
            best, second, _ = _two_best(log_odds, self._start, self._group)
            return np.where(np.isfinite(second), (best + second) / 2, best)
        return np.maximum.reduceat(log_odds, self._start)

    def of_pairs(self, identity_log_odds: Floats) -> Floats:
        """(q, k): the identity's value at each of its candidates, minus infinity where nothing is seen."""
        spread = np.full(self.shape, -np.inf)
        spread.ravel()[self.pair] = identity_log_odds[self._group]
        return spread

    def best(self, identity_log_odds: Floats) -> BestIdentity:
        """The best identity of each query; of equal ones the first on its list."""
        value, lead = np.full(self.shape[0], -np.inf), np.full(self.shape[0], -np.inf)
        slot = np.full(self.shape[0], -1, dtype=np.int64)
        if len(self._filled):
            top, second, first = _two_best(identity_log_odds, self._row_start, self._row_place)
            value[self._filled], slot[self._filled] = top, self._slot[first]
            with np.errstate(invalid="ignore"):
                lead[self._filled] = np.where(top > -np.inf, top - second, -np.inf)
        return BestIdentity(value, lead, slot)


def _two_best(values: Floats, start: Integers, group: Integers) -> tuple[Floats, Floats, Integers]:
    """Return of each group of neighbours the two largest values, and the place where the largest first appears."""
    best = np.maximum.reduceat(values, start)
    at_best = np.flatnonzero(values == best[group])
    first = at_best[np.diff(group[at_best], prepend=-1) > 0]
    others = values.copy()
    others[first] = -np.inf
    return best, np.maximum.reduceat(others, start), first
