"""Find the candidates of any queries: by embedding, by LNBNN, or by both in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from animalclef.config import fingerprint
from animalclef.pipeline.features import FeatureSet
from animalclef.pipeline.run_context import RunContext
from animalclef.retrieval.knn import candidate_groups, retrieve
from animalclef.retrieval.lnbnn import LnbnnScorer
from animalclef.store.shard_store import ShardStore
from animalclef.structures import Embeddings, FloatArray, ImageTable, Shortlist, Votes

__all__ = ["CandidateSearch", "cosines", "ranks_of_sources", "shortlist_of_votes", "united"]

Hidden = Mapping[str, frozenset[str]]
Rows = NDArray[np.integer]

_PAIRS = 8192  # whose vectors are held at once


class CandidateSearch:
    """Finds the candidates of any queries; indexes are kept in memory, LNBNN scores in the run folder."""

    def __init__(self, features: FeatureSet, context: RunContext) -> None:
        self.features, self.context = features, context
        config = context.config
        self._scorer = LnbnnScorer(
            features.local, self._store, config.vote, config.seed, context.progress, config.retrieve.memory_gb,
            context.workers, context.engine,
        )  # fmt: skip

    def by_source(self, queries: ImageTable, views: Sequence[Hidden] = ({},)) -> list[dict[str, Shortlist]]:
        """Return the list of `top_k` of each source, once for every view; a view says what is hidden from a query."""
        config, embeddings = self.context.config.retrieve, self.features.embeddings
        gallery = self.features.images.gallery
        lists: list[dict[str, Shortlist]] = [{} for _ in views]
        where = self.context.workers, self.context.engine
        if "embedding" in config.sources:
            for found, hidden in zip(lists, views, strict=True):
                found["embedding"] = retrieve(queries, gallery, embeddings, config, hidden, *where)
                for label, one in self.features.more_embeddings.items():
                    theirs = retrieve(queries, gallery, one, config, hidden, *where)
                    found[f"embedding:{label}"] = _with_similarity(theirs, embeddings)
        if "vote" in config.sources:
            groups = candidate_groups(queries, gallery, config.same_viewpoint)
            for found, votes in zip(lists, self._scorer.vote(queries, gallery, groups, views), strict=True):
                found.update({name: _with_votes(shortlist, votes) for name, shortlist in found.items()})
                found["vote"] = shortlist_of_votes(votes, embeddings, config.top_k)
        return lists

    def shortlists(self, queries: ImageTable, views: Sequence[Hidden] = ({},)) -> list[Shortlist]:
        """Return one shortlist of `top_k` for every view."""
        top_k = self.context.config.retrieve.top_k
        return [united(list(lists.values()), top_k) for lists in self.by_source(queries, views)]

    def _store(self, kind: str, of: str) -> ShardStore:
        local = self.features.local
        return ShardStore(self.context.folder.store(kind, fingerprint(2, of, local.made_by, local.border)))


def ranks_of_sources(lists: Mapping[str, Shortlist], images: ImageTable) -> pd.DataFrame:
    """Return one row per query and candidate: its identity, and its rank (from 1) in each list, NaN where absent.

    Queries stand in the order of the lists, their candidates by the rank in the last list, then in those before it.
    """
    parts = []
    for name, one in lists.items():
        rows, slots = np.nonzero(one.index >= 0)
        gallery = one.index[rows, slots]
        parts.append(pd.DataFrame({"query": rows, "gallery": gallery, name: slots + 1}).set_index(["query", "gallery"]))
    frame = pd.concat(parts, axis=1).reset_index()
    frame = frame.sort_values(["query", *reversed(list(lists))], kind="stable", ignore_index=True)
    some = next(iter(lists.values()))
    query_id, gallery_id = some.query_id[frame.pop("query")], some.gallery_id[frame.pop("gallery")]
    row_of = images.row_of
    frame.insert(0, "identity", images.identity[[row_of[one] for one in gallery_id]])
    frame.insert(0, "gallery_id", gallery_id)
    frame.insert(0, "query_id", query_id)
    return frame


def shortlist_of_votes(votes: Votes, embeddings: Embeddings, top_k: int) -> Shortlist:
    """Return the `top_k` images with the best LNBNN scores, equal ones in gallery order; none with a score of 0."""
    row_of = {image_id: row for row, image_id in enumerate(embeddings.image_id)}
    vector_of = np.array([row_of[one] for one in votes.gallery_id], dtype=np.int64)
    shape = (len(votes.query_id), top_k)
    index, found = np.full(shape, -1, dtype=np.int32), np.full(shape, np.nan, dtype=np.float32)
    similarity = found.copy()
    for row, query_id in enumerate(votes.query_id):
        images, values = votes.of_query(row)
        order = np.argsort(-values, kind="stable")[:top_k]
        best = images[order]
        index[row, : len(best)], found[row, : len(best)] = best, values[order]
        vectors = embeddings.values[vector_of[best]]
        similarity[row, : len(best)] = np.einsum("gd,d->g", vectors, embeddings.values[row_of[query_id]])
    return Shortlist(votes.query_id, votes.gallery_id, index, similarity, found)


def united(lists: Sequence[Shortlist], top_k: int) -> Shortlist:
    """Interleave lists: the first of each, then the second of each, and so on up to `top_k`; each candidate once."""
    if len(lists) == 1:
        return lists[0]
    turns = np.stack([one.index for one in lists], axis=2)
    turns = turns.reshape(len(turns), turns.shape[1] * len(lists))
    kept = np.full((len(turns), top_k), -1, dtype=np.int64)
    for row, turn in enumerate(turns):
        _, first = np.unique(turn, return_index=True)
        first = np.sort(first[turn[first] >= 0])[:top_k]
        kept[row, : len(first)] = first
    columns = {name: np.stack([_column(one, name) for one in lists], axis=2).reshape(turns.shape)
               for name in ("similarity", "vote")}  # fmt: skip
    taken = {name: np.where(kept >= 0, np.take_along_axis(values, kept, axis=1), np.nan).astype(np.float32)
             for name, values in columns.items()}  # fmt: skip
    index = np.where(kept >= 0, np.take_along_axis(turns, kept, axis=1), -1).astype(np.int32)
    return Shortlist(lists[0].query_id, lists[0].gallery_id, index, taken["similarity"], taken["vote"])


def _column(shortlist: Shortlist, name: str) -> np.ndarray:
    values = getattr(shortlist, name)
    return np.full(shortlist.index.shape, np.nan, np.float32) if values is None else values


def _with_similarity(shortlist: Shortlist, embeddings: Embeddings) -> Shortlist:
    """Replace the similarities of a further embedder by those of the first."""
    rows, slots = np.nonzero(shortlist.index >= 0)
    query, gallery = embeddings.of(shortlist.query_id), embeddings.of(shortlist.gallery_id)
    similarity = np.full(shortlist.index.shape, np.nan, dtype=np.float32)
    similarity[rows, slots] = cosines(query, gallery, rows, shortlist.index[rows, slots])
    return replace(shortlist, similarity=similarity)


def cosines(query: FloatArray, gallery: FloatArray, rows: Rows, columns: Rows) -> FloatArray:
    """Return the inner product of each pair of unit vectors, (len(rows),)."""
    found = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), _PAIRS):
        some = slice(start, start + _PAIRS)
        found[some] = np.einsum("pd,pd->p", query[rows[some]], gallery[columns[some]])
    return found


def _with_votes(shortlist: Shortlist, votes: Votes) -> Shortlist:
    """Add the LNBNN score of every candidate."""
    filled = np.full(shortlist.index.shape, np.nan, dtype=np.float32)
    rows, slots = np.nonzero(shortlist.index >= 0)
    filled[rows, slots] = votes.at(rows, shortlist.index[rows, slots])
    return replace(shortlist, vote=filled)
