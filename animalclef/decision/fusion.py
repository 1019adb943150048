"""From raw pair scores to one ranked list of candidates with a probability each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from animalclef.decision.aggregation import Candidates
from animalclef.decision.calibrators import sigmoid
from animalclef.decision.decision_model import DatasetDecision, Decision
from animalclef.decision.score_columns import scores_among
from animalclef.structures import ImageTable, PairScores, RankedCandidates

__all__ = ["fuse", "fuse_lists"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def fuse(scores: PairScores, images: ImageTable, decision: Decision) -> RankedCandidates:
    """Candidates of every query, the most probable identity first and within it the most probable photograph; equal
    ones in shortlist order, as validation has them.
    """
    row_of = images.row_of
    query_row = np.array([row_of[one] for one in scores.query_id], dtype=np.int64)
    gallery_row = np.array([row_of[one] for one in scores.gallery_id], dtype=np.int64)
    dataset = images.dataset[query_row]
    pair, whole, lead = (np.zeros(len(scores)) for _ in range(3))
    for name in sorted(set(dataset)):
        rows = np.flatnonzero(dataset == name)
        columns = {column: values[rows] for column, values in scores.columns.items()}
        agrees = images.viewpoints_agree(scores.query_id[rows], scores.gallery_id[rows])
        _, who = np.unique(images.identity[gallery_row[rows]].astype(str), return_inverse=True)
        pair[rows], whole[rows], lead[rows] = _fused(columns, query_row[rows], who, agrees, decision.of(name))
    order = np.lexsort((-pair, -whole, query_row))
    kept = scores_among(scores.columns)
    return RankedCandidates(
        query_id=scores.query_id[order],
        gallery_id=scores.gallery_id[order],
        identity=images.identity[gallery_row][order],
        dataset=dataset[order],
        probability=pair[order],
        columns={name: values[order] for name, values in scores.columns.items() if name in kept},
        identity_probability=whole[order],
        lead=lead[order],
    )


def _fused(
    columns: Mapping[str, NDArray[np.generic]], query: Integers, who: Integers, agrees: NDArray[np.bool_],
    decision: DatasetDecision,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """Per pair of one data set: its probability, its identity's, and the lead of the query's best identity."""
    rows, slots, shape = _places(query)
    laid = {name: _laid_out(values, rows, slots, shape, np.nan) for name, values in columns.items()}
    whose = _laid_out(who, rows, slots, shape, -1).astype(np.int64)
    filled = _laid_out(np.ones_like(agrees), rows, slots, shape, 0).astype(bool)
    sides = _laid_out(agrees, rows, slots, shape, 0).astype(bool)
    pair, identity, lead = fuse_lists(laid, filled, whose, sides, decision)
    return pair[rows, slots], identity[rows, slots], lead[rows]


def fuse_lists(
    columns: Mapping[str, NDArray[np.generic]], visible: Bools, who: Integers, agrees: Bools, decision: DatasetDecision
) -> tuple[Floats, Floats, Floats]:
    """For lists of candidates laid out as (q, k): the probability of each pair and of its identity, 0 where nothing is
    visible, and per list the lead of the best identity over the second in log-odds.

    `who` numbers the identities; `agrees` says where the viewpoints may be the same.
    """
    seen = visible & agrees if decision.same_viewpoint else visible
    if decision.pair_model is not None:
        log_odds = decision.pair_model.log_odds(columns, seen, who, agrees)
    else:
        log_odds = np.zeros(visible.shape)
        for name, weight in decision.weights.items():
            if weight:
                log_odds += weight * decision.calibrators[name].log_odds(columns[name])
    candidates = Candidates(seen, who, columns.get("photographs"))
    identity = candidates.identity_log_odds(candidates.take(log_odds), decision.aggregation, decision.crowd_weight)
    lead = candidates.best(identity).lead
    return np.where(seen, sigmoid(log_odds), 0.0), sigmoid(candidates.of_pairs(identity)), lead


def _places(query: Integers) -> tuple[Integers, Integers, tuple[int, int]]:
    """Row and slot of each pair in a table of queries, pairs of one query in the order they come."""
    _, rows = np.unique(query, return_inverse=True)
    order = np.argsort(rows, kind="stable")
    begin = np.searchsorted(rows[order], np.arange(int(rows.max()) + 1))
    slots = np.empty(len(rows), dtype=np.int64)
    slots[order] = np.arange(len(rows)) - begin[rows[order]]
    return rows, slots, (int(rows.max()) + 1, int(slots.max()) + 1)


def _laid_out(
    values: NDArray[np.generic], rows: Integers, slots: Integers, shape: tuple[int, int], absent: float
) -> Floats:
    table = np.full(shape, absent, dtype=np.float64)
    table[rows, slots] = values
    return table
