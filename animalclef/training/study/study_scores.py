"""Measure how well the networks of an arm retrieve the individuals of every data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from animalclef.metrics.retrieval_metrics import Candidates, one_against_all, query_against_gallery
from animalclef.structures import StrArray

__all__ = ["MEASURES", "Asked", "DatasetFigures", "score_dataset", "thinned"]

Rows = NDArray[np.int64]
MEASURES = ("rank-1", "rank-5", "mAP")


@dataclass(frozen=True)
class DatasetFigures:
    """Figures of one data set; NaN where no query has a match."""

    dataset: str
    queries: int
    measures: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Asked:
    """The gallery and the queries of a study; photographs of a query's own event are hidden from it."""

    identity: StrArray  # (n,)
    dataset: StrArray  # (n,)
    event: NDArray[np.generic]  # (n,)
    gallery: Rows  # empty: every query is compared with all others
    query: Rows


def score_dataset(
    asked: Asked, name: str, embeddings: NDArray[np.float32], routed: NDArray[np.bool_] | None = None
) -> DatasetFigures:
    """Return figures of one data set; `embeddings` (n, d) has a row for every photograph of the study.

    `routed` (n,) says which queries were sent to this data set; the others count as not found.
    """
    queries, gallery = (rows[asked.dataset[rows] == name] for rows in (asked.query, asked.gallery))
    gallery = gallery[embeddings[gallery].any(axis=1)]  # what cannot be read is no candidate
    sent = queries if routed is None else queries[routed[queries]]
    own = not len(asked.gallery)
    found = _figures(asked, sent, gallery, embeddings, own=own)
    if routed is None:
        return DatasetFigures(name, found.queries, found.measures)
    everyone = _figures(asked, queries, gallery, embeddings, own=own).queries
    if not everyone:
        return DatasetFigures(name, 0, dict.fromkeys(MEASURES, float("nan")))
    share = found.queries / everyone
    measures = {one: share * value if found.queries else 0.0 for one, value in found.measures.items()}
    return DatasetFigures(name, everyone, measures)


def _figures(
    asked: Asked, queries: Rows, gallery: Rows, embeddings: NDArray[np.float32], *, own: bool
) -> DatasetFigures:
    photographs = Candidates(embeddings, asked.identity, asked.dataset, event=asked.event)
    if not len(queries):
        return DatasetFigures("", 0, dict.fromkeys(MEASURES, float("nan")))
    if own:
        figures = one_against_all(photographs.select(queries))
    else:
        figures = query_against_gallery(photographs.select(queries), photographs.select(gallery))
    one = figures.species[0]
    return DatasetFigures(one.species, one.queries, {name: one.measures[name] for name in MEASURES})


def thinned(asked: Asked, most: int, seed: int) -> Asked:
    """Return the study with at most `most` random gallery photographs of each individual; the queries stay.

    Fewer photographs are a part of more.
    """
    order = np.random.default_rng((seed, 31)).permutation(asked.gallery)
    seen: dict[tuple[str, str], int] = {}
    kept = []
    for row in order.tolist():
        who = (asked.dataset[row], asked.identity[row])
        seen[who] = seen.get(who, 0) + 1
        if seen[who] <= most:
            kept.append(row)
    return replace(asked, gallery=np.sort(np.array(kept, dtype=np.int64)))
