"""Fuse raw pair scores into one ranked list of candidates with a probability each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from animalclef.decision.aggregation import Candidates, CandidateTable
from animalclef.decision.calibrators import sigmoid
from animalclef.decision.decision_model import DatasetDecision, Decision
from animalclef.decision.score_columns import scores_among
from animalclef.decision.transfer import for_dataset, nulls_of_queries
from animalclef.structures import ImageTable, PairScores, RankedCandidates
from animalclef.structures.arrays import BoolArray, Floats, Integers, rows_in

__all__ = ["fuse", "fuse_lists"]


def fuse(scores: PairScores, images: ImageTable, decision: Decision) -> RankedCandidates:
    """Return the candidates of every query, the most probable identity first and its most probable photograph first.

    Equal ones keep their shortlist order, as in validation.
    """
    query_row, gallery_row = (rows_in(images.image_id, ids) for ids in (scores.query_id, scores.gallery_id))
    dataset = images.dataset[query_row]
    pair, whole, lead = (np.zeros(len(scores)) for _ in range(3))
    for name in sorted(set(dataset)):
        rows = np.flatnonzero(dataset == name)
        columns = {column: values[rows] for column, values in scores.columns.items()}
        agrees = images.viewpoints_agree(scores.query_id[rows], scores.gallery_id[rows])
        shown, place = np.unique(gallery_row[rows], return_inverse=True)
        who = np.unique(images.identity[shown].astype(str), return_inverse=True)[1][place]
        rule = decision.of(name)
        if rule.scale_free:
            rule = for_dataset(rule, nulls_of_queries(columns, query_row[rows], who, int(who.max()) + 1))
        pair[rows], whole[rows], lead[rows] = _fused(columns, query_row[rows], who, agrees, rule)
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
    columns: Mapping[str, NDArray[np.generic]], query: Integers, who: Integers, agrees: BoolArray,
    decision: DatasetDecision,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """Return per pair of one data set its probability, its identity's, and the lead of the query's best identity."""
    queries, rows = np.unique(query, return_inverse=True)
    table = CandidateTable(rows, len(queries))
    laid = {name: table.lay_out(values, np.nan) for name, values in columns.items()}
    filled, sides = table.lay_out(np.ones_like(agrees), False), table.lay_out(agrees, False)
    pair, identity, lead = fuse_lists(laid, filled, table.lay_out(who, -1), sides, decision)
    return pair[rows, table.slots], identity[rows, table.slots], lead[rows]


def fuse_lists(
    columns: Mapping[str, NDArray[np.generic]],
    visible: BoolArray,
    who: Integers,
    agrees: BoolArray,
    decision: DatasetDecision,
) -> tuple[Floats, Floats, Floats]:
    """Return pair probabilities and identity probabilities, (q, k), and per list the best identity's lead, (q,).

    Probabilities are 0 where nothing is visible; the lead over the second identity is in log-odds.

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
    candidates = Candidates(seen, who)
    identity = candidates.identity_log_odds(candidates.take(log_odds), decision.aggregation)
    lead = candidates.best(identity).lead
    if decision.answer_curve is not None:
        identity = decision.answer_curve.slope * identity + decision.answer_curve.intercept
    return np.where(seen, sigmoid(log_odds), 0.0), sigmoid(candidates.of_pairs(identity)), lead
