"""Questions are ordered by the expected number of names that their answers put right."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from rows import Row, image_table, strings

from animalclef.review.question_queue import QuestionQueue
from animalclef.structures import Predictions, RankedCandidates, ReviewedPairs

IMAGES = image_table(
    [*(Row(f"q{n}") for n in range(1, 5)), Row("l", "Luna"), Row("l2", "Luna"), Row("t", "Tara"), Row("m", "Milo")]
)


class NoCurve(SimpleNamespace):
    threshold, margin, answer_curve = 0.35, 0.0, None


def queue() -> QuestionQueue:
    rows = [
        ("q1", "l", "Luna", 0.9), ("q1", "t", "Tara", 0.05),  # named Luna; without her new, which has .05
        ("q2", "l2", "Luna", 0.4), ("q2", "l", "Luna", 0.4), ("q2", "t", "Tara", 0.2),  # Luna; without: new, .4
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
    return QuestionQueue(cast(Any, run))


def asked(reviewed: ReviewedPairs, unsure: tuple[tuple[str, str], ...] = ()) -> list[tuple[str, str, float]]:
    return [(one.query_id, one.gallery_id, round(one.gain, 3)) for one in queue().open(reviewed, unsure)]


def test_the_answer_that_is_expected_to_put_most_right_comes_first() -> None:
    assert asked(ReviewedPairs()) == [("q2", "l2", 0.4), ("q3", "m", 0.3), ("q1", "l", 0.05)]


def test_a_settled_query_is_not_asked_about() -> None:
    assert asked(ReviewedPairs(same=(("l", "q2"), ("m", "q3")))) == [("q1", "l", 0.05)]


def test_after_different_the_others_become_likelier_and_the_name_is_decided_again() -> None:
    # q2 is not Luna: Tara's .2 becomes .2 / .6 = .333; the threshold is on .2, so it is new now, and .333 may change it
    assert asked(ReviewedPairs(different=(("l2", "q2"),)))[0] == ("q2", "t", 0.333)
    assert [q for q, *_ in asked(ReviewedPairs(different=(("l2", "q2"), ("q2", "t"))))] == ["q3", "q1"]


def test_an_unsure_pair_is_not_asked_again() -> None:
    assert asked(ReviewedPairs(), (("l2", "q2"),))[:2] == [("q3", "m", 0.3), ("q2", "t", 0.2)]


def test_submitted_names_follow_the_answers() -> None:
    names = list(queue().submitted(ReviewedPairs(same=(("q3", "q4"), ("q4", "t")))).identity)
    assert names == ["Luna", "Luna", "Tara", "Tara"]


def test_probabilities_that_sum_to_more_than_one_are_shares() -> None:
    one = queue()
    one._options = {"q1": {"Luna": 0.9, "Tara": 0.6}}
    [question] = one.open(ReviewedPairs())
    # Luna .6, Tara .4: without Luna, Tara is named
    assert (question.name, question.gain) == ("Luna", pytest.approx(0.4))
    assert question.change == pytest.approx(1 - 0.9 / 1.5)
