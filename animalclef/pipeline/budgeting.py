"""Matching on a budget: candidates in the order of the shortlist, until the answer is settled or the pairs are spent."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from animalclef.artefacts import PairScores, Shortlist
from animalclef.errors import ConfigError
from animalclef.evaluation.stopping import StopRule
from animalclef.pipeline.describing import Described
from animalclef.pipeline.matching import Matching
from animalclef.store.files import write_text

__all__ = ["Allowance", "BudgetedMatching", "first_slots", "pairs_allowed", "recorded"]

logger = logging.getLogger(__name__)

Integers = NDArray[np.int64]


class Allowance(BaseModel):
    """A budget as it was settled before matching began."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    asked: str
    pairs: int  # for queries and pseudo-queries together
    pair_seconds: float | None  # the measured time behind a budget in minutes


def pairs_allowed(asked: str, pair_seconds: Callable[[], float], path: Path) -> Allowance:
    """The budget in pairs; one in minutes is turned into pairs once and read from `path` ever after.

    Raises:
        ConfigError: it is neither a number of pairs nor of minutes.
    """
    found = re.fullmatch(r"\s*(\d+)\s*|\s*(\d+(?:\.\d+)?)\s*(?:min|m|minutes)\s*", asked)
    if found is None:
        raise ConfigError(f"budget {asked!r}: expected a number of pairs (50000) or of minutes (30min).")
    allowance = recorded(path)
    if allowance is not None and allowance.asked == asked.strip():
        return allowance
    if found[1] is not None:
        allowance = Allowance(asked=asked.strip(), pairs=int(found[1]), pair_seconds=None)
    else:
        seconds = max(pair_seconds(), 1e-9)
        allowance = Allowance(asked=asked.strip(), pairs=int(float(found[2]) * 60 / seconds), pair_seconds=seconds)
    write_text(path, allowance.model_dump_json(indent=1) + "\n")
    return allowance


def recorded(path: Path) -> Allowance | None:
    """The budget settled before, where there is one."""
    try:
        return Allowance.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        logger.warning("%s: not a recorded budget of this version; it is settled again.", path)
        return None


class BudgetedMatching(Matching):
    """Matches a share of the pairs of a shortlist, where they may still change an answer."""

    def __init__(self, whole: Matching, rule: StopRule, share: float, fingerprint: str) -> None:
        super().__init__(whole.config, whole.log, whole.workers, whole.progress)
        self.rule, self.share, self.fingerprint = rule, share, fingerprint

    @property
    def name(self) -> str:
        """Changes with whatever shapes the scores, the rule and the share among them."""
        return f"{super().name} {self.fingerprint}"

    def __call__(self, shortlist: Shortlist, described: Described) -> PairScores:
        """Scores of all pairs in shortlist order; those that were not matched have NaN for the match columns.

        At most `share` of the pairs are matched. After each of the rule's steps the queries that are not settled go on;
        where the pairs do not suffice for a step, every query gets its next candidate in turn, the least settled first.
        """
        length = (shortlist.index >= 0).sum(axis=1)
        left = int(np.floor(self.share * length.sum()))
        matched = np.zeros(len(length), dtype=np.int64)
        chance = np.ones(len(length))
        for step in [*self.rule.steps, max([*length.tolist(), 1])]:
            goal = np.where(chance > self.rule.limit, np.minimum(step, length), matched)
            goal = first_slots(matched, np.maximum(goal, matched), chance, left)
            left -= int((goal - matched).sum())
            matched = goal
            scores = self._matched(shortlist, described, matched)
            if left <= 0 or not (matched < length).any():
                break
            of = self.rule.chance(scores, described.images)
            chance = np.array([of.get(one, 0.0) for one in shortlist.query_id])
        return scores

    def _matched(self, shortlist: Shortlist, described: Described, matched: Integers) -> PairScores:
        """The first `matched` candidates of every query with their scores, the others without."""
        inside = np.arange(shortlist.index.shape[1]) < matched[:, None]
        part = Shortlist(
            shortlist.query_id,
            shortlist.gallery_id,
            np.where(inside, shortlist.index, -1).astype(np.int32),
            np.where(inside, shortlist.similarity, np.nan).astype(np.float32),
            None if shortlist.vote is None else np.where(inside, shortlist.vote, np.nan).astype(np.float32),
        )
        some = super().__call__(part, described)
        plain = self.unmatched(shortlist)
        rows = np.flatnonzero(inside[shortlist.index >= 0])
        columns = dict(plain.columns)
        for name in self.rule.match_columns:
            columns[name] = np.full(len(plain), np.nan, dtype=np.float32)
            columns[name][rows] = some.columns[name]
        return PairScores(plain.query_id, plain.gallery_id, columns)


def first_slots(matched: Integers, goal: Integers, chance: NDArray[np.float64], left: int) -> Integers:
    """How far each query comes with `left` pairs: to its goal, or in turn, one candidate each, while they last.

    Within a turn the query with the larger chance of a change comes first, of equal ones the first in the table.
    """
    wanted = goal - matched
    if wanted.sum() <= left:
        return goal
    row = np.repeat(np.arange(len(wanted)), wanted)
    turn = np.arange(len(row)) - np.repeat(np.cumsum(wanted) - wanted, wanted)
    taken = row[np.lexsort((row, -chance[row], turn))[: max(left, 0)]]
    return np.asarray(matched + np.bincount(taken, minlength=len(wanted)), dtype=np.int64)
