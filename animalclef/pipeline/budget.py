"""Settle a budget: how many pairs may be matched, and the rule by which a query stops early."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from animalclef.config import fingerprint
from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.early_exit import StopRule, learn_rule, trace_of
from animalclef.decision.early_exit_curve import held_out_chances, limit_for, trade_off, write_trade_off
from animalclef.decision.tune import tune
from animalclef.matching.rerank import scores_without_matching
from animalclef.pipeline.features import FeatureSet
from animalclef.pipeline.match import Allowance, match_pairs
from animalclef.pipeline.run_context import RunContext
from animalclef.pipeline.shortlists import PseudoQuerySet, Shortlists, sample_pseudo_queries
from animalclef.runtime.atomic_files import write_text
from animalclef.runtime.progress import Silent
from animalclef.store.pair_log import PairLog
from animalclef.structures import PairScores, Shortlist
from animalclef.structures.arrays import BoolArray

__all__ = ["STEPS", "Spent", "pair_seconds", "settle_budget", "spent_on"]

logger = logging.getLogger(__name__)

Pair = frozenset[str]  # two photographs

_ROUNDS = 6  # of sharing what is left of a budget
_SPARE = 0.02  # of a budget may be left
STEPS = (3, 6, 10, 15, 20, 30, 40, 60, 80)  # numbers of candidates after which a query may stop
_SAMPLE = 100  # pseudo-queries of each data set that are matched whole, to learn when a query may stop
_SAMPLE_SHARE = 0.25  # of the budget for this sample, at most
_LEAST_SAMPLE = 12  # pseudo-queries per data set; with fewer no rule is learned


@dataclass(frozen=True)
class Spent:
    """How many pairs a run with a budget matched, of how many; two photographs are one pair on whichever list."""

    asked: str  # with its unit, such as "200 pairs"
    query_pairs_matched: int
    query_pairs: int
    validation_pairs_matched: int = 0  # 0 of 0 where the decision was given
    validation_pairs: int = 0
    settled: bool = False  # some of the budget is left, because no answer was expected to change any more

    @property
    def sentence(self) -> str:
        """Say how many pairs were matched, of how many."""
        parts = [("queries", self.query_pairs_matched, self.query_pairs)]
        parts += [("validation", self.validation_pairs_matched, self.validation_pairs)]
        counts = [f"{matched:,} of {every:,} pairs of {what}" for what, matched, every in parts if every]
        said = f"Budget of {self.asked}: matched {' and '.join(counts)}"
        if (self.query_pairs_matched, self.validation_pairs_matched) == (self.query_pairs, self.validation_pairs):
            return f"{said}. New individuals are not grouped within a budget."
        rest = " The rest of the budget was not needed: no answer was expected to change." if self.settled else ""
        return f"{said}; the others are scored without keypoints, and new individuals are not grouped.{rest}"


def spent_on(scores: PairScores, pseudo: Mapping[str, PseudoQueries], context: RunContext) -> Spent | None:
    """Return what a budget was spent on, by the scores that the pairs have; `None` without a budget."""
    asked, names = context.config.budget.text, context.match_columns
    if asked is None or not names:
        return None
    matched, every = set[Pair](), set[Pair]()
    for part in pseudo.values():
        listed = part.as_known | part.as_unknown
        seen = np.isfinite(part.columns[names[0]]) & listed
        every |= _pairs(part, listed)
        matched |= _pairs(part, seen)
    query_pairs = int(np.isfinite(scores.columns[names[0]]).sum())
    record = _Record.model_validate_json((context.folder.path / "budget.json").read_bytes())
    used = query_pairs + len(matched) + (record.sample_pairs or 0)
    settled = bool(record.sample_pairs) and used < (1 - _SPARE) * record.pairs
    return Spent(asked, query_pairs, len(scores), len(matched), len(every), settled)


def _pairs(part: PseudoQueries, chosen: BoolArray) -> set[Pair]:
    """Return the pairs of photographs in some slots (p, k) of pseudo-queries."""
    if part.gallery_id is None:
        return set()
    rows, slots = np.nonzero(chosen)
    return {frozenset(pair) for pair in zip(part.splits.image_id[rows], part.gallery_id[rows, slots], strict=True)}


class _Record(BaseModel):
    """A budget as it was settled before matching began, and the rule that it is spent by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    asked: str
    pairs: int  # for queries and pseudo-queries together, the sample included
    pair_seconds: float | None = None  # the measured time behind a budget in minutes
    sample_pairs: int | None = None  # matched to learn the rule
    share: float | None = None  # of a shortlist's pairs that may be matched; None until it is known
    rule: StopRule | None = None


def settle_budget(shortlists: Shortlists, context: RunContext) -> Allowance | None:
    """Return what may be matched of queries and pseudo-queries; `None` for all pairs.

    What was settled is recorded in the run folder and holds when the run is taken up again.
    """
    config, features, asked = context.config, shortlists.features, context.config.budget.spend
    if asked is None or context.log is None:
        return None
    tunes = context.given is None
    matching = " ".join(log.path.name for log in context.logs)
    made_by = [context.scores_id, matching, config.decide, config.budget, config.seed, tunes]
    name = fingerprint(1, features.seen(shortlists.encounters), *made_by)
    path = context.folder.path / "budgets" / f"{name}.json"
    record = _read(path) or _allow(asked, shortlists.queries, features, context)
    if record.share is None:
        write_text(path, record.model_dump_json(indent=1) + "\n")  # minutes are never measured twice
        record = _settle(record, shortlists, context)
        write_text(path, record.model_dump_json(indent=1) + "\n")
    write_text(context.folder.path / "budget.json", record.model_dump_json(indent=1, exclude={"rule"}) + "\n")
    if record.rule is None or record.share is None:
        return None
    return Allowance(record.share, record.rule, fingerprint(record))


def _allow(asked: str, wanted: Shortlist, features: FeatureSet, context: RunContext) -> _Record:
    """Turn the budget into a number of pairs."""
    pairs, minutes = context.config.budget.pairs, context.config.budget.minutes
    if pairs is not None or minutes is None:
        return _Record(asked=asked, pairs=pairs or 0)
    seconds = pair_seconds(wanted, features, context)
    return _Record(asked=asked, pairs=int(minutes * 60 / seconds), pair_seconds=seconds)


def _settle(record: _Record, shortlists: Shortlists, context: RunContext) -> _Record:
    """Learn the stopping rule on a sample of pseudo-queries, and share what is left among all pairs."""
    config, datasets = context.config, shortlists.features.images.gallery.datasets
    lists = [shortlists.queries]
    if context.given is None:
        lists += [shortlists.pseudo.as_known, shortlists.pseudo.as_unknown]
    distinct = len(_all_pairs(*lists))
    if record.pairs >= distinct:
        return record.model_copy(update={"share": 1.0, "sample_pairs": 0})
    count = min(
        _SAMPLE,
        *(config.decide.of("pseudo_queries", name) for name in datasets),
        int(record.pairs * _SAMPLE_SHARE) // (2 * config.retrieve.top_k * len(datasets)),
    )
    if count < _LEAST_SAMPLE:  # too little to learn from: every query gets its first few candidates
        rule = StopRule(steps=(), match_columns=context.match_columns, provisional=None, curves={}, limit=0.0)
        share = _widest_share(record.pairs, rule, lists, set(), shortlists.features, context)
        return record.model_copy(update={"share": share, "sample_pairs": 0, "rule": rule})
    sample = sample_pseudo_queries(shortlists.pseudo, count, shortlists.features, shortlists.encounters, config)
    rule = _learn(sample, record.pairs / distinct, shortlists.features, context)
    seen = _all_pairs(sample.as_known, sample.as_unknown)
    share = _widest_share(record.pairs, rule, lists, seen, shortlists.features, context)
    return record.model_copy(update={"share": share, "sample_pairs": len(seen), "rule": rule})


def _widest_share(
    pairs: int, rule: StopRule, lists: Sequence[Shortlist], seen: set[Pair], features: FeatureSet, context: RunContext
) -> float:
    """Match what the budget allows, and return the share of every list that this is; pairs in `seen` are matched.

    A share wider by d adds at most d times the pairs on all lists. A pair that stands on several lists is matched once,
    so some of the budget is left over; it is shared again, until little is left or every query is settled.
    """
    every = sum(one.pair_count for one in lists)
    share = max(pairs - len(seen), 0) / every
    before = -1
    for _ in range(_ROUNDS):
        matched = set(seen)
        for one in lists:
            scores = match_pairs(one, features, context, Allowance(share, rule, ""))
            matched |= _pairs_of(scores, np.isfinite(scores.columns[context.match_columns[0]]))
        left = pairs - len(matched)
        if left <= _SPARE * pairs or share >= 1 or len(matched) == before:
            break
        before = len(matched)
        share = min(1.0, share + left / every)
    return share


def _all_pairs(*lists: Shortlist) -> set[Pair]:
    """Return the pairs of photographs on some shortlists."""
    scores = map(scores_without_matching, lists)
    return set[Pair]().union(*(_pairs_of(one, np.ones(len(one), dtype=bool)) for one in scores))


def _pairs_of(scores: PairScores, rows: BoolArray) -> set[Pair]:
    """Return the pairs of photographs in some rows."""
    return set(map(frozenset, zip(scores.query_id[rows], scores.gallery_id[rows], strict=True)))


def _learn(sample: PseudoQuerySet, share: float, features: FeatureSet, context: RunContext) -> StopRule:
    """Match the sample whole, and learn when further candidates no longer change an answer."""
    config, columns = context.config, context.match_columns
    scores = [match_pairs(one, features, context) for one in (sample.as_known, sample.as_unknown)]
    laid = sample.laid_out(scores[0], scores[1], config.retrieve.top_k)
    provisional = tune(laid, config.decide, config.seed, "", "", Silent(), engine=context.engine)
    roles = [trace_of(one, features.images, provisional, STEPS, columns) for one in scores]
    chances = held_out_chances(roles)
    unknown = float(np.mean([config.decide.of("unknown_share", name) for name in features.images.gallery.datasets]))
    limit = limit_for(roles[0], roles[1], chances, share, unknown)
    points = trade_off(roles[0], roles[1], chances, sample.findable)
    write_trade_off(points, context.folder.path / "budget.csv", context.folder.path / "budget.png")
    curves = learn_rule(roles)
    return StopRule(steps=STEPS, match_columns=columns, provisional=provisional, curves=curves, limit=limit)


def pair_seconds(shortlist: Shortlist, features: FeatureSet, context: RunContext) -> float:
    """Measure the wall seconds that one pair takes, on some of the shortlist's; nothing is kept."""
    if context.log is None or not shortlist.pair_count:
        return 1.0
    some = np.unique(np.linspace(0, len(shortlist.query_id) - 1, 24).astype(int))
    with tempfile.TemporaryDirectory() as folder:
        logs = [
            PairLog(Path(folder) / f"{number}.log", "stop-watch", log.columns)
            for number, log in enumerate(context.logs)
        ]
        more = tuple(replace(one, log=log) for one, log in zip(context.more_matchers, logs[1:], strict=True))
        fresh = replace(context, log=logs[0], more_matchers=more, progress=Silent())
        start = time.perf_counter()
        match_pairs(replace(shortlist.select(some), vote=None), features, fresh)
        return max((time.perf_counter() - start) / max(len(logs[0]), 1), 1e-6)


def _read(path: Path) -> _Record | None:
    try:
        return _Record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        logger.warning("%s: not a recorded budget of this version; it is settled again.", path)
        return None
