"""Score the pairs of a shortlist: all of them, or as many as a budget allows, in shortlist order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from animalclef.decision.decision_model import DatasetDecision, Decision
from animalclef.decision.early_exit import StopRule
from animalclef.features.local.query_views import best_of_views, with_views
from animalclef.matching.rerank import rerank, scores_without_matching
from animalclef.pipeline.candidate_search import cosines
from animalclef.pipeline.features import FeatureSet
from animalclef.pipeline.run_context import Member, RunContext
from animalclef.structures import FloatArray, ImageTable, PairScores, Shortlist
from animalclef.structures.arrays import Integers

__all__ = ["Allowance", "first_slots", "match_in_steps", "match_pairs", "skipped_matchers", "unmatched_pairs"]

Scorer = Callable[[Shortlist], PairScores]
Skipped = Mapping[str, frozenset[str]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Allowance:
    """The share of a shortlist's pairs that may be matched, and the rule that says when a query is settled."""

    share: float
    rule: StopRule
    name: str  # changes with the share and the rule


def match_pairs(
    shortlist: Shortlist,
    features: FeatureSet,
    context: RunContext,
    allowance: Allowance | None = None,
    skipped: Skipped = MappingProxyType({}),
) -> PairScores:
    """Score all pairs of a shortlist by every matcher, in its order.

    With an allowance some pairs have NaN for the columns of the match, and so have the pairs of the data sets in which
    a further matcher is `skipped` (data sets by the matcher's label). Pairs in a matcher's log are not matched again.
    """
    if context.log is None:
        return unmatched_pairs(shortlist, features, context)
    match = partial(_match_all, features=features, context=context, skipped=skipped)
    if allowance is None:
        return match(shortlist)
    plain = unmatched_pairs(shortlist, features, context)
    return match_in_steps(shortlist, plain, match, features.images, allowance)


def unmatched_pairs(shortlist: Shortlist, features: FeatureSet, context: RunContext) -> PairScores:
    """Score the pairs of a shortlist by what is known before they are matched."""
    return _completed(scores_without_matching(shortlist), shortlist, features, context)


def skipped_matchers(decision: Decision, features: FeatureSet, context: RunContext) -> dict[str, frozenset[str]]:
    """Return the data sets in which the decision gives a further matcher no weight, by the matcher's label."""
    skipped = {}
    for member in context.more_matchers:
        parts = {name: decision.of(name) for name in features.images.datasets}
        unused = [name for name, part in parts.items() if not _looks_at(part, member)]
        if unused:
            logger.warning("%s: matcher %s has no weight, so it skips the queries.", ", ".join(unused), member.label)
            skipped[member.label] = frozenset(unused)
    return skipped


def _looks_at(part: DatasetDecision, member: Member) -> bool:
    names = [name for name, weight in part.weights.items() if weight]
    return part.pair_model is not None or any(f":{member.label}" in name for name in names)


def _match_all(shortlist: Shortlist, features: FeatureSet, context: RunContext, skipped: Skipped) -> PairScores:
    plain = scores_without_matching(shortlist)
    columns = dict(plain.columns)
    dataset = dict(zip(features.images.image_id, features.images.dataset, strict=True))
    for member in context.matchers:
        without = skipped.get(member.label, frozenset())
        rows = np.array([dataset[one] not in without for one in shortlist.query_id], dtype=bool)
        pairs = np.repeat(rows, (shortlist.index >= 0).sum(axis=1))
        for name, values in _match_member(shortlist.select(rows), features, context, member).items():
            columns[member.column(name)] = np.full(len(plain), np.nan, dtype=np.float32)
            columns[member.column(name)][pairs] = values
    return _completed(PairScores(plain.query_id, plain.gallery_id, columns), shortlist, features, context)


def _match_member(
    shortlist: Shortlist, features: FeatureSet, context: RunContext, member: Member
) -> dict[str, FloatArray]:
    """Return the columns of one matcher for the pairs of a shortlist."""
    views, log, matcher = context.config.keypoints.views, member.log, member.models.matcher
    if log is None or matcher is None:
        raise ValueError("expected a matcher with its log, got none.")
    local = features.more_local[member.label] if member.label else features.local
    asked, images = with_views(shortlist, features.images, views)
    scores = rerank(asked, images, local, matcher, log, context.workers, context.progress, context.engine)
    if views:
        main = next(
            (name for name in (*context.config.decide.scores, "inliers") if name in log.columns), log.columns[0]
        )
        scores = best_of_views(scores, main)
    return {name: scores.columns[name] for name in log.columns}


def _completed(scores: PairScores, shortlist: Shortlist, features: FeatureSet, context: RunContext) -> PairScores:
    """Add the scores that need no matching; the pairs are in shortlist order."""
    filled = shortlist.index >= 0
    columns = dict(scores.columns)
    rows, slots = np.nonzero(filled)
    for label, one in features.more_embeddings.items():
        query, gallery = one.of(shortlist.query_id), one.of(shortlist.gallery_id)
        columns[f"similarity:{label}"] = cosines(query, gallery, rows, shortlist.index[rows, slots])
    if shortlist.vote is not None:
        columns["vote"] = shortlist.vote[filled]
    return PairScores(scores.query_id, scores.gallery_id, columns)


def match_in_steps(
    shortlist: Shortlist, plain: PairScores, match: Scorer, images: ImageTable, allowance: Allowance
) -> PairScores:
    """Match at most the allowed share of the pairs; the others keep their `plain` scores and have NaN for the match.

    After each of the rule's steps the queries that are not settled go on. Where the pairs do not suffice for a step,
    every query gets its next candidate in turn, the least settled first.
    """
    rule, length = allowance.rule, (shortlist.index >= 0).sum(axis=1)
    left = int(np.floor(allowance.share * length.sum()))
    matched = np.zeros(len(length), dtype=np.int64)
    chance = np.ones(len(length))
    scores = plain
    for step in [*rule.steps, max([*length.tolist(), 1])]:
        goal = np.where(chance > rule.limit, np.minimum(step, length), matched)
        goal = first_slots(matched, np.maximum(goal, matched), chance, left)
        left -= int((goal - matched).sum())
        matched = goal
        scores = _match_first(shortlist, plain, match, matched, rule.match_columns)
        if left <= 0 or not (matched < length).any():
            break
        of = rule.chance(scores, images)
        chance = np.array([of.get(one, 0.0) for one in shortlist.query_id])
    return scores


def _match_first(
    shortlist: Shortlist, plain: PairScores, match: Scorer, matched: Integers, names: tuple[str, ...]
) -> PairScores:
    """Match the first `matched` candidates of every query, and no others."""
    inside = np.arange(shortlist.index.shape[1]) < matched[:, None]
    part = replace(
        shortlist,
        index=np.where(inside, shortlist.index, -1).astype(np.int32),
        similarity=np.where(inside, shortlist.similarity, np.nan).astype(np.float32),
        vote=None if shortlist.vote is None else np.where(inside, shortlist.vote, np.nan).astype(np.float32),
    )
    found, rows = match(part), np.flatnonzero(inside[shortlist.index >= 0])
    columns = dict(plain.columns)
    for name in names:
        columns[name] = np.full(len(plain), np.nan, dtype=np.float32)
        columns[name][rows] = found.columns[name]
    return PairScores(plain.query_id, plain.gallery_id, columns)


def first_slots(matched: Integers, goal: Integers, chance: NDArray[np.float64], left: int) -> Integers:
    """Return how far each query comes with `left` pairs: to its goal, or one candidate each in turn while they last.

    Within a turn the query with the larger chance of a change comes first, of equal ones the first in the table.
    """
    wanted = goal - matched
    if wanted.sum() <= left:
        return goal
    row = np.repeat(np.arange(len(wanted)), wanted)
    turn = np.arange(len(row)) - np.repeat(np.cumsum(wanted) - wanted, wanted)
    taken = row[np.lexsort((row, -chance[row], turn))[: max(left, 0)]]
    return np.asarray(matched + np.bincount(taken, minlength=len(wanted)), dtype=np.int64)
