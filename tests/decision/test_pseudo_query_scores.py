"""Pseudo-queries laid out and masked, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluation_cases import answers_of, gallery_of
from rows import Row, image_table

from animalclef.data.pseudo_query import OpenSetSplits, PseudoQueries
from animalclef.decision.pseudo_query_scores import (
    answered_queries,
    events_show_through,
    from_own_side_only,
    joined,
    lay_out,
)
from animalclef.metrics.threshold_sweep import hits_of
from animalclef.structures import PairScores, RankedCandidates, ReviewedPairs


def strings(*values: str) -> np.ndarray:
    return np.array(values, dtype=object)


def one_split(image_id: np.ndarray, identity: np.ndarray, unknown: list[int]) -> OpenSetSplits:
    hidden = np.array([unknown], dtype=bool)
    return OpenSetSplits(image_id, identity, ~hidden, hidden)


def test_masks_by_hand() -> None:
    gallery = gallery_of(["a", "a", "a", "b", "c", "d"], viewpoint=["left", "left", "right", "", "left", "right"])
    query_id = strings("g0", "g0", "g0", "g0", "g0", "g3", "g3")
    gallery_id = strings("g1", "g3", "g2", "g4", "g5", "g0", "g5")
    scores = PairScores(query_id, gallery_id, {"similarity": np.arange(7, dtype=np.float32)})
    splits = one_split(strings("g0", "g3"), strings("a", "b"), [0, 1])
    pseudo = lay_out(scores, gallery, splits, top_k=2)
    # g0 sees a, b, a, c, d: its first two with its own individual, its first two strangers without
    assert pseudo.same[0].tolist() == [True, False, True, False, False]
    assert pseudo.as_known[0].tolist() == [True, True, False, False, False]
    assert pseudo.as_unknown[0].tolist() == [False, True, False, True, False]
    assert pseudo.agrees[0].tolist() == [True, True, False, True, False]
    # g3, the only b, sees a and d; the slots it does not fill are nobody's
    assert pseudo.same[1].tolist() == [False] * 5
    assert pseudo.as_known[1].tolist() == pseudo.as_unknown[1].tolist() == [True, True, False, False, False]
    np.testing.assert_array_equal(pseudo.columns["similarity"][1], [5, 6, np.nan, np.nan, np.nan])
    assert pseudo.identity is not None
    assert pseudo.identity[1].tolist() == ["a", "d", None, None, None]


def test_one_more_encounter_is_marked_where_another_is_left() -> None:
    gallery = gallery_of(["a", "a", "a", "a", "b", "b", "c"])
    encounter_of = {"g0": "1", "g1": "1", "g2": "2", "g3": "3", "g4": "4", "g5": "5", "g6": "6"}
    query_id, gallery_id = zip(
        ("g0", "g2"), ("g0", "g4"), ("g0", "g3"), ("g2", "g3"), ("g2", "g1"), ("g2", "g0"), ("g4", "g5"), ("g4", "g6"),
        strict=True,
    )  # fmt: skip
    scores = PairScores(strings(*query_id), strings(*gallery_id), {"similarity": np.ones(8, np.float32)})
    splits = one_split(strings("g0", "g2", "g4"), strings("a", "a", "b"), [0, 0, 1])
    pseudo = lay_out(scores, gallery, splits, 9, encounter_of)
    assert pseudo.one_more is not None
    # g0 is of encounter 1 and lacks 2 of {2, 3}; g2 lacks the second of {1, 3}; b has no other but g5's
    assert pseudo.one_more.tolist() == [[True, False, False], [True, False, False], [False] * 3]
    thinner = pseudo.with_one_more_hidden()
    assert thinner.as_known.tolist() == [[False, True, True], [False, True, True], [True, True, False]]
    np.testing.assert_array_equal(thinner.as_unknown, pseudo.as_unknown)
    kept = pseudo.select(np.array([1])).one_more
    assert kept is not None
    assert kept.tolist() == [[True, False, False]]
    both = joined(pseudo, pseudo)
    assert both.one_more is not None
    assert both.one_more.shape == both.same.shape == (3, 6)
    unnamed = lay_out(scores, gallery, splits, 9)
    assert unnamed.one_more is None
    assert unnamed.with_one_more_hidden() is unnamed


def test_pairs_of_other_data_sets_are_left_out_and_a_query_may_have_none() -> None:
    gallery = gallery_of(["a", "a", "b"])
    scores = PairScores(strings("g0"), strings("g1"), {"similarity": np.ones(1, np.float32)})
    pseudo = lay_out(scores, gallery, one_split(strings("g2"), strings("b"), [1]), top_k=3)
    assert len(pseudo) == 1
    assert not pseudo.as_known.any()
    answers = answers_of(np.ones((1, 1)), pseudo)
    assert answers.unknown.tolist() == answers.known.tolist() == [-np.inf]
    assert answers.right.tolist() == [False]
    assert [hit.tolist() for hit in hits_of(answers, -np.inf)] == [[False], [True]]


def test_queries_that_people_answered_are_labelled_pairs() -> None:
    images = image_table([*(Row(f"q{n}") for n in range(1, 5)), Row("l", "Luna"), Row("l2", "Luna"), Row("t", "Tara")])
    query, gallery, name = zip(
        ("q1", "l", "Luna"), ("q1", "t", "Tara"), ("q1", "l2", "Luna"), ("q2", "t", "Tara"), ("q2", "l", "Luna"),
        ("q3", "l", "Luna"), ("q4", "t", "Tara"), strict=True,
    )  # fmt: skip
    score = np.arange(7, dtype=np.float32)
    ranked = RankedCandidates(
        strings(*query), strings(*gallery), strings(*name), strings(*["lynx"] * 7), np.full(7, 0.5), {"inliers": score}
    )
    # q1 is Luna, and so is q4 by q1; q2 is not Tara; q3 was called nothing
    said = ReviewedPairs(same=(("l2", "q1"), ("q1", "q4")), different=(("q2", "t"),))
    [(dataset, found)] = answered_queries(ranked, images, said).items()
    part = found.part
    assert (dataset, part.splits.image_id.tolist()) == ("lynx", ["q1", "q2", "q4"])
    assert part.splits.identity.tolist() == ["Luna", "query q2", "Luna"]
    assert part.splits.is_known.shape == (0, 3)  # in no split: thresholds and scores are chosen without them
    assert part.same.tolist() == [[True, True, False], [False] * 3, [False] * 3]
    assert found.labelled.tolist() == [[True] * 3, [False, True, False], [True, False, False]]
    np.testing.assert_array_equal(part.columns["inliers"][1], [4, 3, np.nan])  # in table order, not in the decision's
    assert answered_queries(ranked, images, ReviewedPairs(same=(("q2", "q3"),))) == {}
    similarity = np.array([0.5, 0.9, 0.7, 0, 0, 0, 0], dtype=np.float32)
    listed = replace(ranked, columns={**ranked.columns, "similarity": similarity})
    [(_, found)] = answered_queries(listed, images, said).items()
    assert found.part.same[0].tolist() == [False, True, True]  # t, l2, l by falling similarity


def found_from(found_from_own_side: int, n: int = 24) -> PseudoQueries:
    """Each sees its individual from its own side, from another, and a stranger; one of the first two scores best."""
    own = np.arange(n) < found_from_own_side
    inliers = np.stack([np.where(own, 9, 2), np.where(own, 2, 9), np.full(n, 5)], axis=1).astype(np.float32)
    same = np.tile([True, True, False], (n, 1))
    agrees = np.tile([True, False, True], (n, 1))
    every = np.ones_like(same)
    splits = OpenSetSplits(
        strings(*(f"q{row}" for row in range(n))), strings(*(f"a{row // 2}" for row in range(n))),
        np.tile(np.arange(n) % 4 < 2, (1, 1)), np.tile(np.arange(n) % 4 >= 2, (1, 1)),
    )  # fmt: skip
    return PseudoQueries({"inliers": inliers}, same, agrees, every, every & ~same, splits)


@pytest.mark.parametrize(("own", "told"), [(0, True), (5, True), (7, False), (24, False)])
def test_right_finds_from_the_same_side_are_half_of_what_is_usual_or_less(own: int, told: bool) -> None:
    assert events_show_through(found_from(own)) is told  # half of the right candidates are of the same side: 6 of 24


def test_few_finds_tell_nothing() -> None:
    assert not events_show_through(found_from(0, n=8))


def test_without_viewpoints_nothing_is_told() -> None:
    part = found_from(0)
    assert not events_show_through(replace(part, agrees=np.ones_like(part.agrees)))
    assert not events_show_through(replace(part, same=np.zeros_like(part.same)))


def test_other_sides_of_the_own_individual_are_hidden_and_of_others_not() -> None:
    part = found_from(0)
    kept = from_own_side_only(part, {f"q{row}" for row in range(24) if row != 1})
    assert kept.as_known[0].tolist() == [True, False, True]
    np.testing.assert_array_equal(kept.as_unknown, part.as_unknown)
    assert kept.splits.is_known[0, :3].tolist() == [True, False, False]
    np.testing.assert_array_equal(kept.splits.is_unknown, part.splits.is_unknown)
