"""Matching on a budget: candidates in shortlist order, until the answer is settled or the pairs are spent."""

from __future__ import annotations

import logging
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from animalclef.config import Config, fingerprint
from animalclef.data.encounters import Encounters
from animalclef.decision.early_exit import StopRule, learn_rule, rehearse
from animalclef.decision.early_exit_curve import held_out_chances, limit_for, trade_off, write_trade_off
from animalclef.decision.tune import tune
from animalclef.pipeline.features import FeatureSet
from animalclef.pipeline.match import Matching
from animalclef.pipeline.pseudo_query_lists import PseudoQuerySet, build_pseudo_queries
from animalclef.pipeline.shortlist import Shortlisting
from animalclef.runtime.atomic_files import write_text
from animalclef.runtime.progress import Silent
from animalclef.store.pair_log import PairLog
from animalclef.store.run_folder import RunFolder
from animalclef.structures import PairScores, Shortlist

__all__ = ["BudgetedMatching", "Budgeting", "first_slots"]

logger = logging.getLogger(__name__)

Integers = NDArray[np.int64]

_LEAST_SAMPLE = 12  # pseudo-queries per data set; with fewer no rule is learned


class _Record(BaseModel):
    """A budget as it was settled before matching began, and the rule that it is spent by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    asked: str
    pairs: int  # for queries and pseudo-queries together, the sample included
    pair_seconds: float | None = None  # the measured time behind a budget in minutes
    sample_pairs: int | None = None  # matched to learn the rule
    share: float | None = None  # of a shortlist's pairs that may be matched; None until it is known
    rule: StopRule | None = None


@dataclass(frozen=True, eq=False)
class Budgeting:
    """Turns a budget into a matching that keeps to it; all that it settles is recorded in the run folder."""

    config: Config
    run: RunFolder
    shortlist: Shortlisting
    whole: Matching

    def __call__(
        self, described: FeatureSet, encounters: Encounters, wanted: Shortlist, scores_id: str, *, tunes: bool
    ) -> Matching:
        """The matching for `wanted`, the queries' shortlist, and where the run `tunes` a decision for pseudo-queries.

        Without a budget it is that of all pairs.
        """
        asked = self.config.budget.spend
        if asked is None or self.whole.log is None:
            return self.whole
        seen = [described.images.key.tolist(), sorted(encounters.of.items()), described.embeddings.model]
        seen += [sorted(described.learnt)] if described.learnt else []
        made_by = [scores_id, self.whole.name, self.config.decide, self.config.budget, self.config.seed, tunes]
        path = self.run.path / "budgets" / f"{fingerprint(1, seen, *made_by)}.json"
        record = _read(path) or self._allow(asked, wanted, described)
        if record.share is None:
            write_text(path, record.model_dump_json(indent=1) + "\n")  # minutes are never measured twice
            every = wanted.pair_count
            if tunes:
                played = build_pseudo_queries(encounters, self.config, self.shortlist)
                every += played.as_known.pair_count + played.as_unknown.pair_count
            record = self._settle(record, every, described, encounters)
            write_text(path, record.model_dump_json(indent=1) + "\n")
        write_text(self.run.path / "budget.json", record.model_dump_json(indent=1, exclude={"rule"}) + "\n")
        if record.rule is None or record.share is None:
            return self.whole
        return BudgetedMatching(self.whole, record.rule, record.share, fingerprint(record))

    def _allow(self, asked: str, wanted: Shortlist, described: FeatureSet) -> _Record:
        pairs, minutes = self.config.budget.pairs, self.config.budget.minutes
        if pairs is not None or minutes is None:
            return _Record(asked=asked, pairs=pairs or 0)
        seconds = pair_seconds(self.whole, wanted, described)
        return _Record(asked=asked, pairs=int(minutes * 60 / seconds), pair_seconds=seconds)

    def _settle(self, record: _Record, every: int, described: FeatureSet, encounters: Encounters) -> _Record:
        """What the sample takes, what share is left for each shortlist, and when a query stops."""
        if record.pairs >= every:
            return record.model_copy(update={"share": 1.0, "sample_pairs": 0})
        steps, columns = self.config.budget.steps, self.whole.columns
        each = 2 * self.config.retrieve.top_k * len(described.images.gallery.datasets)
        count = min(
            self.config.budget.sample,
            *(self.config.decide.of("pseudo_queries", name) for name in described.images.gallery.datasets),
            int(record.pairs * self.config.budget.sample_share) // each,
        )
        if count < _LEAST_SAMPLE:  # too little to learn from: every query gets its first few candidates
            rule = StopRule(steps=(), match_columns=columns, provisional=None, curves={}, limit=0.0)
            return record.model_copy(update={"share": record.pairs / every, "sample_pairs": 0, "rule": rule})
        decide = self.config.decide.model_copy(update={"pseudo_queries": count})
        sample = build_pseudo_queries(encounters, self.config.model_copy(update={"decide": decide}), self.shortlist)
        share = max(record.pairs - sample.pair_count, 0) / every
        rule = self._learn(sample, share, steps, described)
        return record.model_copy(update={"share": share, "sample_pairs": sample.pair_count, "rule": rule})

    def _learn(self, sample: PseudoQuerySet, share: float, steps: tuple[int, ...], described: FeatureSet) -> StopRule:
        config, columns = self.config, self.whole.columns
        scores = [self.whole(one, described) for one in (sample.as_known, sample.as_unknown)]
        laid = sample.laid_out(scores[0], scores[1], config.retrieve.top_k)
        provisional = tune(laid, config.decide, config.seed, "", "", Silent())
        roles = [rehearse(one, described.images, provisional, steps, columns) for one in scores]
        chances = held_out_chances(roles)
        unknown = float(
            np.mean([config.decide.of("unknown_share", name) for name in described.images.gallery.datasets])
        )
        limit = limit_for(roles[0], roles[1], chances, share, unknown)
        points = trade_off(roles[0], roles[1], chances, sample.findable)
        write_trade_off(points, self.run.path / "budget.csv", self.run.path / "budget.png")
        curves = learn_rule(roles)
        return StopRule(steps=steps, match_columns=columns, provisional=provisional, curves=curves, limit=limit)


def pair_seconds(match: Matching, shortlist: Shortlist, described: FeatureSet) -> float:
    """Wall seconds that one pair takes, measured on some of the shortlist's; nothing is kept."""
    if match.log is None or not shortlist.pair_count:
        return 1.0
    some = np.unique(np.linspace(0, len(shortlist.query_id) - 1, 24).astype(int))
    part = Shortlist(shortlist.query_id[some], shortlist.gallery_id, shortlist.index[some], shortlist.similarity[some])
    with tempfile.TemporaryDirectory() as folder:
        log = PairLog(Path(folder) / "pairs.log", "stop-watch", match.log.columns)
        start = time.perf_counter()
        Matching(match.config, match.matcher, log, match.workers, Silent())(part, described)
        return max((time.perf_counter() - start) / max(len(log), 1), 1e-6)


def _read(path: Path) -> _Record | None:
    try:
        return _Record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        logger.warning("%s: not a recorded budget of this version; it is settled again.", path)
        return None


class BudgetedMatching(Matching):
    """Matches a share of the pairs of a shortlist, where they may still change an answer."""

    def __init__(self, whole: Matching, rule: StopRule, share: float, made_by: str) -> None:
        super().__init__(
            whole.config,
            whole.matcher,
            whole.log,
            whole.workers,
            whole.progress,
            with_circumstances=whole.with_circumstances,
        )
        self.whole, self.rule, self.share, self.made_by = whole, rule, share, made_by

    @property
    def name(self) -> str:
        """Changes with whatever shapes the scores, the rule and the share among them."""
        return f"{self.whole.name} {self.made_by}"

    def __call__(self, shortlist: Shortlist, described: FeatureSet) -> PairScores:
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

    def _matched(self, shortlist: Shortlist, described: FeatureSet, matched: Integers) -> PairScores:
        """The first `matched` candidates of every query with their scores, the others without."""
        inside = np.arange(shortlist.index.shape[1]) < matched[:, None]
        part = Shortlist(
            shortlist.query_id,
            shortlist.gallery_id,
            np.where(inside, shortlist.index, -1).astype(np.int32),
            np.where(inside, shortlist.similarity, np.nan).astype(np.float32),
            None if shortlist.vote is None else np.where(inside, shortlist.vote, np.nan).astype(np.float32),
        )
        some, plain = self.whole(part, described), self.whole.unmatched(shortlist, described)
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
