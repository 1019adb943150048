"""Find where a partition is most likely wrong: weak links inside of clusters, and strong ones between them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from animalclef.clustering.constraints import Forest
from animalclef.structures.arrays import Floats, Integers, rows_in
from animalclef.structures.clusters import Clusters

__all__ = ["Doubt", "suspected_merges", "suspected_splits"]


@dataclass(frozen=True)
class Doubt:
    """Two groups of photographs that may be one individual or two, and the strongest pair between them.

    The groups are the two parts of one cluster at its weakest link, or two clusters.
    """

    clusters: tuple[str, str]  # labels, the same one twice for a suspected merge
    first: str  # image_id in the first group
    second: str
    probability: float  # of this pair; 0 where no pair of the groups was matched
    mean: float  # probability over all pairs of the groups
    photographs: tuple[int, int]  # of each group


def suspected_merges(clusters: Clusters) -> list[Doubt]:
    """Return the clusters of new individuals, each divided at its weakest link, the weakest one first.

    The parts of a cluster are those that its strongest links make before the last one joins them.

    Example:
        >>> from animalclef.structures.clusters import Links
        >>> names = np.array(["a", "b", "c"], dtype=object)
        >>> links = Links(names[[0, 1]], names[[1, 2]], np.array([0.9, 0.6]))
        >>> one = Clusters(names, np.full(3, "Newts", object), np.zeros(3, int), np.full(3, None), links=links)
        >>> [(found.first, found.second, found.mean, found.photographs) for found in suspected_merges(one)]
        [('b', 'c', 0.3, (2, 1))]
    """
    number, first, second, p = _numbered(clusters)
    inside = number[first] == number[second]
    doubts = []
    order = np.flatnonzero(inside)[np.argsort(-p[inside], kind="stable")]
    edges: dict[int, list[int]] = defaultdict(list)
    for edge in order.tolist():
        edges[int(number[first[edge]])].append(edge)
    members = np.split(np.argsort(number, kind="stable"), np.cumsum(np.bincount(number))[:-1]) if len(number) else []
    for which, rows in enumerate(members):
        if len(rows) > 1 and None in clusters.individual[rows]:
            mine = np.array(edges[which], dtype=np.int64)
            doubts.append(_weakest(clusters, rows, first[mine], second[mine], p[mine]))
    return sorted(doubts, key=lambda one: one.mean)


def suspected_splits(clusters: Clusters) -> list[Doubt]:
    """Return the pairs of clusters with a link, the most probable one first; two known individuals are no doubt."""
    number, first, second, p = _numbered(clusters)
    known = np.array([who is not None for who in clusters.individual], dtype=bool)
    between = (number[first] != number[second]) & (clusters.dataset[first] == clusters.dataset[second])
    kept = np.flatnonzero(between & ~(known[first] & known[second]))
    sizes = np.bincount(number)
    total: dict[tuple[int, int], float] = defaultdict(float)
    best: dict[tuple[int, int], int] = {}
    for edge in kept[np.argsort(-p[kept], kind="stable")].tolist():
        one, other = sorted((int(number[first[edge]]), int(number[second[edge]])))
        pair = (one, other)
        best.setdefault(pair, edge)
        total[pair] += float(p[edge])
    doubts, label = [], clusters.label
    for pair, edge in best.items():
        a, b = int(first[edge]), int(second[edge])
        mine = (int(sizes[number[a]]), int(sizes[number[b]]))
        doubts.append(Doubt((label[a], label[b]), clusters.image_id[a], clusters.image_id[b], float(p[edge]),
                            total[pair] / (mine[0] * mine[1]), mine))  # fmt: skip
    return doubts


def _weakest(clusters: Clusters, rows: Integers, first: Integers, second: Integers, p: Floats) -> Doubt:
    """Return a cluster's two parts; `first`, `second` and `p` are the links inside of it, the strongest ones first."""
    place = {row: at for at, row in enumerate(rows.tolist())}
    forest, joined = Forest(len(rows)), 0
    one, other = [place[row] for row in first.tolist()], [place[row] for row in second.tolist()]
    for a, b in zip(one, other, strict=True):
        if forest.root(a) != forest.root(b):
            if joined == len(rows) - 2:
                break
            forest.join(a, b)
            joined += 1
    part = np.array(forest.components()) == forest.root(0)
    across = np.flatnonzero(part[one] != part[other]) if len(one) else np.zeros(0, dtype=np.int64)
    ends = (int(rows[part.argmax()]), int(rows[(~part).argmax()]))
    if len(across):
        ends = (int(first[across[0]]), int(second[across[0]]))
        ends = ends if part[place[ends[0]]] else ends[::-1]
    sizes = (int(part.sum()), int((~part).sum()))
    label = str(clusters.label[rows[0]])
    strongest = float(p[across[0]]) if len(across) else 0.0
    ids = clusters.image_id
    return Doubt(
        (label, label), ids[ends[0]], ids[ends[1]], strongest, float(p[across].sum()) / (sizes[0] * sizes[1]), sizes
    )


def _numbered(clusters: Clusters) -> tuple[Integers, Integers, Integers, Floats]:
    """Return a number over all data sets for every photograph's cluster, then rows and probability of the links."""
    number, links = np.unique(clusters.label.astype(str), return_inverse=True)[1], clusters.links
    first, second = (rows_in(clusters.image_id, ids) for ids in (links.first, links.second))
    return number, first, second, links.probability
