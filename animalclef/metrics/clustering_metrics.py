"""How well clusters agree with individuals: adjusted Rand index, adjusted mutual information, pairs, counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from animalclef.structures import StrArray

__all__ = ["ClusterScore", "ClusterScores", "agreement", "score_clusters", "score_datasets"]


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
    who, what = (np.unique(labels.astype(str), return_inverse=True)[1] for labels in (truth, cluster))
    both = np.unique(np.stack([who, what]), axis=1, return_counts=True)[1]
    shared, together, same = (_pairs(counts) for counts in (both, np.bincount(what), np.bincount(who)))
    return ClusterScore(
        ari=float(adjusted_rand_score(who, what)),
        ami=float(adjusted_mutual_info_score(who, what)),
        precision=shared / together if together else float("nan"),
        recall=shared / same if same else float("nan"),
        photographs=len(who),
        clusters=len(set(what.tolist())),
        individuals=len(set(who.tolist())),
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
    return float(adjusted_rand_score(truth, cluster) + adjusted_mutual_info_score(truth, cluster)) / 2


def _pairs(counts: NDArray[np.int64]) -> int:
    """Return how many pairs lie in groups of these sizes."""
    return int((counts * (counts - 1) // 2).sum())
