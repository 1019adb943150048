"""Group queries by the gallery photographs that they may be compared with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from animalclef.structures import ImageTable

__all__ = ["candidate_groups"]

Rows = NDArray[np.int64]


def candidate_groups(
    queries: ImageTable, gallery: ImageTable, same_viewpoint: bool | Sequence[str]
) -> Iterator[tuple[Rows, Rows]]:
    """Yield rows of queries that share their candidates, with the rows of those candidates: their own data set.

    Where `same_viewpoint` holds (for all, or for the data sets named) candidates share the query's viewpoint or have
    none; a query without a viewpoint sees all.
    """
    for dataset in queries.datasets:
        restricted = same_viewpoint if isinstance(same_viewpoint, bool) else dataset in same_viewpoint
        in_queries, in_gallery = queries.dataset == dataset, gallery.dataset == dataset
        if not restricted:
            yield np.flatnonzero(in_queries), np.flatnonzero(in_gallery)
            continue
        for viewpoint in sorted(set(queries.viewpoint[in_queries])):
            fits = (gallery.viewpoint == viewpoint) | (gallery.viewpoint == "") if viewpoint else True
            yield np.flatnonzero(in_queries & (queries.viewpoint == viewpoint)), np.flatnonzero(in_gallery & fits)
