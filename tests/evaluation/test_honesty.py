"""Leaks, intervals and reliability."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_cases import pseudo_queries, synthetic

from animalclef.config import DecideConfig
from animalclef.errors import AnimalClefError, LeakError
from animalclef.evaluation.answers import Roles, score_of
from animalclef.evaluation.held_out import HeldOut
from animalclef.evaluation.honesty import interval, redrawn, reliability, summarise
from animalclef.evaluation.leaks import Fitted, digest_of

CONFIG = DecideConfig(folds=3, trials=2)


def test_what_was_fitted_on_an_individual_is_not_scored_on_it() -> None:
    fitted = Fitted("a curve", frozenset({"lynx/a", "lynx/b"}))
    assert fitted.for_scoring(["lynx/c", "newt/a"]) == "a curve"
    with pytest.raises(LeakError, match=r"1 individuals that the decision was fitted on \(one: lynx/b\)"):
        fitted.for_scoring(["lynx/c", "lynx/b"])
    assert issubclass(LeakError, AnimalClefError)


def test_held_out_log_odds_come_from_other_individuals() -> None:
    held_out = HeldOut("lynx", {"lynx": synthetic(9, 2.0, seed=0)}, CONFIG, seed=0)
    for fold in range(3):
        inside = set(held_out.individuals["lynx"][held_out.fold_of["lynx"] == fold])
        assert len(inside) == 3
        assert not inside & held_out.fitted(frozenset({fold})).individuals
    assert held_out.fitted().individuals == set(held_out.individuals["lynx"])


def test_a_fit_that_sees_its_own_fold_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    held_out = HeldOut("lynx", {"lynx": synthetic(9, 2.0, seed=0)}, CONFIG, seed=0)
    everything = held_out.fitted()
    monkeypatch.setattr(held_out, "fitted", lambda without=frozenset(): everything)
    with pytest.raises(LeakError, match="fitted on"):
        held_out.log_odds("lynx")


def test_other_data_sets_individuals_of_the_same_name_are_others() -> None:
    held_out = HeldOut("pooled", {"lynx": synthetic(4, 2.0, seed=0), "newt": synthetic(4, 2.0, seed=1)}, CONFIG, seed=0)
    assert len(held_out.fitted().individuals) == 8


def test_a_digest_names_a_set() -> None:
    assert digest_of(["b", "a"]) == digest_of(["a", "b"]) != digest_of(["ab"])
    assert len(digest_of([])) == 16


def test_the_interval_of_certain_answers_has_no_width() -> None:
    part = pseudo_queries(["a", "b", "c"], [[1, 0, 1]], [[0, 1, 0]], [[1], [0], [1]])
    yes, no = np.ones(3, dtype=bool), np.zeros(3, dtype=bool)
    drawn = redrawn(part.splits, (yes, yes), seed=0)
    assert set(drawn.tolist()) <= {0.0, 1.0}  # 0 where a draw has lost every individual of a role
    assert redrawn(part.splits, (no, yes), seed=0).max() == 0


def test_drawn_scores_lie_around_the_score_and_narrow_with_more_individuals() -> None:
    widths = []
    for individuals in (20, 320):
        rng = np.random.default_rng(7)
        part = synthetic(individuals, 1.0, seed=0)
        hits = rng.random(len(part)) < 0.7, rng.random(len(part)) < 0.6
        drawn = redrawn(part.splits, hits, seed=1)
        score = score_of(hits, Roles.of(part.splits))[0]
        low, high = interval(drawn)
        assert low < score < high
        assert drawn.mean() == pytest.approx(score, abs=0.03)
        np.testing.assert_array_equal(drawn, redrawn(part.splits, hits, seed=1))
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_the_summary_is_the_mean_over_data_sets() -> None:
    whole = summarise([0.4, 0.8], [0.5, 0.8], [np.full(10, 0.4), np.linspace(0.7, 0.9, 10)])
    assert (whole.nested, whole.optimism) == (pytest.approx(0.6), pytest.approx(0.05))
    assert 0.54 < whole.low < whole.high < 0.66


def test_reliability_by_hand() -> None:
    probability = np.array([0.1, 0.3, 0.9, 0.7, 1.0])
    found = reliability(probability, np.array([0, 1, 1, 1, 1], dtype=bool), bins=2)
    assert found.pairs == (2, 3)
    assert found.said == pytest.approx((0.2, 2.6 / 3))
    assert found.seen == pytest.approx((0.5, 1))
    assert found.error == pytest.approx((2 * 0.3 + 3 * 0.4 / 3) / 5)
    nothing = reliability(np.zeros(0), np.zeros(0, dtype=bool))
    assert (nothing.pairs, nothing.error) == ((), 0)
