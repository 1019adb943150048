"""The curve from a raw score to log-odds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from animalclef.decision import Calibrator
from animalclef.stages.calibrate import fit_calibrator


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
    assert odds.tolist() == [-10, -10, -10, 10, 10]


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


@settings(max_examples=60, deadline=None)
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
