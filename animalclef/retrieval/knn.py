"""Stage one: find the shortlist of gallery photographs for every query."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from animalclef.config import RetrieveConfig
from animalclef.engine.work import Engine
from animalclef.retrieval.large_gallery import search_gallery
from animalclef.structures import Embeddings, ImageTable, Shortlist
from animalclef.structures.arrays import Integers

__all__ = ["candidate_groups", "retrieve"]


def retrieve(
    queries: ImageTable,
    gallery: ImageTable,
    embeddings: Embeddings,
    config: RetrieveConfig,
    hidden: Mapping[str, frozenset[str]] | None = None,
    workers: int = 1,
    engine: Engine | None = None,
) -> Shortlist:
    """Rank the `top_k` most similar gallery photographs of every query's own data set, by inner product.

    The search is exact up to `memory_gb` of vectors; beyond, it finds the share `recall` of the best or more.

    A photograph is never its own candidate, nor is one that `hidden` names for the query. With `same_viewpoint`,
    candidates share the query's viewpoint or have none; a query without a viewpoint sees all. Slots without a candidate
    hold index -1 and NaN.

    Raises:
        ValueError: an image has no embedding.
    """
    hidden = hidden or {}
    row_of = {image_id: row for row, image_id in enumerate(embeddings.image_id)}
    absent = [one for table in (queries, gallery) for one in table.image_id if one not in row_of]
    if absent:
        raise ValueError(f"{len(absent)} images have no embedding of {embeddings.model} (first: {absent[0]}).")
    index = np.full((len(queries), config.top_k), -1, dtype=np.int32)
    similarity = np.full((len(queries), config.top_k), np.nan, dtype=np.float32)
    position = gallery.row_of
    for query_rows, gallery_rows in candidate_groups(queries, gallery, config):
        barred = [{position[one] for one in hidden.get(queries.image_id[row], ()) if one in position}
                  | {position.get(queries.image_id[row], -1)} for row in query_rows]  # fmt: skip
        most = config.top_k + max(map(len, barred), default=0)
        query_vectors = embeddings.values[[row_of[one] for one in queries.image_id[query_rows]]]
        gallery_vectors = embeddings.values[[row_of[one] for one in gallery.image_id[gallery_rows]]]
        found, scores = search_gallery(
            query_vectors, gallery_vectors, most, memory_gb=config.memory_gb, least_recall=config.recall,
            workers=workers, engine=engine,
        )  # fmt: skip
        for row, bar, places, values in zip(query_rows, barred, found, scores, strict=True):
            rows = gallery_rows[places]
            kept = np.array([candidate not in bar for candidate in rows], dtype=bool)
            best = np.lexsort((rows[kept], -values[kept]))[: config.top_k]
            index[row, : len(best)] = rows[kept][best]
            similarity[row, : len(best)] = values[kept][best]
    return Shortlist(queries.image_id, gallery.image_id, index, similarity)


def candidate_groups(
    queries: ImageTable, gallery: ImageTable, config: RetrieveConfig
) -> Iterator[tuple[Integers, Integers]]:
    """Yield rows of queries that share their candidates, with the rows of those candidates: their own data set.

    Where `same_viewpoint` holds for the data set, candidates share the query's viewpoint or have none; a query without
    a viewpoint sees all.
    """
    for dataset in queries.datasets:
        in_queries, in_gallery = queries.dataset == dataset, gallery.dataset == dataset
        if not config.compares_one_side(dataset):
            yield np.flatnonzero(in_queries), np.flatnonzero(in_gallery)
            continue
        for viewpoint in sorted(set(queries.viewpoint[in_queries])):
            fits = (gallery.viewpoint == viewpoint) | (gallery.viewpoint == "") if viewpoint else True
            yield np.flatnonzero(in_queries & (queries.viewpoint == viewpoint)), np.flatnonzero(in_gallery & fits)
