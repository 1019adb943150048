"""Rank-k and mAP of an embedding, against lists written down by hand."""

from __future__ import annotations

import math
from random import Random
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from animalclef.data.training_splits import TrainingSplit
from animalclef.metrics import retrieval_metrics as retrieval
from animalclef.metrics.competition import average_precision, precision_at_places
from animalclef.metrics.retrieval_metrics import Candidates, one_against_all, query_against_gallery, retrieval_of_split


def strings(values: str | list[str]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = list(values)
    return array


def on_a_circle(
    degrees: list[float], identity: str, species: str = "", viewpoint: str | None = None, event: str | None = None
) -> Candidates:
    """Photographs whose cosine falls with the angle between them; one letter per photograph, "-" for nothing."""
    angle = np.radians(np.array(degrees, dtype=np.float64))
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    return Candidates(
        vectors,
        strings(identity),
        strings(species or "n" * len(degrees)),
        None if viewpoint is None else strings([one.strip("-") for one in viewpoint]),
        None if event is None else strings(event),
    )


def test_one_against_all_by_hand() -> None:
    """At 0, 10, 25, 60 and 100 degrees: a, b, a, b, c.

    a at 0 sees b (10), a (25): place 2. b at 10: a (10), a (15), b (50): place 3. a at 25: b (15), a (25): place 2.
    b at 60: a (35), c (40), b (50): place 3. c is alone.
    """
    [figures] = one_against_all(on_a_circle([0, 10, 25, 60, 100], "abaBc".lower())).species
    assert (figures.queries, figures.alone, figures.individuals, figures.candidates) == (4, 1, 2, 5)
    assert figures.measures["rank-1"] == 0
    assert figures.measures["rank-5"] == figures.measures["rank-20"] == 1
    assert figures.measures["mAP"] == pytest.approx((1 / 2 + 1 / 3 + 1 / 2 + 1 / 3) / 4)


def test_several_right_photographs_count_in_map() -> None:
    """The query at 0 degrees sees a (5), b (10), a (20): precision 1/1 and 2/3."""
    query, gallery = on_a_circle([0], "a"), on_a_circle([5, 10, 20], "aba")
    [figures] = query_against_gallery(query, gallery).species
    assert figures.measures["mAP"] == pytest.approx((1 + 2 / 3) / 2)
    assert figures.measures["rank-1"] == 1


def test_species_are_searched_apart_and_averaged() -> None:
    """Of species s every query finds its own first, of t none does; u has nobody to be found."""
    degrees = [0, 1, 90, 91, 0, 10, 20, 30, 0]
    figures = one_against_all(on_a_circle(degrees, "aabbababa", species="sssstttt" + "u"))
    assert [one.species for one in figures.species] == ["s", "t", "u"]
    assert [one.measures["rank-1"] for one in figures.species[:2]] == [1, 0]
    assert (figures.species[2].queries, figures.species[2].alone) == (0, 1)
    assert math.isnan(figures.species[2].measures["mAP"])
    assert figures.mean["rank-1"] == 0.5


def test_a_gallery_smaller_than_k_is_no_error() -> None:
    [figures] = query_against_gallery(on_a_circle([0], "a"), on_a_circle([3, 5], "ba")).species
    assert figures.measures == {"rank-1": 0, "rank-5": 1, "rank-10": 1, "rank-20": 1, "mAP": 0.5}


def test_nothing_to_search() -> None:
    empty = on_a_circle([], "")
    [figures] = query_against_gallery(on_a_circle([0], "a"), empty).species
    assert (figures.queries, figures.alone, figures.candidates) == (0, 1, 0)
    assert one_against_all(empty).species == ()
    assert math.isnan(one_against_all(empty).mean["rank-1"])


def test_another_viewpoint_is_not_seen_and_an_unknown_one_is() -> None:
    """The query a at 0 faces left: b at 1 faces right and is not seen, a at 2 has no viewpoint and is."""
    query = on_a_circle([0], "a", viewpoint="l")
    gallery = on_a_circle([1, 2, 3], "bab", viewpoint="r-l")
    assert query_against_gallery(query, gallery).mean["rank-1"] == 1
    assert query_against_gallery(on_a_circle([0], "a"), on_a_circle([1, 2, 3], "bab")).mean["rank-1"] == 0
    nobody_knows = on_a_circle([0], "a", viewpoint="-")
    assert query_against_gallery(nobody_knows, gallery).mean["rank-1"] == 0


def test_an_individual_seen_from_another_side_alone_does_not_count() -> None:
    [figures] = one_against_all(on_a_circle([0, 1, 2], "aab", viewpoint="lrl")).species
    assert (figures.queries, figures.alone) == (0, 3)


def test_the_own_event_is_hidden() -> None:
    """a at 0 and 1 are of one event; without it a at 30 is found behind b."""
    seen = one_against_all(on_a_circle([0, 1, 10, 30], "aaba")).species[0]
    hidden = one_against_all(on_a_circle([0, 1, 10, 30], "aaba", event="eefg")).species[0]
    assert seen.measures["rank-1"] == pytest.approx(2 / 3)
    assert hidden.measures["rank-1"] == 0
    assert (hidden.queries, hidden.alone) == (3, 1)


def test_an_embedding_that_has_collapsed_finds_nobody() -> None:
    for vectors in (np.zeros((4, 3), np.float32), np.ones((4, 3), np.float32)):
        [figures] = one_against_all(Candidates(vectors, strings("aabb"), strings("nnnn"))).species
        assert figures.measures["rank-1"] == 0
        assert figures.measures["rank-5"] == 1
        assert figures.measures["mAP"] == pytest.approx(1 / 3)


def test_length_does_not_count() -> None:
    photographs = on_a_circle([0, 10, 25, 60, 100], "ababc")
    longer = Candidates(photographs.embeddings * 7, photographs.identity, photographs.species)
    assert one_against_all(longer).mean == one_against_all(photographs).mean


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="expected finite"):
        Candidates(np.full((1, 2), np.nan, np.float32), strings("a"), strings("n"))
    with pytest.raises(ValueError, match="species"):
        Candidates(np.zeros((1, 2), np.float32), strings("a"), strings("nn"))
    with pytest.raises(ValueError, match="viewpoint: expected in queries and gallery"):
        query_against_gallery(on_a_circle([0], "a", viewpoint="l"), on_a_circle([0], "a"))
    with pytest.raises(ValueError, match="gallery embeddings"):
        query_against_gallery(
            on_a_circle([0], "a"), Candidates(np.zeros((1, 3), np.float32), strings("a"), strings("n"))
        )


def test_places_and_lists_have_one_precision() -> None:
    listed = np.array([False, True, True, False, True])
    assert average_precision(listed, 4) == precision_at_places(np.array([2, 3, 5]), 4)
    assert math.isnan(precision_at_places(np.array([], dtype=np.int64), 0))


Row = tuple[tuple[int, ...], str, str]  # four signs, an individual, a viewpoint
SIGNS = st.tuples(*[st.sampled_from([-1, 1])] * 4)


@given(
    st.lists(st.tuples(SIGNS, st.sampled_from("abc"), st.sampled_from(["l", "r", ""])), min_size=2, max_size=14),
    st.randoms(use_true_random=False),
)
@settings(max_examples=80, deadline=None)
def test_neither_the_order_of_rows_nor_the_chunks_matter(rows: list[Row], random: Random) -> None:
    """Against a plain loop over sorted lists; rows shuffled, one row of similarities at a time, many ties."""
    expected = []
    for i, (signs, name, view) in enumerate(rows):
        seen = [row for j, row in enumerate(rows) if j != i and (not view or row[2] in (view, ""))]
        likeness = {one: sum(a * b for a, b in zip(signs, one, strict=True)) for one, _, _ in seen}
        ranked = sorted(seen, key=lambda row: (-likeness[row[0]], row[1] == name))
        listed = np.array([who == name for _, who, _ in ranked], dtype=bool)
        if listed.any():
            expected.append(average_precision(listed, int(listed.sum())))
    shuffled = list(rows)
    random.shuffle(shuffled)
    vectors, names, views = (list(column) for column in zip(*shuffled, strict=True))
    photographs = Candidates(
        np.array(vectors, dtype=np.float32), strings(names), strings(["n"] * len(rows)), strings(views)
    )
    with mock.patch.object(retrieval, "_CELLS", 1):
        [figures] = one_against_all(photographs).species
    assert figures.queries == len(expected)
    if expected:
        assert figures.measures["mAP"] == pytest.approx(np.mean(expected))


def test_a_split_says_who_is_asked_and_who_is_searched() -> None:
    """a at 0 and 30, b at 10 and 45, b at 20: with a gallery a at 0 meets b at 10 first; without it a at 30."""
    photographs = on_a_circle([0, 10, 20, 30, 45], "abbab")
    none, query = np.array([], dtype=np.int64), np.array([0, 3], dtype=np.int64)
    gallery = np.array([1, 2, 4], dtype=np.int64)
    alone = retrieval_of_split(photographs, TrainingSplit(gallery, none, query))
    assert alone.mean["rank-1"] == 1
    searched = retrieval_of_split(photographs, TrainingSplit(none, np.array([1, 3]), np.array([0, 4])))
    [figures] = searched.species
    assert (figures.queries, figures.candidates) == (2, 2)
    assert figures.measures["rank-1"] == 0  # b at 45 meets a at 30 first
    assert figures.measures["mAP"] == 0.5
