"""The shortlist, on vectors small enough to multiply by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import Row, embeddings_of, image_table

from animalclef.config import RetrieveConfig
from animalclef.retrieval.knn import retrieve
from animalclef.structures import ImageTable, Shortlist


def listed(shortlist: Shortlist) -> dict[str, list[str]]:
    """Gallery ids by query id, in order."""
    return {
        query: [shortlist.gallery_id[one] for one in row[row >= 0]]
        for query, row in zip(shortlist.query_id, shortlist.index, strict=True)
    }


def of(images: ImageTable, values: list[list[float]], **settings: object) -> Shortlist:
    return retrieve(images.queries, images.gallery, embeddings_of(images, values), RetrieveConfig(**settings))


def test_best_first_with_their_inner_products() -> None:
    images = image_table([Row("q"), Row("g0", "a"), Row("g1", "b"), Row("g2", "c")])
    shortlist = of(images, [[1, 0], [0.6, 0.8], [0, 1], [0.8, 0.6]], top_k=2)
    assert listed(shortlist) == {"q": ["g2", "g0"]}
    np.testing.assert_allclose(shortlist.similarity, [[0.8, 0.6]], rtol=1e-6)
    assert shortlist.pair_count == 2


def test_slots_without_a_candidate_hold_minus_one_and_nan() -> None:
    images = image_table([Row("q"), Row("g0", "a")])
    shortlist = of(images, [[1.0], [1.0]], top_k=4)
    assert shortlist.index.tolist() == [[0, -1, -1, -1]]
    np.testing.assert_array_equal(shortlist.similarity, [[1, np.nan, np.nan, np.nan]])


def test_an_empty_gallery_and_no_queries() -> None:
    lonely = of(image_table([Row("q")]), [[1.0]], top_k=3)
    assert lonely.index.tolist() == [[-1, -1, -1]]
    idle = of(image_table([Row("g0", "a")]), [[1.0]], top_k=3)
    assert idle.index.shape == (0, 3)


def test_only_the_own_data_set_is_searched() -> None:
    images = image_table([Row("q"), Row("n", "a", dataset="newt"), Row("l", "b"), Row("p", dataset="newt")])
    shortlist = of(images, [[1, 0], [1, 0], [0, 1], [0, 1]])
    assert listed(shortlist) == {"q": ["l"], "p": ["n"]}


def test_a_photograph_is_never_its_own_candidate() -> None:
    gallery = image_table([Row(f"g{row}", "a") for row in range(5)])
    values = embeddings_of(gallery, [[1.0, 0.0]] * 5)
    shortlist = retrieve(gallery, gallery, values, RetrieveConfig(top_k=4))
    for query, candidates in listed(shortlist).items():
        assert sorted(candidates) == sorted({f"g{row}" for row in range(5)} - {query})


def test_hidden_photographs_are_left_out_and_do_not_cost_a_slot() -> None:
    gallery = image_table([Row(f"g{row}", "a") for row in range(4)])
    values = embeddings_of(gallery, [[1, 0], [1, 0.1], [1, 0.2], [1, 0.3]])
    hidden = {"g0": frozenset({"g3", "g2", "elsewhere"})}
    shortlist = retrieve(gallery, gallery, values, RetrieveConfig(top_k=2), hidden)
    assert listed(shortlist)["g0"] == ["g1"]
    assert len(listed(shortlist)["g1"]) == 2


@pytest.mark.parametrize(
    ("same_viewpoint", "restricted"),
    [(True, True), (("lynx",), True), (("newt",), False), (False, False), ("auto", False)],
)
def test_same_viewpoint(same_viewpoint: object, restricted: bool) -> None:
    rows = [Row("q", viewpoint="left"), Row("r"), Row("l", "a", "left"), Row("o", "b", "right"), Row("n", "c")]
    images = image_table(rows)
    shortlist = of(images, [[1, 0], [1, 0], [1, 0], [1, 0.2], [1, 0.1]], same_viewpoint=same_viewpoint)
    assert set(listed(shortlist)["q"]) == ({"l", "n"} if restricted else {"l", "o", "n"})
    assert set(listed(shortlist)["r"]) == {"l", "o", "n"}  # a query without a viewpoint sees all


@pytest.mark.parametrize("queries", [1, 30])
@pytest.mark.parametrize("top_k", [1, 3, 6])
def test_equal_candidates_come_in_gallery_order(queries: int, top_k: int) -> None:
    gallery = [Row(f"g{row}", "a") for row in range(6)]
    images = image_table([Row(f"q{row}") for row in range(queries)] + gallery)
    shortlist = of(images, [[1.0, 0.0]] * (queries + 6), top_k=top_k)
    assert shortlist.index.tolist() == [list(range(top_k))] * queries


def test_an_image_without_an_embedding_is_named() -> None:
    images = image_table([Row("q"), Row("g0", "a")])
    some = embeddings_of(images.queries, [[1.0]])
    with pytest.raises(ValueError, match=r"1 images have no embedding.*g0"):
        retrieve(images.queries, images.gallery, some, RetrieveConfig())


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 25), st.integers(0, 12), st.integers(1, 15), st.integers(0, 10**6))
def test_the_list_is_the_sorted_gallery(queries: int, gallery: int, top_k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = image_table([Row(f"q{row}") for row in range(queries)] + [Row(f"g{row}", "a") for row in range(gallery)])
    values = rng.normal(size=(queries + gallery, 5)).astype(np.float32)
    shortlist = of(images, values.tolist(), top_k=top_k)
    products = values[:queries] @ values[queries:].T
    for row in range(queries):
        expected = np.argsort(-products[row])[:top_k]
        assert listed(shortlist)[f"q{row}"] == [f"g{one}" for one in expected]
        found = shortlist.similarity[row]
        np.testing.assert_allclose(found[: len(expected)], products[row, expected], rtol=1e-4, atol=1e-5)
        assert np.isnan(found[len(expected) :]).all()
