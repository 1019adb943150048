"""Where a partition is most likely wrong."""

from __future__ import annotations

import numpy as np
import pytest
from rows import strings

from animalclef.clustering.doubts import suspected_merges, suspected_splits
from animalclef.structures.clusters import Clusters, Links

# a, b, c are one cluster, d and e another, f is the known Ada, g the known Bo
NAMES = "abcdefg"
NUMBER = [0, 0, 0, 1, 1, 2, 3]


def clusters(links: dict[str, float], number: list[int] = NUMBER) -> Clusters:
    first, second = (strings(*[pair[at] for pair in links]) for at in (0, 1))
    return Clusters(
        strings(*NAMES), strings(*["Newts"] * 7), np.array(number), strings(*[None] * 5, "Ada", "Bo"),
        links=Links(first, second, np.array(list(links.values()))),
    )  # fmt: skip


def test_a_cluster_is_divided_at_its_weakest_link() -> None:
    weak, strong = suspected_merges(clusters({"ab": 0.9, "bc": 0.5, "ac": 0.3, "ed": 0.8, "cf": 0.7}))
    assert (weak.clusters, weak.first, weak.second) == (("cluster_Newts_0",) * 2, "b", "c")
    assert (weak.probability, weak.mean, weak.photographs) == (0.5, pytest.approx((0.5 + 0.3) / 2), (2, 1))
    assert {strong.first, strong.second} == {"d", "e"}
    assert strong.mean == 0.8


def test_photographs_that_no_link_joins_are_the_weakest() -> None:
    first, second = suspected_merges(clusters({"ab": 0.9, "de": 0.4}))
    assert (first.probability, first.mean, first.photographs) == (0.0, 0.0, (2, 1))  # c was joined by somebody
    assert (second.mean, second.photographs) == (0.4, (1, 1))


def test_known_individuals_and_lone_photographs_are_no_suspected_merge() -> None:
    assert suspected_merges(clusters({}, [0, 1, 2, 3, 4, 5, 5])) == []


def test_splits_are_pairs_of_clusters_by_their_strongest_link() -> None:
    found = suspected_splits(clusters({"ab": 0.9, "cd": 0.4, "ae": 0.3, "cf": 0.6, "fg": 0.99}))
    assert [one.clusters for one in found] == [
        ("cluster_Newts_0", "cluster_Newts_2"),
        ("cluster_Newts_0", "cluster_Newts_1"),
    ]  # Ada and Bo are two individuals
    assert (found[1].first, found[1].second, found[1].probability) == ("c", "d", 0.4)
    assert found[1].mean == pytest.approx((0.4 + 0.3) / 6)
    assert found[1].photographs == (3, 2)


def test_nothing_to_doubt() -> None:
    nothing = Clusters(strings(), strings(), np.zeros(0, dtype=np.int64), strings())
    assert suspected_merges(nothing) == suspected_splits(nothing) == []
