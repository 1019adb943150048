"""Partitions by average linkage and by union-find, with and without constraints."""

from __future__ import annotations

import numpy as np
import pytest

from animalclef.clustering.constraints import Constraints, Forest, constrained
from animalclef.clustering.partition import METHODS, Partitioner, attach

# Two tight pairs (0, 1) and (2, 3) with one middling link between 1 and 2; 4 is alone.
FIRST, SECOND = np.array([0, 2, 1]), np.array([1, 3, 2])
PROBABILITY = np.array([0.9, 0.8, 0.6])


def partitioner(method: str, forest: Forest | None = None, **more: float) -> Partitioner:
    return Partitioner(forest or Forest(5), FIRST, SECOND, PROBABILITY, method, **more)


def test_average_linkage_counts_absent_pairs_as_zero() -> None:
    part = partitioner("average-linkage")
    assert part.at(0.85).tolist() == [0, 0, 1, 2, 3]
    assert part.at(0.5).tolist() == [0, 0, 1, 1, 2]
    assert part.at(0.16).tolist() == [0, 0, 1, 1, 2]
    assert part.at(0.15).tolist() == [0, 0, 0, 0, 1]  # (0.6 + 0 + 0 + 0) / 4


def test_union_find_follows_single_links_up_to_the_largest_cluster() -> None:
    assert partitioner("union-find").at(0.61).tolist() == [0, 0, 1, 1, 2]
    assert partitioner("union-find").at(0.6).tolist() == [0, 0, 0, 0, 1]
    assert partitioner("union-find", largest=3).at(0.1).tolist() == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("method", METHODS)
def test_must_links_hold_at_every_cut_and_cannot_links_too(method: str) -> None:
    ids = list("abcde")
    forest = constrained(ids, Constraints([("a", "e")], [("b", "c"), ("a", "b")]), {})
    part = partitioner(method, forest)
    assert part.at(1.0).tolist() == [0, 1, 2, 3, 0]
    assert part.at(0.01).tolist() == [0, 1, 2, 2, 0]


@pytest.mark.parametrize("method", METHODS)
def test_no_photograph_and_one_and_equal_ones(method: str) -> None:
    nobody, none = np.zeros(0, dtype=np.int64), np.zeros(0)
    assert Partitioner(Forest(0), nobody, nobody, none, method).at(0.5).tolist() == []
    assert Partitioner(Forest(1), nobody, nobody, none, method).at(0.5).tolist() == [0]
    assert Partitioner(Forest(3), nobody, nobody, none, method).at(0.5).tolist() == [0, 1, 2]
    first, second = np.triu_indices(4, 1)
    assert Partitioner(Forest(4), first, second, np.ones(6), method).at(1.0).tolist() == [0, 0, 0, 0]


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
    for method in METHODS:
        forest = Forest(5)
        forest.call(0, "Xena")
        forest.call(1, "Yuki")
        assert len(set(partitioner(method, forest).at(0.01)[:2].tolist())) == 2


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of average-linkage, union-find, got magic"):
        partitioner("magic")


def test_thousands_of_photographs_of_one_animal_take_seconds() -> None:
    first = np.repeat(np.arange(3000), 20)
    second = np.minimum(first + np.tile(np.arange(1, 21), 3000), 2999)
    kept = first < second
    for method in METHODS:
        part = Partitioner(Forest(3000), first[kept], second[kept], np.full(int(kept.sum()), 0.99), method)
        assert part.at(0.9).max() < 3000
