"""Retrieval by an embedding alone: rank-k and mAP over photographs, per species and averaged over species.

One against all others within a species, as MiewID was evaluated (arXiv 2412.05602), or queries against a gallery.
Rank-k is the share of queries with a photograph of their individual among the k nearest; where there are fewer than k
candidates all of them are looked at. Of equally similar photographs the wrong ones come first, so that figures do not
depend on the order of rows and an embedding that has collapsed finds nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from animalclef.data.training_splits import TrainingSplit
from animalclef.metrics.competition import precision_at_places
from animalclef.structures import FloatArray, StrArray
from animalclef.structures.arrays import Integers, check_shape

__all__ = [
    "RANKS",
    "Candidates",
    "RetrievalFigures",
    "SpeciesFigures",
    "one_against_all",
    "query_against_gallery",
    "retrieval_of_split",
]

RANKS = (1, 5, 10, 20)
_CELLS = 8_000_000  # similarities held at once


@dataclass(frozen=True)
class SpeciesFigures:
    """Figures of one species; NaN where no query counts."""

    species: str
    queries: int  # that count: their individual is to be found
    alone: int  # that do not: no photograph of their individual is among their candidates
    individuals: int  # of the queries that count
    candidates: int  # photographs that are searched
    measures: Mapping[str, float]  # rank-1, rank-5, rank-10, rank-20, mAP


@dataclass(frozen=True)
class RetrievalFigures:
    """One entry per species, in the order of their names."""

    species: tuple[SpeciesFigures, ...]

    @property
    def mean(self) -> dict[str, float]:
        """The unweighted mean over the species with a query that counts; NaN without any."""
        counted = [one.measures for one in self.species if one.queries]
        names = [*(f"rank-{k}" for k in RANKS), "mAP"]
        return {name: float(np.mean([one[name] for one in counted])) if counted else float("nan") for name in names}


@dataclass(frozen=True, eq=False)
class Candidates:
    """Photographs with what an evaluation needs to know of them; identities count within a species."""

    embeddings: FloatArray  # (n, d) any length; compared by cosine
    identity: StrArray  # (n,)
    species: StrArray  # (n,)
    viewpoint: StrArray | None = None  # (n,) "" where not known: agrees with all; None: viewpoints do not count
    event: NDArray[np.generic] | None = None  # (n,) a photograph does not see its own event; None: it does

    def __post_init__(self) -> None:
        n = len(self.identity)
        check_shape("embeddings", self.embeddings, (n, None))
        for name in ("species", "viewpoint", "event"):
            if getattr(self, name) is not None:
                check_shape(name, getattr(self, name), (n,))
        if not np.isfinite(self.embeddings).all():
            raise ValueError("embeddings: expected finite numbers.")

    def select(self, rows: NDArray[np.generic]) -> Candidates:
        """The given rows (indices or a mask), in that order."""
        viewpoint = None if self.viewpoint is None else self.viewpoint[rows]
        event = None if self.event is None else self.event[rows]
        return Candidates(self.embeddings[rows], self.identity[rows], self.species[rows], viewpoint, event)


def one_against_all(photographs: Candidates) -> RetrievalFigures:
    """Every photograph is a query against all others of its species."""
    return _figures(photographs, photographs, own=True)


def query_against_gallery(queries: Candidates, gallery: Candidates) -> RetrievalFigures:
    """Every query against the gallery of its species; a species is named by the queries.

    Raises:
        ValueError: the two do not both have viewpoints, or events, or are from different models.
    """
    for name in ("viewpoint", "event"):
        if (getattr(queries, name) is None) != (getattr(gallery, name) is None):
            raise ValueError(f"{name}: expected in queries and gallery, or in neither.")
    check_shape("gallery embeddings", gallery.embeddings, (None, queries.embeddings.shape[1]))
    return _figures(queries, gallery, own=False)


def retrieval_of_split(photographs: Candidates, split: TrainingSplit) -> RetrievalFigures:
    """The queries of a split of these photographs against its gallery, or against each other where it has none."""
    queries = photographs.select(split.query)
    if not len(split.gallery):
        return one_against_all(queries)
    return query_against_gallery(queries, photographs.select(split.gallery))


def _figures(queries: Candidates, gallery: Candidates, *, own: bool) -> RetrievalFigures:
    found = []
    for species in sorted(set(queries.species)):
        searched = gallery.select(gallery.species == species)
        asked = searched if own else queries.select(queries.species == species)
        found.append(_of_species(species, asked, searched, own=own))
    return RetrievalFigures(tuple(found))


def _of_species(species: str, queries: Candidates, gallery: Candidates, *, own: bool) -> SpeciesFigures:
    """Measures of all queries of one species, some rows of similarities at a time."""
    query_vectors, gallery_vectors = _unit(queries.embeddings), _unit(gallery.embeddings)
    hits: dict[str, list[float]] = {**{f"rank-{k}": [] for k in RANKS}, "mAP": []}
    who, alone = set(), 0
    step = max(1, _CELLS // max(1, len(gallery.identity)))
    for start in range(0, len(queries.identity), step):
        chunk = np.arange(start, min(start + step, len(queries.identity)))
        similarity = query_vectors[chunk] @ gallery_vectors.T
        for row, values in zip(chunk.tolist(), similarity, strict=True):
            place = _places(row, values, queries, gallery, own=own)
            if not len(place):
                alone += 1
                continue
            who.add(queries.identity[row])
            for k in RANKS:
                hits[f"rank-{k}"].append(float(place[0] <= k))
            hits["mAP"].append(precision_at_places(place, len(place)))
    measures = {name: float(np.mean(values)) if values else float("nan") for name, values in hits.items()}
    counted = len(queries.identity) - alone
    return SpeciesFigures(str(species), counted, alone, len(who), len(gallery.identity), measures)


def _places(row: int, similarity: FloatArray, queries: Candidates, gallery: Candidates, *, own: bool) -> Integers:
    """The places, from 1 and rising, of the right photographs among those that one query sees."""
    seen = np.ones(len(similarity), dtype=bool)
    if own:
        seen[row] = False
    if queries.viewpoint is not None and gallery.viewpoint is not None and queries.viewpoint[row]:
        seen &= (gallery.viewpoint == queries.viewpoint[row]) | (gallery.viewpoint == "")
    if queries.event is not None and gallery.event is not None:
        seen &= gallery.event != queries.event[row]
    right = gallery.identity == queries.identity[row]
    right_first = np.sort(-similarity[seen & right])
    wrong_first = np.sort(-similarity[seen & ~right])
    ahead = np.searchsorted(wrong_first, right_first, side="right")
    return np.asarray(np.arange(len(right_first)) + 1 + ahead, dtype=np.int64)


def _unit(vectors: FloatArray) -> FloatArray:
    """Rows of length 1; a row of zeros stays one."""
    length = np.linalg.norm(vectors.astype(np.float32), axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1), dtype=np.float32)
