"""Partition photographs into individuals by the probabilities of their pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np
import pandas as pd

from animalclef.clustering.constraints import Forest
from animalclef.structures.arrays import Floats, Integers

__all__ = ["LOWEST_CUT", "Partitioner", "attach"]


LOWEST_CUT = 0.01
_ROUNDING = 1e-9  # of a mean probability


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
    """Partitions of some photographs by average linkage, at any cut; pairs that are absent have probability 0.

    The two clusters with the highest mean probability over all of their pairs are joined first. Photographs that a
    forest joins stay together, and those that it holds apart stay apart. Time and memory grow with the pairs that are
    there, not with the square of the photographs.
    """

    forest: Forest  # over n photographs; it is left as it is
    first: Integers  # (p,) rows below those of `second`
    second: Integers  # (p,)
    probability: Floats  # (p,)

    def __post_init__(self) -> None:
        roots, self._place = np.unique(self.forest.components(), return_inverse=True)
        place = {int(root): row for row, root in enumerate(roots)}
        apart: list[set[int]] = [set() for _ in roots]
        for one, other in self.forest.apart():
            apart[place[one]].add(place[other])
            apart[place[other]].add(place[one])
        named = self.forest.named()
        self._joins = self._joined([int(root) in named for root in roots], apart)

    def at(self, cut: float) -> Integers:
        """Return a cluster number for every photograph, (n,), in order of first appearance.

        Clusters are joined where the mean probability is at least `cut`, from LOWEST_CUT to 1.
        """
        count = int(self._place.max(initial=-1)) + 1
        joins = [pair for mean, *pair in self._joins if mean >= cut - _ROUNDING]
        top = list(range(count + len(joins)))
        for number in range(len(joins) - 1, -1, -1):
            for part in joins[number]:
                top[part] = top[count + number]
        return pd.factorize(np.array(top[:count], dtype=np.int64)[self._place])[0]

    def _joined(self, named: list[bool], apart: list[set[int]]) -> list[tuple[float, int, int]]:
        """Return every join with its mean probability, which falls; the n-th of c components' makes cluster c + n."""
        count = len(named)
        size = np.bincount(self._place, minlength=count).tolist()
        near = self._sums(count)
        heap = [(-total / (size[a] * size[b]), a, b) for a in range(count) for b, total in near[a].items()
                if a < b and b not in apart[a] and not (named[a] and named[b])]  # fmt: skip
        heapify(heap)
        joins: list[tuple[float, int, int]] = []
        gone = [False] * count
        while heap:
            height, a, b = heappop(heap)
            if -height < LOWEST_CUT - _ROUNDING:
                break
            if gone[a] or gone[b]:
                continue
            new = len(size)
            joins.append((-height, a, b))
            gone[a] = gone[b] = True
            gone.append(False)
            size.append(size[a] + size[b])
            named.append(named[a] or named[b])
            few, many = sorted((near[a], near[b]), key=len)
            for other, total in few.items():
                many[other] = many.get(other, 0.0) + total
            near.append({other: total for other, total in many.items() if not gone[other]})
            apart.append(apart[a] | apart[b])
            for other in apart[new]:
                apart[other].add(new)
            for other, total in near[new].items():
                near[other][new] = total
                mean = total / (size[new] * size[other])
                free = other not in apart[new] and not (named[other] and named[new])
                if free and mean >= LOWEST_CUT - _ROUNDING:
                    heappush(heap, (-mean, other, new))
            near[a] = near[b] = {}
        return joins

    def _sums(self, count: int) -> list[dict[int, float]]:
        """Return for every component the sum of probabilities to each other one that it has pairs with."""
        near: list[dict[int, float]] = [{} for _ in range(count)]
        pairs = zip(self._place[self.first].tolist(), self._place[self.second].tolist(), self.probability.tolist(),
                    strict=True)  # fmt: skip
        for a, b, p in pairs:
            if a != b:
                near[a][b] = near[b][a] = near[a].get(b, 0.0) + p
        return near
