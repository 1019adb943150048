"""Partition photographs into individuals by the probabilities of their pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from animalclef.clustering.constraints import Forest

__all__ = ["METHODS", "MOST_DENSE", "Method", "Partitioner", "attach", "numbered_in_order"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

METHODS = ("average-linkage", "union-find")
Method = str  # one of METHODS

MOST_DENSE = 15_000  # photographs: above, the distances of all pairs take more than a gigabyte
_SMALLEST = 1e-9  # distance of photographs that nobody has joined: those that somebody has are nearer


def attach(
    forest: Forest, best: Sequence[str | None], probability: Floats, lead: Floats, threshold: float, margin: float
) -> None:
    """Name the components of photographs whose best known individual is probable enough, the most probable first.

    `best`, `probability` and `lead` (log-odds over the second individual) are (n,). What the forest rules out is left.
    """
    for node in np.argsort(-probability, kind="stable").tolist():
        if probability[node] < threshold:
            break
        name = best[node]
        if name is not None and lead[node] >= margin and forest.may_be(node, name):
            forest.call(node, name)


@dataclass(eq=False)
class Partitioner:
    """Partitions of some photographs at any cut; pairs that are absent have probability 0.

    `average-linkage` joins the two clusters with the highest mean probability over all of their pairs, `union-find` the
    two photographs with the highest probability, up to `largest` photographs in one cluster. Photographs that a forest
    joins stay together, and those that it holds apart stay apart.
    """

    forest: Forest  # over n photographs; it is left as it is
    first: Integers  # (p,) rows below those of `second`
    second: Integers  # (p,)
    probability: Floats  # (p,)
    method: Method = "average-linkage"
    largest: float = float("inf")

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {self.method}.")
        self._roots, self._place = np.unique(self.forest.components(), return_inverse=True)
        self._dense = self.method == "average-linkage" and 1 < len(self._place) <= MOST_DENSE
        self._tree = self._linked() if self._dense else None

    def at(self, cut: float) -> Integers:
        """Return a cluster number for every photograph, (n,), in order of first appearance.

        Clusters are joined where the mean probability (of a pair, by `union-find`) is at least `cut`, in (0, 1].
        """
        if self._tree is not None:
            return numbered_in_order(fcluster(self._tree, 1 - cut + 2 * _SMALLEST, criterion="distance"))
        return numbered_in_order(self._grown(cut))

    def _linked(self) -> NDArray[np.float64]:
        n = len(self._place)
        distance = np.ones(n * (n - 1) // 2)
        distance[_condensed(n, self.first, self.second)] = np.clip(1 - self.probability, _SMALLEST, 1)
        members: dict[int, Integers] = {}
        order = np.argsort(self._place, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(self._place[order])) + 1):
            members[int(self._roots[self._place[rows[0]]])] = rows
            if len(rows) > 1:
                left, right = np.triu_indices(len(rows), 1)
                distance[_condensed(n, rows[left], rows[right])] = 0
        for one, other in self.forest.apart():
            a, b = np.meshgrid(members[one], members[other])
            distance[_condensed(n, np.minimum(a, b).ravel(), np.maximum(a, b).ravel())] = float(n) ** 2
        return np.asarray(linkage(distance, "average"))

    def _grown(self, cut: float) -> Integers:
        """Join pairs by falling probability; a join that breaks a constraint is skipped."""
        forest = Forest(len(self._roots))
        for row, size in zip(range(len(self._roots)), np.bincount(self._place).tolist(), strict=True):
            forest.size[row] = size
        place = {int(root): row for row, root in enumerate(self._roots)}
        for one, other in self.forest.apart():
            forest.hold_apart(place[one], place[other])
        for pair in np.argsort(-self.probability, kind="stable").tolist():
            if self.probability[pair] < cut:
                break
            one, other = int(self._place[self.first[pair]]), int(self._place[self.second[pair]])
            if forest.may_join(one, other, self.largest):
                forest.join(one, other)
        return np.asarray(forest.components(), dtype=np.int64)[self._place]


def numbered_in_order(labels: NDArray[np.generic]) -> Integers:
    """Return the labels as numbers from 0 in order of first appearance.

    >>> numbered_in_order(np.array([7, 3, 7, 9])).tolist()
    [0, 1, 0, 2]
    """
    _, first, place = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[place]


def _condensed(n: int, first: Integers, second: Integers) -> Integers:
    """Return where scipy's condensed matrix holds the pairs, whose rows are below their columns."""
    return np.asarray(n * first - first * (first + 1) // 2 + second - first - 1)
