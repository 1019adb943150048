"""Must-links and cannot-links: what follows from them, and what contradicts."""

from __future__ import annotations

import pytest

from animalclef.clustering.constraints import Constraints, Forest, constrained
from animalclef.errors import DataError

QUERIES = ["a", "b", "c", "d"]
DATABASE = {"x1": "Xena", "x2": "Xena", "y1": "Yuki"}


def groups(forest: Forest, count: int = 4) -> list[set[int]]:
    roots = forest.components()
    return [{node for node in range(count) if roots[node] == root} for root in sorted(set(roots))]


def test_must_links_join_in_a_chain_whatever_lies_between() -> None:
    forest = constrained(QUERIES, Constraints([("a", "elsewhere"), ("elsewhere", "c")]), {})
    assert sorted(map(sorted, groups(forest))) == [[0, 2], [1], [3]]


def test_a_database_photograph_names_a_component_and_one_name_is_one_component() -> None:
    forest = constrained(QUERIES, Constraints([("a", "x1"), ("x2", "c")]), DATABASE)
    assert sorted(map(sorted, groups(forest))) == [[0, 2], [1], [3]]
    assert [forest.name(node) for node in range(4)] == ["Xena", None, "Xena", None]


def test_cannot_links_keep_components_and_names_apart() -> None:
    forest = constrained(QUERIES, Constraints([("a", "b")], [("b", "c"), ("y1", "d")]), DATABASE)
    assert not forest.may_join(0, 2)
    assert forest.may_join(0, 3)
    assert not forest.may_be(3, "Yuki")
    assert forest.may_be(3, "Xena")
    forest.call(0, "Yuki")
    assert not forest.may_join(1, 3)
    assert forest.apart() == [tuple(sorted((forest.root(0), 2))), tuple(sorted((forest.root(0), 3)))]


def test_joins_inherit_what_is_kept_apart() -> None:
    forest = constrained(QUERIES, Constraints([], [("a", "c")]), {})
    forest.join(0, 1)
    forest.join(2, 3)
    assert not forest.may_join(1, 3)


@pytest.mark.parametrize(
    ("constraints", "sentence"),
    [
        (Constraints([("a", "b"), ("b", "c")], [("c", "a")]), r"c = b = a, but c is not a\. Change one"),
        (Constraints([("a", "x1")], [("a", "x2")]), r"a and x2 are joined with one individual of the database"),
        (Constraints([("a", "x1"), ("a", "y1")]), r"x1 and y1 are joined, but the database calls them Xena and Yuki"),
    ],
)
def test_contradictions_are_one_sentence_that_names_the_photographs(constraints: Constraints, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        constrained(QUERIES, constraints, DATABASE)


def test_pairs_of_photographs_that_are_not_there_are_refused() -> None:
    with pytest.raises(DataError, match="must-link a and z: the data have no photograph z"):
        Constraints([("a", "z")]).check(QUERIES)
    with pytest.raises(DataError, match="cannot-link a and a: a photograph shows the same individual"):
        Constraints([], [("a", "a")]).check(QUERIES)
    Constraints([("a", "b")], [("c", "d")]).check(QUERIES)


def test_two_that_are_held_apart_never_get_one_name() -> None:
    forest = constrained(QUERIES, Constraints([], [("a", "b")]), {})
    forest.call(0, "Luna")
    assert not forest.may_be(1, "Luna")
    assert forest.may_be(2, "Luna")
    assert forest.may_be(1, "Mia")
