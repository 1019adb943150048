"""How arms are measured, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from animalclef.training.study.run_study import _sent
from animalclef.training.study.study_scores import Asked, score_dataset, thinned

ANGLE = {"a": 0, "b": 90}


def asked() -> Asked:
    """Two data sets; in A three gallery photographs of a and one of b, and three queries."""
    identity = np.array(["a", "a", "a", "b", "a", "b", "c", "x", "x"], dtype=object)
    dataset = np.array(["A"] * 7 + ["B"] * 2, dtype=object)
    return Asked(identity, dataset, np.arange(9).astype(str), np.array([0, 1, 2, 3, 7]), np.array([4, 5, 6, 8]))


def at(*degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


# gallery a a a b, queries a (right), b (nearest is an a), c (nobody to be found); B apart
VECTORS = at(0, 5, 10, 80, 3, 30, 50, 180, 185)


def test_rank_1_over_those_that_can_be_found() -> None:
    figures = score_dataset(asked(), "A", VECTORS)
    assert figures.queries == 2
    assert figures.measures["rank-1"] == 0.5
    assert figures.measures["rank-5"] == 1.0
    assert score_dataset(asked(), "B", VECTORS).measures["rank-1"] == 1.0


def test_a_query_sent_elsewhere_counts_as_not_found() -> None:
    routed = np.ones(9, dtype=bool)
    assert score_dataset(asked(), "A", VECTORS, routed).measures["rank-1"] == 0.5
    routed[4] = False
    assert score_dataset(asked(), "A", VECTORS, routed).measures["rank-1"] == 0.0
    assert score_dataset(asked(), "A", VECTORS, routed).measures["rank-5"] == 0.5
    assert score_dataset(asked(), "A", VECTORS, routed).queries == 2
    assert score_dataset(asked(), "A", VECTORS, np.zeros(9, dtype=bool)).measures["rank-1"] == 0.0


def test_a_router_sends_a_query_where_its_nearest_photograph_is() -> None:
    sent = _sent(VECTORS, asked())
    assert sent[[4, 5, 6, 8]].tolist() == ["A", "A", "A", "B"]
    assert sent[0] is None
    turned = VECTORS.copy()
    turned[5] = at(170)[0]
    assert _sent(turned, asked())[5] == "B"


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_thinned_gallery_has_at_most_so_many_of_each(most: int) -> None:
    thin = thinned(asked(), most, seed=0)
    assert thin.query.tolist() == asked().query.tolist()
    names = asked().identity[thin.gallery].tolist()
    assert [names.count("a"), names.count("b"), names.count("x")] == [most, 1, 1]
    assert set(thin.gallery) <= set(asked().gallery)
    assert (thinned(asked(), most, seed=0).gallery == thin.gallery).all()
    assert set(thin.gallery) <= set(thinned(asked(), most + 1, seed=0).gallery)


def test_nobody_to_be_found_is_no_figure_with_and_without_a_router() -> None:
    lonely = Asked(asked().identity, asked().dataset, asked().event, np.array([3, 7]), np.array([4, 6]))
    for routed in (None, np.ones(9, dtype=bool), np.zeros(9, dtype=bool)):
        figures = score_dataset(lonely, "A", VECTORS, routed)
        assert figures.queries == 0
        assert np.isnan(figures.measures["rank-1"])


def test_a_photograph_that_cannot_be_read_is_no_candidate() -> None:
    vectors = VECTORS.copy()
    vectors[4] = -vectors[0]  # opposite to its own photographs: a vector of zeros would be nearer than they are
    vectors[3] = 0  # the only photograph of b
    figures = score_dataset(asked(), "A", vectors)
    assert figures.queries == 1
    assert figures.measures["rank-1"] == 1.0


def test_without_a_gallery_queries_see_each_other() -> None:
    one = Asked(asked().identity, asked().dataset, asked().event, np.array([], dtype=np.int64), np.arange(7))
    figures = score_dataset(one, "A", VECTORS)
    assert figures.queries == 6  # c is alone
