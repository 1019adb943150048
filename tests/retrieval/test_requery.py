"""Scores of whole lists, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from rows import Row, embeddings_of, image_table, strings

from animalclef.config import RetrieveConfig
from animalclef.retrieval.requery import rescore
from animalclef.structures import Shortlist

BOTH = RetrieveConfig(rescore=("expanded", "reciprocal"), neighbours=1)


def shortlist_of(*index: int) -> Shortlist:
    rows = np.array([index], dtype=np.int32)
    return Shortlist(strings("q"), strings("a", "b", "c"), rows, np.where(rows < 0, np.nan, 0.5).astype(np.float32))


def vectors() -> object:
    images = image_table([Row("q"), Row("a", "x"), Row("b", "y"), Row("c", "z")])
    return embeddings_of(images, [[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]])


def test_query_expansion_by_hand() -> None:
    scores = rescore(shortlist_of(0, 1, 2), vectors(), BOTH)["expanded"]
    moved = np.array([1, 0]) + 0.8**3 * np.array([0.8, 0.6])  # towards a, its nearest
    moved /= np.linalg.norm(moved)
    np.testing.assert_allclose(scores[0], [moved @ [0.8, 0.6], moved @ [0.6, 0.8], moved @ [0, 1]], rtol=1e-6)


def test_k_reciprocal_by_hand() -> None:
    # with one neighbour: q and c point to a and b, a and b to each other; nobody points back to q
    scores = rescore(shortlist_of(0, 1, 2), vectors(), BOTH)["reciprocal"]
    np.testing.assert_allclose(scores[0], np.array([0.8, 0.6, 0]) / 2, atol=1e-6)
    pair = rescore(shortlist_of(0, -1, -1), vectors(), BOTH)["reciprocal"]
    # alone with a, each is the other's neighbour: weights (1, e^-0.2) and (e^-0.2, 1)
    overlap = 2 * np.exp(-0.2) / 2
    np.testing.assert_allclose(pair[0], [(0.8 + overlap) / 2, np.nan, np.nan], rtol=1e-6)


def test_a_candidate_that_is_not_seen_changes_nothing_for_the_others() -> None:
    seen = np.array([[False, True, True]])
    hidden = rescore(shortlist_of(0, 1, 2), vectors(), BOTH, seen)
    without = rescore(shortlist_of(1, 2, -1), vectors(), BOTH)
    for name in BOTH.rescore:
        assert np.isnan(hidden[name][0, 0])
        np.testing.assert_array_equal(hidden[name][0, 1:], without[name][0, :2])


def test_a_query_without_candidates_and_no_rescoring() -> None:
    assert np.isnan(rescore(shortlist_of(-1, -1, -1), vectors(), BOTH)["expanded"]).all()
    assert rescore(shortlist_of(0, 1, 2), vectors(), RetrieveConfig()) == {}


@pytest.mark.parametrize("name", ["expanded", "reciprocal"])
def test_the_same_list_scores_the_same(name: str) -> None:
    one, other = (rescore(shortlist_of(2, 0, 1), vectors(), BOTH)[name] for _ in range(2))
    np.testing.assert_array_equal(one, other)
