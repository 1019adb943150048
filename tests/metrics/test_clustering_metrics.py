"""Agreement of clusters with individuals, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from animalclef.metrics.clustering_metrics import agreement, score_clusters, score_datasets


def texts(*values: str) -> np.ndarray:
    return np.array(values, dtype=object)


def test_adjusted_rand_index_and_pairs_of_six_photographs() -> None:
    # Individuals aaa bbb, clusters 0 0 1 1 2 2: the pairs (0, 1) and (4, 5) are right, (2, 3) is wrong.
    score = score_clusters(texts("a", "a", "a", "b", "b", "b"), np.array([0, 0, 1, 1, 2, 2]))
    assert score.precision == pytest.approx(2 / 3)
    assert score.recall == pytest.approx(2 / 6)
    # index 2, expected 6 * 3 / 15 = 1.2, largest (6 + 3) / 2 = 4.5
    assert score.ari == pytest.approx((2 - 1.2) / (4.5 - 1.2))
    assert (score.photographs, score.clusters, score.individuals) == (6, 3, 2)


def test_equal_partitions_score_one_and_one_cluster_scores_zero() -> None:
    truth = texts("a", "a", "b", "c")
    equal = score_clusters(truth, np.array([9, 9, 4, 1]))
    assert (equal.ari, equal.ami, equal.precision, equal.recall) == (1.0, 1.0, 1.0, 1.0)
    one = score_clusters(truth, np.zeros(4))
    assert (one.ari, one.recall) == (0.0, 1.0)
    assert one.ami == pytest.approx(0.0, abs=1e-12)
    alone = score_clusters(truth, np.arange(4))
    assert math.isnan(alone.precision)
    assert alone.recall == 0.0


def test_the_score_is_the_plain_mean_over_data_sets() -> None:
    truth, cluster = texts("a", "a", "b", "b", "a", "a"), texts("x", "x", "y", "y", "x", "y")
    scores = score_datasets(truth, cluster, texts("N", "N", "N", "N", "T", "T"))
    assert list(scores.datasets) == ["N", "T"]
    assert scores.datasets["N"].ari == 1.0
    assert scores.datasets["T"].ari == 0.0
    assert scores.ari == 0.5
    assert agreement(np.array([0, 0, 1]), np.array([1, 1, 0])) == 1.0


def test_both_indices_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    for size, groups in ((1, 1), (2, 2), (40, 3), (60, 60), (150, 40), (300, 120)):
        truth, cluster = rng.integers(0, groups, size), rng.integers(0, groups, size)
        half = np.where(rng.random(size) < 0.5, truth, cluster)
        for one, other in ((truth, cluster), (truth, half), (truth, np.zeros(size, int)), (truth, np.arange(size))):
            score = score_clusters(one, other)
            assert score.ari == pytest.approx(adjusted_rand_score(one, other), abs=1e-9)
            if size > 2:  # versions of scikit-learn differ about one photograph, and about two
                assert score.ami == pytest.approx(adjusted_mutual_info_score(one, other), abs=1e-7)
