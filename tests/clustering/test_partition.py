"""Partitions by average linkage, with and without constraints."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, linkage

from animalclef.clustering.constraints import Constraints, Forest, constrained
from animalclef.clustering.partition import Partitioner, attach

# Two tight pairs (0, 1) and (2, 3) with one middling link between 1 and 2; 4 is alone.
FIRST, SECOND = np.array([0, 2, 1]), np.array([1, 3, 2])
PROBABILITY = np.array([0.9, 0.8, 0.6])


def partitioner(forest: Forest | None = None) -> Partitioner:
    return Partitioner(forest or Forest(5), FIRST, SECOND, PROBABILITY)


def test_average_linkage_counts_absent_pairs_as_zero() -> None:
    part = partitioner()
    assert part.at(0.85).tolist() == [0, 0, 1, 2, 3]
    assert part.at(0.5).tolist() == [0, 0, 1, 1, 2]
    assert part.at(0.16).tolist() == [0, 0, 1, 1, 2]
    assert part.at(0.15).tolist() == [0, 0, 0, 0, 1]  # (0.6 + 0 + 0 + 0) / 4


def test_it_is_the_average_linkage_of_scipy() -> None:
    rng = np.random.default_rng(3)
    first, second = np.triu_indices(50, 1)
    kept = rng.random(len(first)) < 0.3
    probability = np.where(kept, rng.random(len(first)), 0.0)
    tree = linkage(1 - probability, "average")
    part = Partitioner(Forest(50), first[kept], second[kept], probability[kept])
    for cut in (0.05, 0.1, 0.2, 0.4, 0.8):
        expected = pd.factorize(fcluster(tree, 1 - cut, criterion="distance"))[0]
        assert part.at(cut).tolist() == expected.tolist()
    assert 1 < part.at(0.2).max() < 49


def test_must_links_hold_at_every_cut_and_cannot_links_too() -> None:
    ids = list("abcde")
    forest = constrained(ids, Constraints([("a", "e")], [("b", "c"), ("a", "b")]), {})
    part = partitioner(forest)
    assert part.at(1.0).tolist() == [0, 1, 2, 3, 0]
    assert part.at(0.01).tolist() == [0, 1, 2, 2, 0]


def test_no_photograph_and_one_and_equal_ones() -> None:
    nobody, none = np.zeros(0, dtype=np.int64), np.zeros(0)
    assert Partitioner(Forest(0), nobody, nobody, none).at(0.5).tolist() == []
    assert Partitioner(Forest(1), nobody, nobody, none).at(0.5).tolist() == [0]
    assert Partitioner(Forest(3), nobody, nobody, none).at(0.5).tolist() == [0, 1, 2]
    first, second = np.triu_indices(4, 1)
    assert Partitioner(Forest(4), first, second, np.ones(6)).at(1.0).tolist() == [0, 0, 0, 0]


def test_photographs_are_attached_by_falling_probability_above_a_threshold_with_a_margin() -> None:
    forest = constrained(list("abcde"), Constraints([("a", "b")], [("c", "y")]), {"y": "Yuki"})
    best = ["Xena", "Yuki", "Yuki", "Xena", None]
    attach(forest, best, np.array([0.9, 0.95, 0.99, 0.8, 0.0]), np.array([3.0, 3, 3, 0.5, 9]), 0.7, 1.0)
    assert [forest.name(node) for node in range(5)] == [
        "Yuki",
        "Yuki",
        None,
        None,
        None,
    ]  # c is not Yuki; d has no lead
    attach(forest, best, np.array([0.9, 0.95, 0.99, 0.8, 0.0]), np.array([3.0, 3, 3, 0.5, 9]), 0.7, 0.0)
    assert forest.name(3) == "Xena"


def test_two_known_individuals_never_share_a_cluster() -> None:
    forest = Forest(5)
    forest.call(0, "Xena")
    forest.call(1, "Yuki")
    assert len(set(partitioner(forest).at(0.01)[:2].tolist())) == 2


def test_a_third_one_that_two_known_individuals_resemble_joins_one_of_them() -> None:
    forest = Forest(3)
    forest.call(0, "Xena")
    forest.call(2, "Yuki")
    part = Partitioner(forest, np.array([0, 1]), np.array([1, 2]), np.array([0.6, 0.9]))
    assert part.at(0.01).tolist() == [0, 1, 1]


def test_ten_thousand_photographs_of_one_animal_take_seconds_and_no_cluster_grows_without_bound() -> None:
    # each is on the lists of its twenty next ones; pairs that were not matched count as 0
    first = np.repeat(np.arange(10_000), 20)
    second = first + np.tile(np.arange(1, 21), 10_000)
    kept = second < 10_000
    start = time.process_time()
    numbers = Partitioner(Forest(10_000), first[kept], second[kept], np.full(int(kept.sum()), 0.99)).at(0.5)
    assert time.process_time() - start < 30
    assert 10 < np.bincount(numbers).max() < 100  # of m photographs, at most 20 m of the m (m - 1) / 2 pairs are there


def test_memory_grows_with_the_pairs_and_not_with_the_square_of_the_photographs() -> None:
    first = np.arange(0, 100_000, 2)  # the distances of all pairs would take 40 GB
    numbers = Partitioner(Forest(100_000), first, first + 1, np.full(50_000, 0.9)).at(0.5)
    assert numbers[:4].tolist() == [0, 0, 1, 1]
    assert numbers.max() == 49_999


def test_ten_thousand_known_individuals_take_seconds() -> None:
    forest = Forest(20_000)
    names = [f"animal {row // 2}" for row in range(20_000)]
    start = time.process_time()
    attach(forest, names, np.full(20_000, 0.9), np.full(20_000, 9.0), 0.5, 0.0)
    first = np.arange(19_999)
    numbers = Partitioner(forest, first, first + 1, np.full(19_999, 0.9)).at(0.5)
    assert time.process_time() - start < 20
    assert numbers.tolist() == [row // 2 for row in range(20_000)]
