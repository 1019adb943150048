"""Warnings about answers that validation does not explain; bands by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rows import Row, image_table, strings

from animalclef.data.pseudo_query import OpenSetSplits
from animalclef.decision.decision_model import Calibrator, DatasetDecision, Decision
from animalclef.decision.pseudo_query_scores import lay_out
from animalclef.decision.sanity_checks import Seen, band, distinct_among, sanity_warnings, surprises
from animalclef.structures import PairScores, Predictions


def answers(named: int, new: int, individuals: int = 10) -> np.ndarray:
    """So many answers with a name, evenly over individuals, and so many new ones."""
    return np.array([f"i{number % individuals}" for number in range(named)] + [None] * new, dtype=object)


# 20% of known and 90% of unknown pseudo-queries are called new.
SEEN = Seen(answers(80, 20), answers(10, 90), 100, 100, gallery_individuals=100, photographs_each=2.0)


def test_the_band_is_that_of_two_shares() -> None:
    # (0.2 * 100 + 1) / 102 = 0.20588; 2.576 * sqrt(0.20588 * 0.79412 * (1/100 + 1/50)) = 0.18041
    assert band(0.2, 100, 50) == pytest.approx(0.18041, abs=1e-5)
    assert band(0.0, 98, 10_000) == pytest.approx(2.576 * np.sqrt(0.01 * 0.99 * (1 / 98 + 1e-4)))


def test_nothing_between_the_shares_is_odd() -> None:
    # least: 0.2 - 0.180 = 0.020; most: 0.2 + 0.8 * 0.7 = 0.76, and the band of 0.76 over 100 and 50 individuals, 0.191
    for share in (0.03, 0.2, 0.5, 0.76, 0.94):
        new = round(100 * share)
        assert surprises("newt", answers(100 - new, new), SEEN) == []


@pytest.mark.parametrize(("share", "words"), [(0.01, "known animals alone"), (0.96, "76% would be expected")])
def test_shares_beyond_the_band_are_told(share: float, words: str) -> None:
    new = round(100 * share)
    (sentence,) = surprises("newt", answers(100 - new, new), SEEN)
    assert sentence.startswith(f"newt: {share:.0%} of 100 queries")
    assert words in sentence
    assert "look at" in sentence


def test_more_queries_of_more_individuals_narrow_the_band() -> None:
    # 0.2 - 2.576 * sqrt(0.2059 * 0.7941 * (1/100 + 1/5000)) = 0.095: now 5% is too few
    assert surprises("newt", answers(9500, 500, 100), replace(SEEN, as_known=answers(80, 20, 100))) != []
    # the same photographs, of five individuals: nothing can be said
    few = replace(SEEN, as_known=answers(80, 20, 100), photographs_each=2000.0)
    assert surprises("newt", answers(9500, 500, 100), few) == []


def test_distinct_names_among_some_of_them() -> None:
    assert distinct_among(["a"] * 5, 2) == 1
    assert distinct_among(["a", "b", "c"], 3) == 3
    # two of aab: {a, a} in one of three draws, else both
    assert distinct_among(["a", "a", "b"], 2) == pytest.approx(1 / 3 * 1 + 2 / 3 * 2)


def test_one_name_for_everybody_is_told_with_the_name() -> None:
    wide = replace(SEEN, as_known=answers(80, 20, 80), gallery_individuals=80)
    hub = np.array(["star"] * 60 + [None] * 40, dtype=object)
    # 60 of 80 distinct names: 60 expected, one found; allowed are 30 - 2.576 * sqrt(60 * (1 - 60 / 80)) = 20
    (sentence,) = surprises("newt", hub, wide)
    assert "60 answers with a name hold 1 individual, 60 in validation" in sentence
    assert "look at star, which is named 60 times" in sentence
    assert surprises("newt", answers(60, 40, 21), wide) == []


def test_names_given_out_at_random_are_told() -> None:
    # 80 answers of ten individuals in validation; 20 + 2.576 * sqrt(10 * (1 - 10 / 100)) = 27.7 are allowed
    (sentence,) = surprises("newt", answers(80, 40, 60), SEEN)
    assert "at random" in sentence
    assert surprises("newt", answers(80, 40, 27), SEEN) == []


def test_too_little_to_compare_is_not_compared() -> None:
    none = np.zeros(0, dtype=object)
    assert surprises("newt", none, SEEN) == []
    assert surprises("newt", answers(0, 100), replace(SEEN, as_known=none, as_unknown=none)) == []
    assert surprises("newt", np.array(["star"] * 19 + [None] * 10, dtype=object), SEEN) == []


N = 60  # individuals with two photographs each, and as many queries


def test_one_name_for_all_queries_is_told_and_validations_own_answers_are_not() -> None:
    rows = [Row(f"g{number}", f"i{number // 2}") for number in range(2 * N)]
    images = image_table([*rows, *[Row(f"q{number}") for number in range(N)]])
    asked = [f"g{2 * number}" for number in range(N)]
    known = np.arange(N)[None] % 2 == 0
    splits = OpenSetSplits(strings(*asked), strings(*[f"i{number}" for number in range(N)]), known, ~known)
    # every pseudo-query sees its individual's other photograph at 0.9 and somebody else's at 0.1
    queries = strings(*[one for one in asked for _ in range(2)])
    seen = strings(*[one for n in range(N) for one in (f"g{2 * n + 1}", f"g{(2 * n + 2) % (2 * N)}")])
    scores = PairScores(queries, seen, {"similarity": np.tile(np.array([0.9, 0.1], np.float32), N)})
    pseudo = {"lynx": lay_out(scores, images.gallery, splits, top_k=2)}
    curve = Calibrator(log=False, mean=0.5, spread=0.1, slope=1.0, intercept=0.0)  # 0.9: log-odds 4; 0.1: -4
    part = DatasetDecision(calibrators={"similarity": curve}, weights={"similarity": 1.0}, threshold=0.5,
                           fitted_on="lynx", validation=None)  # fmt: skip
    decision = Decision(scores="s", gallery="g", seed=0, datasets={"lynx": part}, pooled=part)

    def told(*answers: str | None) -> list[str]:
        query_id = images.queries.image_id
        return sanity_warnings(Predictions(query_id, strings(*answers), np.ones(N)), images, pseudo, decision)

    assert told(*[f"i{number}" if number % 2 else None for number in range(N)]) == []
    (sentence,) = told(*["i0"] * N)
    # half of the individuals play known, and all 30 are named right: 30 individuals in 30 answers
    assert "lynx: 30 answers with a name hold 1 individual, 30 in validation" in sentence
    assert "look at i0, which is named 60 times" in sentence
