"""Candidates of two sources, united in turn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from rows import Row, embeddings_of, image_table, strings
from tiny import make_tiny_data, read_csv
from whole_run import predict

from animalclef.pipeline.candidate_search import VoteColumns, united
from animalclef.structures import Shortlist, Votes

NAN = np.nan


def listed(rows: Sequence[Sequence[int]], base: float) -> Shortlist:
    """Similarity counts down from `base` in tenths; votes are 10 times the index."""
    index = np.array(rows, dtype=np.int32).reshape(len(rows), -1)
    similarity = np.where(index >= 0, base - np.arange(index.shape[1]) / 10, NAN).astype(np.float32)
    vote = np.where(index >= 0, 10.0 * index, NAN).astype(np.float32)
    ids = strings(*[f"q{row}" for row in range(len(rows))])
    return Shortlist(ids, strings(*[f"g{row}" for row in range(9)]), index, similarity, vote)


def test_first_of_each_then_second_of_each_without_repeats() -> None:
    both = united([listed([[3, 1, 2, 0]], 0.9), listed([[1, 5, 3, 8]], 0.5)], 6)
    assert both.index.tolist() == [[3, 1, 5, 2, 0, 8]]
    np.testing.assert_allclose(both.similarity, [[0.9, 0.5, 0.4, 0.7, 0.6, 0.2]], rtol=1e-6)  # as first named
    assert both.vote is not None
    assert both.vote.tolist() == [[30, 10, 50, 20, 0, 80]]


def test_the_union_is_no_longer_than_top_k_and_ends_with_empty_slots() -> None:
    one, other = listed([[0, 1, 2], [4, -1, -1]], 1), listed([[5, 6, 7], [4, 3, -1]], 1)
    both = united([one, other], 3)
    assert both.index.tolist() == [[0, 5, 1], [4, 3, -1]]
    assert np.isnan(both.similarity[1, 2])
    assert united([one], 3) is one


def test_nothing_to_unite() -> None:
    empty = listed([[-1, -1]], 1)
    assert united([empty, empty], 2).index.tolist() == [[-1, -1]]
    none = Shortlist(strings(), strings(), np.zeros((0, 2), np.int32), np.zeros((0, 2), np.float32))
    assert united([none, none], 2).index.shape == (0, 2)


def test_what_only_the_vote_found_has_its_similarity() -> None:
    images = image_table([Row("q"), Row("g0", "a"), Row("g1", "b"), Row("g2", "c"), Row("g3", "d")])
    lists = {"embedding": Shortlist(
        images.queries.image_id, images.gallery.image_id, np.array([[0, 2, -1]], np.int32), np.zeros((1, 3), np.float32)
    )}  # fmt: skip
    columns = VoteColumns(lists, images.queries, images.gallery, 4)
    columns.take(0, Votes(np.array([1, 2, 3]), np.array([2, 5, 2], np.float32)))
    both = columns.lists(embeddings_of(images, [[1, 0], [1, 0], [0.6, 0.8], [0.8, 0.6], [0, 1]]))
    np.testing.assert_array_equal(both["embedding"].vote, [[0, 5, NAN]])
    found = both["vote"]
    assert found.index.tolist() == [[2, 1, 3, -1]]  # equal ones in gallery order, no candidate without a vote
    np.testing.assert_allclose(found.similarity, [[0.8, 0.6, 0, NAN]], rtol=1e-6)
    assert found.vote is not None
    np.testing.assert_array_equal(found.vote, [[5, 2, 2, NAN]])


@pytest.mark.parametrize("sources", ["[embedding]", "[vote]", "[vote,embedding]"])
def test_a_whole_run_with_either_source(sources: str, tmp_path: Path) -> None:
    data = make_tiny_data(tmp_path / "data", datasets=("NewtID",), individuals=3, unknown=1)
    predict(data, tmp_path / "run", f"retrieve.sources={sources}", "retrieve.top_k=5")
    rows = read_csv(tmp_path / "run" / "candidates.csv")
    assert ("vote" in rows[0]) == ("vote" in sources)
    assert all(row["similarity"] for row in rows)
    assert max(sum(row["query_id"] == one["query_id"] for row in rows) for one in rows) <= 5
    if "vote" in sources:
        assert all(float(row["vote"]) >= 0 for row in rows)
