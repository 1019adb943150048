"""Answers beside a truth, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from rows import Row, image_table, strings

from animalclef.data.submission import Truth
from animalclef.evaluation.outcomes import Answers, judge, most_confused, score_intervals
from animalclef.structures import Predictions, RankedCandidates


@pytest.fixture
def answers() -> Answers:
    """Six queries of one data set: a and b are in the gallery, u is not; q6 has no candidate."""
    images = image_table([Row("g1", "a"), Row("g2", "b"), *[Row(f"q{number}") for number in range(1, 7)]])
    listed = {"q1": "ab", "q2": "ba", "q3": "bba", "q4": "a", "q5": "b"}
    pairs = [(query, who) for query, names in listed.items() for who in names]
    ranked = RankedCandidates(
        query_id=strings(*[query for query, _ in pairs]),
        gallery_id=strings(*["g1" if who == "a" else "g2" for _, who in pairs]),
        identity=strings(*[who for _, who in pairs]),
        dataset=strings(*["lynx"] * len(pairs)),
        probability=np.linspace(0.9, 0.1, len(pairs)),
    )
    predictions = Predictions(
        images.queries.image_id,
        strings("a", "b", None, "a", None, None),
        np.array([0.9, 0.8, 0.4, 0.7, 0.3, 0.0]),
    )
    truth = Truth(
        strings("q1", "q2", "q3", "q4", "q5", "q6"),
        strings("a", "a", "a", "u", "u", "b"),
        strings(*["lynx"] * 6),
        np.array([True, True, True, False, False, True]),
    )
    return judge(truth, images, ranked, predictions)


def test_outcomes_by_hand(answers: Answers) -> None:
    assert list(answers.outcome) == [
        "right",
        "misidentification",
        "false rejection",
        "false acceptance",
        "right",
        "false rejection",
    ]
    assert answers.rank.tolist() == [1, 2, 2, np.inf, np.inf, np.inf]
    assert list(answers.best) == ["a", "b", "b", "a", "b", None]


def test_the_score_is_the_official_one(answers: Answers) -> None:
    baks, baus = (1 / 3 + 0) / 2, 1 / 2
    intervals = score_intervals(answers, draws=200)
    assert intervals["lynx"].mean == pytest.approx((baks * baus) ** 0.5)
    assert intervals[None].mean == intervals["lynx"].mean
    assert 0 <= intervals["lynx"].low <= intervals["lynx"].mean <= intervals["lynx"].high <= 1
    assert score_intervals(answers, draws=200) == intervals


def test_no_queries_have_no_score(answers: Answers) -> None:
    assert score_intervals(answers.of("nothing")) == {}


def test_the_sweep_by_hand(answers: Answers) -> None:
    """Named right while the threshold is at most 0.9: q1. New once it is above: q4 from 0.7, q5 from 0.3."""
    swept = answers.sweep(0.5)
    assert 0.5 in swept.threshold
    at = {value: int(np.searchsorted(swept.threshold, value)) for value in (0.1, 0.5, 0.75, 0.95)}
    assert [swept.baks[place] for place in at.values()] == pytest.approx([1 / 6, 1 / 6, 1 / 6, 0])
    assert [swept.baus[place] for place in at.values()] == pytest.approx([0, 1 / 2, 1, 1])
    np.testing.assert_allclose(swept.score, np.sqrt(swept.baks * swept.baus))
    low, high = swept.plateau()
    assert 0.7 <= low <= high <= 0.9


def test_the_sweep_agrees_with_what_validation_scores() -> None:
    from animalclef.data.pseudo_query import OpenSetSplits
    from animalclef.evaluation.outcomes import sweep_thresholds

    rng = np.random.default_rng(4)
    who = strings(*"aabbccdd")
    hidden = np.array([list("cd"), list("ab")])
    is_unknown = np.array([np.isin(who.astype(str), one) for one in hidden])
    splits = OpenSetSplits(strings(*map(str, range(8))), who, ~is_unknown, is_unknown)
    known, unknown, right = rng.random(8), rng.random(8) * 0.8, rng.random(8) < 0.7
    swept = sweep_thresholds(known, right, unknown, splits)
    for place, threshold in enumerate(swept.threshold):
        hits, kept = right & (known >= threshold), unknown < threshold
        parts = [(hits[~mask].reshape(2, 2).mean(), kept[mask].reshape(2, 2).mean()) for mask in is_unknown]
        assert swept.score[place] == pytest.approx(np.mean([np.sqrt(baks * baus) for baks, baus in parts]))


def test_the_most_confused_come_first(answers: Answers) -> None:
    found = most_confused(answers)
    assert [(one.identity, one.known, one.queries, one.right) for one in found] == [
        ("a", True, 3, 1),
        ("b", True, 1, 0),
        ("u", False, 2, 1),
    ]
    assert found[0].answers == [(None, 1), ("b", 1)]
    assert len(most_confused(answers, most=1)) == 1
