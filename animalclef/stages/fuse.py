"""From raw pair scores to one ranked list of candidates with a probability each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from animalclef.artefacts import ImageTable, PairScores, RankedCandidates
from animalclef.decision import DatasetDecision, Decision

__all__ = ["fuse"]


def fuse(scores: PairScores, images: ImageTable, decision: Decision) -> RankedCandidates:
    """Candidates of every query, the most probable first; equal ones in shortlist order, as validation has them."""
    row_of = images.row_of
    query_row = np.array([row_of[one] for one in scores.query_id], dtype=np.int64)
    gallery_row = np.array([row_of[one] for one in scores.gallery_id], dtype=np.int64)
    dataset = images.dataset[query_row]
    probability = np.zeros(len(scores))
    for name in sorted(set(dataset)):
        rows = np.flatnonzero(dataset == name)
        columns = {column: values[rows] for column, values in scores.columns.items()}
        probability[rows] = _fused(columns, decision.of(name))
        if decision.of(name).same_viewpoint:
            probability[rows] *= images.viewpoints_agree(scores.query_id[rows], scores.gallery_id[rows])
    order = np.lexsort((-probability, query_row))
    return RankedCandidates(
        query_id=scores.query_id[order],
        gallery_id=scores.gallery_id[order],
        identity=images.identity[gallery_row][order],
        dataset=dataset[order],
        probability=probability[order],
        columns={column: values[order] for column, values in scores.columns.items()},
    )


def _fused(columns: Mapping[str, NDArray[np.generic]], decision: DatasetDecision) -> NDArray[np.float64]:
    """The weighted mean of the calibrated log-odds, as a probability."""
    used = {name: weight for name, weight in decision.weights.items() if weight}
    log_odds = sum(weight * decision.calibrators[name].log_odds(columns[name]) for name, weight in used.items())
    return np.asarray(1 / (1 + np.exp(-np.asarray(log_odds))), dtype=np.float64)
