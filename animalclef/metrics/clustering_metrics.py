"""How well clusters agree with individuals: adjusted Rand index, adjusted mutual information, pairs, counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from animalclef.structures import StrArray

__all__ = ["ClusterScore", "ClusterScores", "agreement", "score_clusters", "score_datasets"]

Counts = NDArray[np.int64]

_TINY = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class ClusterScore:
    """Agreement of the clusters of one data set with its individuals.

    `ari` and `ami` are 0 for chance and 1 for equal partitions. `precision` is the share of the pairs in one cluster
    that show one individual, `recall` the share of the pairs of one individual that are in one cluster; NaN without
    such pairs.
    """

    ari: float
    ami: float
    precision: float
    recall: float
    photographs: int
    clusters: int
    individuals: int


@dataclass(frozen=True)
class ClusterScores:
    """The score of AnimalCLEF 2026 with its parts."""

    datasets: Mapping[str, ClusterScore]

    @property
    def ari(self) -> float:
        """The competition's score: the unweighted mean of the adjusted Rand index over data sets."""
        return float(np.mean([part.ari for part in self.datasets.values()])) if self.datasets else 0.0

    @property
    def ami(self) -> float:
        """The unweighted mean of the adjusted mutual information over data sets."""
        return float(np.mean([part.ami for part in self.datasets.values()])) if self.datasets else 0.0


def score_clusters(truth: NDArray[np.generic], cluster: NDArray[np.generic]) -> ClusterScore:
    """Compare clusters with true individuals, one label per photograph each.

    >>> score = score_clusters(np.array(["a", "a", "b", "b"]), np.array([0, 0, 0, 1]))
    >>> round(score.precision, 3), score.recall, score.ari
    (0.333, 0.5, 0.0)
    """
    both, what, who = _counts(np.unique(truth.astype(str), return_inverse=True)[1], cluster)
    shared, together, same = (_pairs(counts) for counts in (both, what, who))
    return ClusterScore(
        ari=_rand(both, what, who),
        ami=_mutual_information(both, what, who),
        precision=shared / together if together else float("nan"),
        recall=shared / same if same else float("nan"),
        photographs=len(truth),
        clusters=len(what),
        individuals=len(who),
    )


def score_datasets(truth: StrArray, cluster: StrArray, dataset: StrArray) -> ClusterScores:
    """Score every data set on its own rows, as AnimalCLEF 2026 does."""
    rows = {str(name): np.flatnonzero(dataset == name) for name in sorted(set(dataset))}
    return ClusterScores({name: score_clusters(truth[mine], cluster[mine]) for name, mine in rows.items()})


def agreement(truth: NDArray[np.int64], cluster: NDArray[np.int64]) -> float:
    """Return the mean of ARI and AMI, by which a partition is chosen: ARI alone follows the largest clusters.

    >>> agreement(np.array([0, 0, 1, 1]), np.array([5, 5, 3, 3]))
    1.0
    """
    counts = _counts(truth, cluster)
    return (_rand(*counts) + _mutual_information(*counts)) / 2


def _counts(truth: Counts, cluster: NDArray[np.generic]) -> tuple[Counts, Counts, Counts]:
    """Return how many photographs each non-empty cell of the contingency table has, each cluster, each individual."""
    who = np.unique(truth, return_inverse=True)[1]
    what = np.unique(cluster.astype(str) if cluster.dtype == object else cluster, return_inverse=True)[1]
    cells = np.unique(who * (int(what.max(initial=0)) + 1) + what, return_counts=True)[1]
    return cells, np.bincount(what), np.bincount(who)


def _pairs(counts: Counts) -> int:
    """Return how many pairs lie in groups of these sizes."""
    return int((counts * (counts - 1) // 2).sum())


def _rand(both: Counts, what: Counts, who: Counts) -> float:
    """Return the adjusted Rand index (Hubert and Arabie 1985); equal partitions have 1, also where all are alone."""
    shared, together, same = _pairs(both), _pairs(what), _pairs(who)
    if shared == together == same:
        return 1.0
    total = _pairs(np.array([int(who.sum())]))
    expected = together * same / total
    return float((shared - expected) / ((together + same) / 2 - expected))


def _mutual_information(both: Counts, what: Counts, who: Counts) -> float:
    """Return the adjusted mutual information (Vinh, Epps and Bailey 2010), normalised by the mean of the entropies."""
    count = int(who.sum())
    if len(what) == len(who) == len(both):  # equal partitions
        return 1.0
    entropy_what, entropy_who, entropy_both = (_entropy(counts / count) for counts in (what, who, both))
    expected = 0.0
    for a, of_a in zip(*np.unique(what, return_counts=True), strict=True):
        for b, of_b in zip(*np.unique(who, return_counts=True), strict=True):
            expected += int(of_a) * int(of_b) * _expected_cell(int(a), int(b), count)
    most = (entropy_what + entropy_who) / 2 - expected
    return float((entropy_what + entropy_who - entropy_both - expected) / (max(most, _TINY) if most >= 0 else most))


def _entropy(share: NDArray[np.float64]) -> float:
    return float(-(share * np.log(share)).sum())


@lru_cache(maxsize=100_000)
def _expected_cell(a: int, b: int, count: int) -> float:
    """Return what a cluster of `a` and an individual of `b` photographs share in mutual information by chance."""
    n = np.arange(max(1, a + b - count), min(a, b) + 1)
    log_chance = gammaln(a + 1) + gammaln(b + 1) + gammaln(count - a + 1) + gammaln(count - b + 1) - gammaln(count + 1)
    log_chance = log_chance - gammaln(n + 1) - gammaln(a - n + 1) - gammaln(b - n + 1) - gammaln(count - a - b + n + 1)
    return float((n / count * np.log(count * n / (a * b)) * np.exp(log_chance)).sum())
