"""Pair scores of pseudo-queries, in both roles, and of queries that people answered, laid out with a row for each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from animalclef.data.pseudo_query import OpenSetSplits, PseudoQueries
from animalclef.decision.aggregation import CandidateTable
from animalclef.decision.reviewed_answers import ReviewedAnimals
from animalclef.decision.score_columns import scores_among
from animalclef.structures import ImageTable, PairScores, RankedCandidates, ReviewedPairs, StrArray
from animalclef.structures.arrays import rows_in, text_array

__all__ = ["AnsweredQueries", "answered_queries", "events_show_through", "from_own_side_only", "joined", "lay_out"]

_LEAST_FINDS = 10  # from other sides; fewer tell nothing


@dataclass(frozen=True, eq=False)
class AnsweredQueries:
    """Queries of one data set that people answered; `same` holds where `labelled` does."""

    part: PseudoQueries  # no query has a role in a split
    labelled: NDArray[np.bool_]  # (p, k) pairs whose answer follows from what people said


def answered_queries(
    ranked: RankedCandidates, images: ImageTable, reviewed: ReviewedPairs
) -> dict[str, AnsweredQueries]:
    """Return by data set the queries of a run that people answered, with their candidates as labelled pairs.

    Of a query that people gave a name every pair is labelled; of one that they called different from individuals, the
    pairs with these.
    """
    animals, found = ReviewedAnimals(reviewed, images), {}
    for dataset in images.queries.datasets:
        mine = ranked.dataset == dataset
        queries = [one for one in dict.fromkeys(ranked.query_id[mine]) if animals.name(one) or animals.barred(one)]
        if not queries:
            continue
        name = [animals.name(one) for one in queries]
        ids = text_array(queries)
        whose = text_array([who or f"query {one}" for one, who in zip(queries, name, strict=True)])
        nobody = np.zeros((0, len(queries)), dtype=bool)
        rows = _as_listed(ranked, images, np.flatnonzero(mine))
        columns = {column: values[rows] for column, values in ranked.columns.items()}
        scores = PairScores(ranked.query_id[rows], ranked.gallery_id[rows], columns)
        part = lay_out(scores, images, OpenSetSplits(ids, whose, nobody, nobody), len(images))
        is_named = np.array([who is not None for who in name], dtype=bool)[:, None]
        shown = zip(np.asarray(part.identity), queries, strict=True)
        barred = np.array([np.isin(individuals, list(animals.barred(one))) for individuals, one in shown])
        labelled = part.as_known & (is_named | barred)
        found[dataset] = AnsweredQueries(replace(part, same=part.same & is_named), labelled)
    return found


def _as_listed(ranked: RankedCandidates, images: ImageTable, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return rows by falling similarity, then in table order: the order of a decision would tell its own answers."""
    place = rows_in(images.image_id, ranked.gallery_id[rows])
    told = ranked.columns.get("similarity", np.zeros(len(ranked.query_id)))[rows].astype(np.float64)
    return rows[np.lexsort((place, -np.nan_to_num(told, nan=-np.inf)))]


def lay_out(
    scores: PairScores,
    gallery: ImageTable,
    splits: OpenSetSplits,
    top_k: int,
    encounter_of: Mapping[str, str] | None = None,
) -> PseudoQueries:
    """One row per pseudo-query of `splits`; `scores` holds each one's pairs in shortlist order.

    `encounter_of` names each gallery photograph's encounter.
    """
    mine = np.isin(scores.query_id.astype(str), splits.image_id.astype(str))
    query_id, shown = scores.query_id[mine], scores.gallery_id[mine]
    rows = rows_in(splits.image_id, query_id)
    table = CandidateTable(rows, len(splits.image_id))
    whose = gallery.identity[rows_in(gallery.image_id, shown)]
    gallery_id, identity = table.lay_out(shown, None), table.lay_out(whose, None)
    valid = table.lay_out(np.ones(len(rows), dtype=bool), False)
    same = table.lay_out(whose == splits.identity[rows], False)
    agrees = table.lay_out(gallery.viewpoints_agree(query_id, shown), False)
    columns = {name: table.lay_out(values[mine].astype(np.float32), np.nan) for name, values in scores.columns.items()}
    others = valid & ~same
    as_known = valid & (np.cumsum(valid, axis=1) <= top_k)
    as_unknown = others & (np.cumsum(others, axis=1) <= top_k)
    one_more = None if encounter_of is None else _one_more(gallery_id, same, gallery, splits, encounter_of)
    return PseudoQueries(columns, same, agrees, as_known, as_unknown, splits, gallery_id, identity, one_more)


def _one_more(
    gallery_id: StrArray,
    same: NDArray[np.bool_],
    gallery: ImageTable,
    splits: OpenSetSplits,
    encounter_of: Mapping[str, str],
) -> NDArray[np.bool_]:
    """Return the candidates of one encounter of each pseudo-query's individual, where another is left, (p, k)."""
    encounters: dict[str, set[str]] = defaultdict(set)
    for image_id, who in zip(gallery.image_id, gallery.identity, strict=True):
        encounters[who].add(encounter_of[image_id])
    marked = np.zeros(same.shape, dtype=bool)
    for row, (image_id, who) in enumerate(zip(splits.image_id, splits.identity, strict=True)):
        others = sorted(encounters[who] - {encounter_of[image_id]})
        if len(others) > 1:
            chosen = others[row % len(others)]
            mine = np.flatnonzero(same[row])
            marked[row, mine] = [encounter_of[one] == chosen for one in gallery_id[row, mine]]
    return marked


def joined(known: PseudoQueries, unknown: PseudoQueries) -> PseudoQueries:
    """The candidates of both roles side by side: those of `known` are seen as known, those of `unknown` as unknown.

    A vote of local descriptors, and which pairs a budget lets be matched, depend on who is in the gallery. The two
    hold the same pseudo-queries in the same order.
    """
    first = replace(known, as_unknown=np.zeros_like(known.as_unknown))
    second = replace(unknown, as_known=np.zeros_like(unknown.as_known))
    tables: dict[str, Any] = {
        field.name: np.concatenate([getattr(first, field.name), getattr(second, field.name)], axis=1)
        for field in fields(known)
        if isinstance(getattr(known, field.name), np.ndarray)
    }
    columns = {name: np.concatenate([one, unknown.columns[name]], axis=1) for name, one in known.columns.items()}
    return replace(known, columns=columns, **tables)


def events_show_through(part: PseudoQueries) -> bool:
    """Whether, by some score, right finds come from the same side less than half as often as right candidates do.

    Another side of an animal shows another pattern: what was found from there is the event, its light, its place.
    Queries are of other events, so validation must not count such finds.
    """
    true = part.same & part.as_known
    usual = float(part.agrees[true].mean()) if true.any() else 1.0
    rows = np.arange(len(part))
    for name in scores_among(part.columns):
        values = np.where(part.as_known, np.nan_to_num(part.columns[name], nan=-np.inf), -np.inf)
        best = values.argmax(axis=1)
        found = true[rows, best]
        same_side = part.agrees[rows, best][found]
        if (~same_side).sum() >= _LEAST_FINDS and same_side.mean() < usual / 2:
            return True
    return False


def from_own_side_only(part: PseudoQueries, own_side: Collection[str]) -> PseudoQueries:
    """Pseudo-queries that do not see their individual from another side; known are those of `own_side`."""
    has_own_side = np.isin(part.splits.image_id.astype(str), list(own_side))
    splits = replace(part.splits, is_known=part.splits.is_known & has_own_side)
    seen = part.as_known & ~(part.same & ~part.agrees)
    return replace(part, as_known=seen, splits=splits).select(np.arange(len(part)))
