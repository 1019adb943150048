"""Questions are ordered by the expected number of names that their answers put right."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from rows import Row, image_table, strings

from animalclef.review.question_queue import QuestionQueue
from animalclef.structures import Predictions, RankedCandidates, ReviewedPairs
from animalclef.structures.clusters import Clusters, Links

IMAGES = image_table(
    [*(Row(f"q{n}") for n in range(1, 5)), Row("l", "Luna"), Row("l2", "Luna"), Row("t", "Tara"), Row("m", "Milo")]
)


NOTHING = ReviewedPairs()


class NoCurve(SimpleNamespace):
    threshold, margin, answer_curve = 0.35, 0.0, None


def queue(clusters: Clusters | None = None) -> QuestionQueue:
    rows = [
        ("q1", "l", "Luna", 0.9), ("q1", "t", "Tara", 0.05),  # named Luna; without her new, which has .1 * .95
        ("q2", "l2", "Luna", 0.4), ("q2", "l", "Luna", 0.4), ("q2", "t", "Tara", 0.2),  # Tara: .6 * .2
        ("q3", "m", "Milo", 0.3), ("q3", "t", "Tara", 0.1),  # new: .3
        ("q4", "m", "Milo", 0.005),  # new, and hardly anything else
    ]  # fmt: skip
    query, gallery, name, p = zip(*rows, strict=True)
    ranked = RankedCandidates(
        strings(*query), strings(*gallery), strings(*name), strings(*["lynx"] * len(rows)), np.array(p)
    )
    predictions = Predictions(
        strings("q1", "q2", "q3", "q4"), strings("Luna", "Luna", None, None), np.array([0.9, 0.4, 0.3, 0.005])
    )
    decision = SimpleNamespace(of=lambda _: NoCurve())
    run = SimpleNamespace(images=IMAGES, ranked=ranked, predictions=predictions, decision=decision)
    return QuestionQueue(cast(Any, run), clusters)


def asked(reviewed: ReviewedPairs, unsure: tuple[tuple[str, str], ...] = ()) -> list[tuple[str, str, float]]:
    return [(one.query_id, one.gallery_id, round(one.gain, 3)) for one in queue().open(reviewed, unsure).questions]


def test_the_answer_that_is_expected_to_put_most_right_comes_first() -> None:
    assert asked(ReviewedPairs()) == [("q2", "l2", 0.48), ("q3", "m", 0.3), ("q1", "l", 0.095)]


def test_a_settled_query_is_not_asked_about() -> None:
    assert asked(ReviewedPairs(same=(("l", "q2"), ("m", "q3")))) == [("q1", "l", 0.095)]


def test_after_different_the_others_become_likelier_and_the_name_is_decided_again() -> None:
    # q2 is not Luna: Tara's .6 * .2 becomes .2; it is new now, and .2 may change it
    assert asked(ReviewedPairs(different=(("l2", "q2"),)))[1] == ("q2", "t", 0.2)
    assert [q for q, *_ in asked(ReviewedPairs(different=(("l2", "q2"), ("q2", "t"))))] == ["q3", "q1"]


def test_an_unsure_pair_is_not_asked_again() -> None:
    assert asked(ReviewedPairs(), (("l2", "q2"),))[:2] == [("q3", "m", 0.3), ("q2", "t", 0.12)]


def test_submitted_names_follow_the_answers() -> None:
    names = list(queue().open(ReviewedPairs(same=(("q3", "q4"), ("q4", "t")))).submitted.identity)
    assert names == ["Luna", "Luna", "Tara", "Tara"]


def test_a_sure_name_stays_sure_whatever_stands_behind_it() -> None:
    one = queue()
    one._options = {"q1": {"Luna": 0.9, "Tara": 0.6}}
    [question] = one.open(ReviewedPairs()).questions
    # without Luna, Tara is named, who has .1 * .6
    assert (question.name, question.gain) == ("Luna", pytest.approx(0.06))
    assert question.change == pytest.approx(0.1)


def test_a_run_without_queries_asks_nothing() -> None:
    nobody = strings()
    run = SimpleNamespace(
        images=IMAGES, decision=None, predictions=Predictions(nobody, nobody, np.zeros(0)),
        ranked=RankedCandidates(nobody, nobody, nobody, nobody, np.zeros(0)),
    )  # fmt: skip
    left = QuestionQueue(cast(Any, run), Clusters(nobody, nobody, np.zeros(0, np.int64), nobody)).open(NOTHING)
    assert (left.questions, len(left.submitted.image_id)) == ([], 0)


def new_ones(*links: tuple[str, str, float], groups: tuple[int, ...] = (0, 1, 2, 3, 3)) -> QuestionQueue:
    """Five queries that are all answered as new, grouped by number, without any known candidate."""
    ids = strings(*[f"n{number}" for number in range(1, 6)])
    images = image_table([*map(Row, ids), Row("l", "Luna")])
    nobody = strings()
    ranked = RankedCandidates(nobody, nobody, nobody, nobody, np.zeros(0))
    predictions = Predictions(ids, strings(*[None] * 5), np.zeros(5))
    run = SimpleNamespace(
        images=images, ranked=ranked, predictions=predictions, decision=SimpleNamespace(of=lambda _: NoCurve())
    )
    first, second, p = zip(*links, strict=True)
    pairs = Links(strings(*first), strings(*second), np.array(p))
    clusters = Clusters(ids, strings(*["lynx"] * 5), np.array(groups), strings(*[None] * 5), links=pairs)
    return QuestionQueue(cast(Any, run), clusters)


def asked_of(
    one: QuestionQueue, said: ReviewedPairs = NOTHING, unsure: tuple[tuple[str, str], ...] = ()
) -> list[tuple[str, str, float, bool]]:
    left = one.open(said, unsure).questions
    assert all(question.name is None and question.submitted is None for question in left)
    return [(two.query_id, two.gallery_id, round(two.gain, 3), two.together) for two in left]


def test_two_new_ones_are_asked_about_by_how_many_photographs_a_yes_moves() -> None:
    one = new_ones(("n1", "n2", 0.4), ("n2", "n3", 0.3), ("n3", "n4", 0.45), ("n4", "n5", 0.8), ("n1", "n5", 0.005))
    # n4 and n5 are one group: a no (.2) takes one out; n3 joins them with .45, as the smaller group of one photograph
    assert asked_of(one) == [
        ("n3", "n4", 0.45, False), ("n1", "n2", 0.4, False), ("n2", "n3", 0.3, False), ("n4", "n5", 0.2, True)
    ]  # fmt: skip
    pairs = new_ones(("n1", "n4", 0.3), groups=(0, 0, 1, 2, 2))
    assert asked_of(pairs) == [("n1", "n4", 0.6, False)]  # two photographs of each


def test_answers_about_new_ones_hold_for_their_groups() -> None:
    one = new_ones(("n1", "n2", 0.4), ("n2", "n3", 0.3), ("n1", "n3", 0.2), ("n4", "n5", 0.8))
    same = ReviewedPairs(same=(("n1", "n2"),))
    assert asked_of(one, same) == [("n2", "n3", 0.3, False), ("n1", "n3", 0.2, False), ("n4", "n5", 0.2, True)]
    both = ReviewedPairs(same=(("n1", "n2"),), different=(("n2", "n3"),))
    assert asked_of(one, both) == [("n4", "n5", 0.2, True)]  # n1 is n2, so it is not n3 either
    assert asked_of(one, ReviewedPairs(same=(("l", "n1"),)))[0] == ("n2", "n3", 0.3, False)  # n1 is Luna: no new one
    assert asked_of(one, NOTHING, (("n2", "n1"), ("n4", "n5"))) == [("n2", "n3", 0.3, False), ("n1", "n3", 0.2, False)]


def test_a_link_knows_its_probability_in_either_order() -> None:
    one = new_ones(("n1", "n2", 0.4))
    assert one.probability("n2", "n1") == pytest.approx(0.4)
    assert one.probability("n1", "n3") is None
    assert one.group("n4") == ["n4", "n5"]
    assert queue().probability("q1", "l2") == 0.9  # of the individual, whichever photograph
    assert queue().group("q1") == ["q1"]
