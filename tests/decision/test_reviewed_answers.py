"""What people answered decides the name of a query; the rest is decided among the individuals that are left."""

from __future__ import annotations

import numpy as np
import pytest
from rows import Row, image_table, strings

from animalclef.decision.calibrators import Calibrator
from animalclef.decision.decision_model import AnswerCurve, DatasetDecision, Decision
from animalclef.decision.reviewed_answers import apply_reviewed, with_reviewed_names
from animalclef.structures import Predictions, RankedCandidates, ReviewedPairs

IMAGES = image_table([Row("q1"), Row("q2"), Row("q3"), Row("l", "Luna"), Row("t", "Tara"), Row("m", "Milo")])
# q1: Luna .6, Tara .5, Milo .1; q2: Milo .7; q3: none
RANKED = RankedCandidates(
    strings("q1", "q1", "q1", "q2"), strings("l", "t", "m", "m"), strings("Luna", "Tara", "Milo", "Milo"),
    strings(*["lynx"] * 4), np.array([0.6, 0.5, 0.1, 0.7]),
)  # fmt: skip
PREDICTIONS = Predictions(strings("q1", "q2", "q3"), strings("Luna", "Milo", None), np.array([0.6, 0.7, 0.0]))


def decision(threshold: float = 0.4, margin: float = 0.0, slope: float | None = None) -> Decision:
    curve = None if slope is None else AnswerCurve(slope=slope, intercept=0.0, unknown_share=0.4)
    plain = Calibrator(log=False, mean=0.0, spread=1.0, slope=1.0, intercept=0.0)
    rule = DatasetDecision(
        calibrators={"similarity": plain}, weights={"similarity": 1.0}, threshold=threshold, margin=margin,
        fitted_on="lynx", answer_curve=curve,
    )  # fmt: skip
    return Decision(scores="s", gallery="g", seed=0, datasets={"lynx": rule}, pooled=rule)


def answered(reviewed: ReviewedPairs, given: Decision | None = None) -> list[tuple[str | None, float]]:
    found = apply_reviewed(PREDICTIONS, RANKED, IMAGES, given or decision(), reviewed)
    assert list(found.image_id) == ["q1", "q2", "q3"]
    return [(who, round(float(p), 3)) for who, p in zip(found.identity, found.probability, strict=True)]


def test_nothing_said_changes_nothing() -> None:
    assert apply_reviewed(PREDICTIONS, RANKED, IMAGES, decision(), ReviewedPairs()) is PREDICTIONS


def test_same_as_a_named_photograph_is_the_name() -> None:
    assert answered(ReviewedPairs(same=(("q3", "t"),))) == [("Luna", 0.6), ("Milo", 0.7), ("Tara", 1.0)]
    assert answered(ReviewedPairs(same=(("t", "q1"),)))[0] == ("Tara", 1.0)


def test_what_people_said_is_noted() -> None:
    said = ReviewedPairs(same=(("q3", "t"),), different=(("l", "q1"),))
    found = apply_reviewed(PREDICTIONS, RANKED, IMAGES, decision(), said)
    assert found.reviewed is not None
    assert found.reviewed.tolist() == ["excluded", "", "named"]
    pair = apply_reviewed(PREDICTIONS, RANKED, IMAGES, decision(), ReviewedPairs(same=(("q1", "q2"),)))
    assert pair.reviewed is not None
    assert pair.reviewed.tolist() == ["grouped", "grouped", ""]


def test_different_takes_the_individual_away_and_the_next_is_decided() -> None:
    assert answered(ReviewedPairs(different=(("l", "q1"),)))[0] == ("Tara", 0.5)
    assert answered(ReviewedPairs(different=(("l", "q1"), ("q1", "t"))))[0] == (None, 0.1)  # Milo: below the threshold
    assert answered(ReviewedPairs(different=(("m", "q2"),)))[1] == (None, 0.0)


def test_answers_hold_for_all_photographs_of_one_animal() -> None:
    same = (("q1", "q3"),)
    assert answered(ReviewedPairs(same=same))[2] == ("Luna", 0.6)
    assert answered(ReviewedPairs(same=(*same, ("q3", "t")))) == [("Tara", 1.0), ("Milo", 0.7), ("Tara", 1.0)]
    assert answered(ReviewedPairs(same=same, different=(("l", "q3"),)))[0] == ("Tara", 0.5)
    assert answered(ReviewedPairs(same=(("q3", "m"),), different=(("q2", "q3"),)))[1] == (
        None,
        0.0,
    )  # so q2 is not Milo


@pytest.mark.parametrize(("margin", "slope", "name"), [(2.0, None, "Tara"), (2.3, None, None), (2.3, 0.5, "Tara")])
def test_the_margin_is_in_log_odds_before_the_answer_curve(margin: float, slope: float | None, name: str) -> None:
    # Tara .5 leads Milo .1 by ln 1 - ln(1/9) = 2.197; divided by a slope of .5 it is 4.394
    assert answered(ReviewedPairs(different=(("l", "q1"),)), decision(0.4, margin, slope))[0] == (name, 0.5)


def test_photographs_that_people_named_join_the_database() -> None:
    images = image_table([*(Row(f"q{n}") for n in range(1, 6)), Row("l", "Luna"), Row("r", "reviewed_q2")])
    said = ReviewedPairs(same=(("l", "q1"), ("q3", "q2"), ("q4", "q3")), different=(("l", "q5"),))
    named = with_reviewed_names(images, said)
    assert named.identity.tolist() == ["Luna", *["reviewed_q2_"] * 3, None, "Luna", "reviewed_q2"]
    assert named.is_query.tolist() == [False] * 4 + [True, False, False]
    assert list(named.gallery.image_id) == ["q1", "q2", "q3", "q4", "l", "r"]
    assert with_reviewed_names(images, ReviewedPairs()).identity.tolist() == images.identity.tolist()


def test_the_digest_of_a_review_is_that_of_its_pairs() -> None:
    one = ReviewedPairs(same=(("1", "2"), ("3", "4")), different=(("1", "3"),))
    again = ReviewedPairs(same=(("3", "4"), ("1", "2")), different=(("1", "3"),))
    assert one.digest == again.digest != ReviewedPairs(same=(("1", "3"),), different=one.same).digest
