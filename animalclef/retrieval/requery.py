"""Two more scores of a shortlist, from embeddings alone: query expansion and k-reciprocal neighbours.

Both look at the whole list, so a query that does not see some candidate must have it left out here as well.
"""

from __future__ import annotations

import numpy as np

from animalclef.config import RetrieveConfig
from animalclef.structures import Embeddings, FloatArray, Shortlist
from animalclef.structures.arrays import BoolArray, Floats, rows_in

__all__ = ["rescore"]


def rescore(
    shortlist: Shortlist, embeddings: Embeddings, config: RetrieveConfig, visible: BoolArray | None = None
) -> dict[str, FloatArray]:
    """Return one (q, k) array per name in `config.rescore`; NaN where there is no candidate or it is not `visible`."""
    queries, gallery = (rows_in(embeddings.image_id, ids) for ids in (shortlist.query_id, shortlist.gallery_id))
    seen = shortlist.index >= 0 if visible is None else visible
    shape = shortlist.index.shape
    scores: dict[str, FloatArray] = {name: np.full(shape, np.nan, dtype=np.float32) for name in config.rescore}
    for row, query_row in enumerate(queries):
        slots = np.flatnonzero(seen[row])
        if not len(slots):
            continue
        query = embeddings.values[query_row].astype(np.float64)
        candidates = embeddings.values[gallery[shortlist.index[row, slots]]].astype(np.float64)
        for name in config.rescore:
            how = _expanded if name == "expanded" else _reciprocal
            scores[name][row, slots] = how(query, candidates, config.neighbours)
    return scores


def _expanded(query: Floats, candidates: Floats, neighbours: int) -> Floats:
    """Cosine with the query moved towards its nearest candidates, each weighted by the cube of its own cosine (alpha
    query expansion: Radenovic, Tolias and Chum 2018).
    """
    cosine = candidates @ query
    nearest = np.argsort(-cosine, kind="stable")[:neighbours]
    moved = query + (np.maximum(cosine[nearest], 0) ** 3) @ candidates[nearest]
    return np.asarray(candidates @ moved / max(float(np.linalg.norm(moved)), 1e-12))


def _reciprocal(query: Floats, candidates: Floats, neighbours: int) -> Floats:
    """Half the cosine, half the Jaccard overlap of k-reciprocal neighbours (Zhong, Zheng, Cao and Li 2017), all within
    the query and its list.
    """
    everyone = np.concatenate([query[None], candidates])
    cosine = everyone @ everyone.T
    near = np.argsort(-cosine, axis=1, kind="stable")[:, : neighbours + 1]  # each is its own nearest
    is_near = np.zeros(cosine.shape, dtype=bool)
    np.put_along_axis(is_near, near, True, axis=1)
    weight = np.where(is_near & is_near.T, np.exp(cosine - 1), 0.0)
    shared = np.minimum(weight[0], weight[1:]).sum(axis=1)
    either = np.maximum(weight[0], weight[1:]).sum(axis=1)
    return np.asarray((cosine[0, 1:] + shared / np.maximum(either, 1e-12)) / 2)
