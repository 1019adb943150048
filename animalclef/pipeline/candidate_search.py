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
from animalclef.structures.arrays import rows_in

__all__ = ["CandidateSearch", "VoteColumns", "cosines", "ranks_of_sources", "united"]

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
            groups = candidate_groups(queries, gallery, config)
            columns = [VoteColumns(found, queries, gallery, config.top_k) for found in lists]
            for row, votes in self._scorer.vote(queries, gallery, groups, views):
                for column, of_view in zip(columns, votes, strict=True):
                    column.take(row, of_view)
            lists = [column.lists(embeddings) for column in columns]
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
    frame.insert(0, "identity", images.identity[rows_in(images.image_id, gallery_id)])
    frame.insert(0, "gallery_id", gallery_id)
    frame.insert(0, "query_id", query_id)
    return frame


class VoteColumns:
    """The LNBNN scores of every list's candidates, and the list of the best images by LNBNN; a query at a time."""

    def __init__(self, lists: Mapping[str, Shortlist], queries: ImageTable, gallery: ImageTable, top_k: int) -> None:
        self._lists, self._query_id, self._gallery_id = lists, queries.image_id, gallery.image_id
        self._votes = {name: np.where(one.index >= 0, np.float32(0), np.float32("nan")) for name, one in lists.items()}
        self._index = np.full((len(queries), top_k), -1, dtype=np.int32)
        self._best = np.full((len(queries), top_k), np.nan, dtype=np.float32)

    def take(self, row: int, votes: Votes) -> None:
        """Take the votes of one query; of equal ones in its list the first in the gallery comes first."""
        for name, one in self._lists.items():
            used = one.index[row] >= 0
            self._votes[name][row, used] = votes.of(one.index[row, used])
        order = np.argsort(-votes.values, kind="stable")[: self._index.shape[1]]
        self._index[row, : len(order)], self._best[row, : len(order)] = votes.image[order], votes.values[order]

    def lists(self, embeddings: Embeddings) -> dict[str, Shortlist]:
        """Return the lists with their LNBNN scores, and the list `vote`."""
        with_votes = {name: replace(one, vote=self._votes[name]) for name, one in self._lists.items()}
        nothing = np.full(self._index.shape, np.nan, dtype=np.float32)
        best = Shortlist(self._query_id, self._gallery_id, self._index, nothing, self._best)
        return {**with_votes, "vote": _with_similarity(best, embeddings)}


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
    similarities = [one.similarity for one in lists]
    votes = [np.full_like(one.similarity, np.nan) if one.vote is None else one.vote for one in lists]
    columns = [np.stack(parts, axis=2).reshape(turns.shape) for parts in (similarities, votes)]
    similarity, vote = (np.where(kept >= 0, np.take_along_axis(one, kept, axis=1), np.nan).astype(np.float32)
                        for one in columns)  # fmt: skip
    index = np.where(kept >= 0, np.take_along_axis(turns, kept, axis=1), -1).astype(np.int32)
    return Shortlist(lists[0].query_id, lists[0].gallery_id, index, similarity, vote)


def _with_similarity(shortlist: Shortlist, embeddings: Embeddings) -> Shortlist:
    """Return a list with the similarities of the first embedder, whatever found its candidates."""
    rows, slots = np.nonzero(shortlist.index >= 0)
    query, gallery = (rows_in(embeddings.image_id, ids) for ids in (shortlist.query_id, shortlist.gallery_id))
    similarity = np.full(shortlist.index.shape, np.nan, dtype=np.float32)
    pairs = query[rows], gallery[shortlist.index[rows, slots]]
    similarity[rows, slots] = cosines(embeddings.values, embeddings.values, *pairs)
    return replace(shortlist, similarity=similarity)


def cosines(query: FloatArray, gallery: FloatArray, rows: Rows, columns: Rows) -> FloatArray:
    """Return the inner product of each pair of unit vectors, (len(rows),)."""
    found = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), _PAIRS):
        some = slice(start, start + _PAIRS)
        found[some] = np.einsum("pd,pd->p", query[rows[some]], gallery[columns[some]])
    return found
