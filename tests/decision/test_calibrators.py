"""The curve from a raw score to log-odds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from animalclef.decision.decision_model import Calibrator, DatasetDecision
from animalclef.decision.fit_calibrators import Pairs, fit_calibrator, fit_pair_model
from animalclef.decision.pair_classifier import best_of_others


def flat_at(share: float) -> float:
    return float(np.log(share / (1 - share)))


def test_the_curve_is_worked_out_by_hand() -> None:
    curve = Calibrator(log=False, mean=2.0, spread=4.0, slope=3.0, intercept=0.5)
    np.testing.assert_allclose(curve.log_odds(np.array([2.0, 6.0, -2.0])), [0.5, 3.5, -2.5])
    counts = Calibrator(log=True, mean=np.log(13), spread=1.0, slope=3.0, intercept=0.0)
    np.testing.assert_allclose(counts.log_odds(np.array([12, 0])), [0, -3 * np.log(13)])


def test_a_missing_score_counts_as_the_lowest() -> None:
    curve = Calibrator(log=False, mean=0.0, spread=1.0, slope=1.0, intercept=0.0)
    odds = curve.log_odds(np.array([np.nan, -np.inf, -50.0, np.inf, 50.0]))
    assert odds.tolist() == [-30, -30, -30, 30, 30]


def test_more_likeness_never_means_less_probability() -> None:
    rng = np.random.default_rng(0)
    same = rng.random(300) < 0.3
    score = rng.normal(size=300) + 2 * same
    curve = fit_calibrator(score, same, log=False)
    assert curve.slope > 0
    assert (np.diff(curve.log_odds(np.linspace(-5, 5, 50))) > 0).all()
    middle = 1 / (1 + np.exp(-curve.log_odds(np.array([1.0]))))
    assert middle[0] == pytest.approx(0.3, abs=0.1)  # at the midpoint of both, the odds are those of the classes


def test_a_score_that_speaks_against_identity_is_ignored() -> None:
    same = np.array([True, False] * 20)
    curve = fit_calibrator(-1.0 * same, same, log=False)
    assert curve.slope == 0
    assert curve.log_odds(np.array([-3.0, 3.0])).tolist() == [flat_at(21 / 42)] * 2


@pytest.mark.parametrize(("same", "share"), [([1, 1, 1], 4 / 5), ([0, 0, 0], 1 / 5), ([1, 0, 0], 2 / 5)])
def test_one_class_or_a_constant_score_is_flat_at_the_smoothed_share(same: list[int], share: float) -> None:
    curve = fit_calibrator(np.full(3, 0.7), np.array(same, dtype=bool), log=False)
    np.testing.assert_allclose(curve.log_odds(np.array([-9.0, 0.7, 9.0])), flat_at(share))


@pytest.mark.parametrize("score", [np.zeros(0), np.full(4, np.nan)])
def test_nothing_to_fit_on_is_an_even_bet(score: np.ndarray) -> None:
    curve = fit_calibrator(score, np.ones(len(score), dtype=bool), log=True)
    assert curve.log_odds(np.array([0.0, 100.0])).tolist() == [0, 0]


def test_missing_scores_are_left_out_of_the_fit() -> None:
    rng = np.random.default_rng(1)
    same = rng.random(100) < 0.5
    score = rng.normal(size=100) + same
    more = fit_calibrator(np.append(score, [np.nan] * 30), np.append(same, [True] * 30), log=False)
    assert more == fit_calibrator(score, same, log=False)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.floats(allow_nan=True, allow_infinity=True, width=32), st.booleans()), max_size=30),
    st.booleans(),
)
def test_any_scores_give_a_rising_finite_curve(pairs: list[tuple[float, bool]], log: bool) -> None:
    score, same = np.array([one for one, _ in pairs]), np.array([one for _, one in pairs], dtype=bool)
    curve = fit_calibrator(score, same, log=log)
    odds = curve.log_odds(np.array([np.nan, -1e6, -1.0, 0.0, 0.5, 3.0, 1e6]))
    assert np.isfinite(odds).all()
    assert (np.diff(odds) >= 0).all()


def test_other_data_sets_pairs_matter_where_pairs_are_few() -> None:
    rng = np.random.default_rng(3)
    z = rng.normal(size=2000)
    others = Pairs(z, rng.random(2000) < 1 / (1 + np.exp(-3 * z)), positives=10)
    few, many = rng.normal(size=6), rng.normal(size=4000)

    def slope(score: np.ndarray, leaning: Pairs | None) -> float:
        same = np.arange(len(score)) % 2 == 0  # the score says nothing
        curve = fit_calibrator(score, same, log=False, others=leaning)
        return float(np.diff(curve.log_odds(np.array([0.0, 1.0])))[0])

    assert slope(few, others) > 0.5 > 0.1 > slope(many, others)
    assert Pairs(z, z > 9, positives=10).weight == 1


def test_a_pair_model_learns_what_its_inputs_say() -> None:
    rng = np.random.default_rng(4)
    inputs = {"a": rng.normal(size=3000), "b": rng.normal(size=3000), "flat": np.ones(3000)}
    same = rng.random(3000) < 1 / (1 + np.exp(-2 * inputs["a"] + inputs["b"]))
    model = fit_pair_model({}, inputs, same)
    weights = dict(zip(model.inputs, model.weights, strict=True))
    assert weights["a"] == pytest.approx(2, abs=0.25)
    assert weights["b"] == pytest.approx(-1, abs=0.25)
    assert weights["flat"] == pytest.approx(0, abs=1e-6)
    nothing = fit_pair_model({}, inputs, np.zeros(3000, dtype=bool))
    assert set(nothing.weights) == {0.0}


def test_the_lead_is_over_the_best_of_any_other_individual() -> None:
    level, who = np.array([[0.9, 0.5, 0.8, 0.1]]), np.array([[0, 1, 0, 2]])
    assert (level - best_of_others(level, who))[0] == pytest.approx([0.4, -0.4, 0.3, -0.8])
    assert best_of_others(np.array([[0.9, 0.5]]), np.array([[3, 3]])).tolist() == [[0.5, 0.5]]  # alone: its own range
    assert best_of_others(np.zeros((2, 0)), np.zeros((2, 0), np.int64)).shape == (2, 0)


def test_decisions_tuned_with_an_option_that_has_gone_are_refused() -> None:
    curve = Calibrator(log=False, mean=0.0, spread=1.0, slope=1.0, intercept=0.0)
    scale = {"log": True, "mean": 0.0, "spread": 1.0}
    model = {"scales": {"photographs": scale}, "inputs": (), "mean": (), "spread": (), "weights": (), "intercept": 0.0}
    for name, update in (("vote/lead", {}), ("vote", {"crowd_weight": 0.5}), ("vote", {"pair_model": model})):
        fields = {"calibrators": {name: curve}, "weights": {name: 1.0}, "threshold": 0.5, "fitted_on": "newt"}
        with pytest.raises(ValidationError, match=r"has gone|crowd_weight"):
            DatasetDecision.model_validate({**fields, **update})
