"""Measure the recall of each source of candidates, and of the shortlist, among the first k."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from animalclef.data.submission import Truth

__all__ = ["SourceRecall", "recall_of_sources"]

RECALLS = (1, 10, 25, 100)


@dataclass(frozen=True)
class SourceRecall:
    """The share of known queries with a photograph of the right individual among the first k candidates."""

    dataset: str
    source: str  # embedding, vote, or shortlist (the candidates that were matched)
    queries: int
    recall: Mapping[str, float]  # recall@1, recall@10, recall@25, recall@100


def recall_of_sources(sources: pd.DataFrame, truth: Truth) -> list[SourceRecall]:
    """Compute the recall of every source in every data set.

    `sources` has one row per candidate: query_id, identity and one column of ranks (from 1) per source, NaN where the
    source does not have the candidate.
    """
    whose = dict(zip(truth.image_id, truth.identity, strict=True))
    right = sources[sources["identity"].to_numpy() == sources["query_id"].map(whose).to_numpy()]
    names = [name for name in sources.columns if name not in ("query_id", "gallery_id", "identity")]
    best = right[names].groupby(right["query_id"]).min()
    found = []
    for dataset in sorted(set(truth.dataset[truth.known])):
        queries = truth.image_id[truth.known & (truth.dataset == dataset)]
        for source in best.columns:
            rank = best[source].reindex(queries).to_numpy(dtype=float)
            recall = {f"recall@{k}": float(np.mean(np.nan_to_num(rank, nan=np.inf) <= k)) for k in RECALLS}
            found.append(SourceRecall(dataset, source, len(queries), recall))
    return found
