"""Intervals over individuals: by hand, and against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest

from animalclef.data.pseudo_query import OpenSetSplits
from animalclef.metrics.bootstrap import (
    influence_of_individuals,
    interval_over_individuals,
    mean_interval,
    of_other_queries,
)
from animalclef.metrics.competition import ScoreKernel
from animalclef.metrics.threshold_sweep import Roles


def splits(identity: list[str], known: list[list[int]]) -> OpenSetSplits:
    is_known = np.array(known, dtype=bool).reshape(len(known), len(identity))
    names = np.array([f"p{row}" for row in range(len(identity))], dtype=object)
    return OpenSetSplits(names, np.array(identity, dtype=object), is_known, ~is_known)


def test_all_right_and_all_wrong_are_no_certainty() -> None:
    """Wilson's ends of 2 of 2 are 2 / (2 + 1.96^2) = 0.342 and 1, of 3 of 3 0.438 and 1, of 0 of 3 0 and 0.562."""
    roles = splits(["a", "a", "b", "c"], [[1, 1, 0, 0], [0, 0, 1, 0]])  # a and b are known; b, c and a unknown
    always, never = np.ones(4, bool), np.zeros(4, bool)
    low = np.sqrt(0.3424 * 0.4385)
    assert interval_over_individuals(always, always, roles, of_next=False) == pytest.approx((low, 1.0), abs=1e-3)
    high = np.sqrt(1.0 * 0.5615)
    assert interval_over_individuals(always, never, roles, of_next=False) == pytest.approx((0.0, high), abs=1e-3)
    assert interval_over_individuals(always, always, roles) == pytest.approx((1 - np.sqrt(2) * (1 - low), 1), abs=2e-3)


def test_nothing_to_draw_from_has_no_interval() -> None:
    none = np.zeros(0, bool)
    assert np.isnan(interval_over_individuals(none, none, splits([], []))).all()


def test_two_of_four_unknown_individuals_right() -> None:
    """Known always right, so the score is sqrt(share of unknown): sqrt(1/2) = 0.707, between 0 and 1."""
    identity = ["k", "u1", "u2", "u3", "u4"]
    roles = splits(identity, [[1, 0, 0, 0, 0]])
    hit = np.array([True, True, True, False, False])
    low, high = interval_over_individuals(np.ones(5, bool), hit, roles, of_next=False)
    assert low == 0.0
    assert high == 1.0
    many = splits([f"k{n}" for n in range(400)] + [f"u{n}" for n in range(400)], [[1] * 400 + [0] * 400])
    half = np.arange(800) % 2 == 0
    low, high = interval_over_individuals(np.ones(800, bool), half, many, of_next=False, draws=4000)
    # the share's standard error is sqrt(0.25 / 400) = 0.025; of its root, 0.025 / (2 * 0.707) = 0.0177
    assert low == pytest.approx(0.7071 - 1.96 * 0.0177, abs=0.004)
    assert high == pytest.approx(0.7071 + 1.96 * 0.0177, abs=0.004)
    wide = interval_over_individuals(np.ones(800, bool), half, many, draws=4000)
    assert wide[1] - wide[0] == pytest.approx(np.sqrt(2) * (high - low))


def test_a_draw_is_the_official_score_of_the_drawn_individuals() -> None:
    """One draw by one draw: the ends of a one-draw interval against ScoreKernel on the repeated individuals."""
    identity = ["a", "a", "b", "c", "c", "c", "d"]
    roles = splits(identity, [[1, 1, 1, 0, 0, 0, 0]])
    hits = np.array([1, 0, 1, 1, 0, 1, 1], bool)
    for seed in range(6):
        count = np.random.default_rng([seed, 4]).multinomial(4, np.full(4, 0.25), size=1)[0]
        rows = [
            (f"{who}{n}", row) for n in range(4) for row, who in enumerate(identity) if n < count["abcd".index(who)]
        ]
        known = np.array([roles.is_known[0, row] for _, row in rows])
        if known.all() or not known.any():
            continue
        names = np.array([name for name, _ in rows], dtype=object)
        kernel = ScoreKernel(names, np.array(["x"] * len(rows), dtype=object), known)
        answer = [
            (name if hits[row] else "wrong") if roles.is_known[0, row] else (None if hits[row] else "wrong")
            for name, row in rows
        ]
        expected = kernel.score(kernel.encode(np.array(answer, dtype=object))).overall
        ends = interval_over_individuals(hits, hits, roles, draws=1, seed=seed, of_next=False)
        assert any(end == pytest.approx(expected) for end in ends)


def test_other_queries_lie_sqrt_2_times_as_far_and_within_the_scale() -> None:
    assert of_other_queries(0.5, 0.4, 0.7) == pytest.approx((0.5 - 0.1 * 2**0.5, 0.5 + 0.2 * 2**0.5))
    assert of_other_queries(0.9, 0.2, 0.99) == (0.0, 1.0)


def test_the_mean_over_data_sets_adds_distances_in_squares() -> None:
    assert mean_interval([]) is None
    found = mean_interval([(0.5, 0.2, 0.8), (0.7, 0.3, 0.7)])
    assert found == pytest.approx((0.6, 0.6 - 0.25, 0.6 + 0.15))


def test_the_influence_of_individuals_by_hand() -> None:
    # one split; a and b known (a right, b wrong), c and d unknown (both right): BAKS 1/2, BAUS 1
    is_known, is_unknown = np.array([[1, 1, 0, 0]], dtype=bool), np.array([[0, 0, 1, 1]], dtype=bool)
    names = np.array(["a", "b", "c", "d"], dtype=object)
    roles = Roles.of(OpenSetSplits(names, names, is_known, is_unknown))
    hits = np.array([True, False, False, False]), np.array([False, False, True, True])
    influence = influence_of_individuals(hits, roles, np.arange(4))
    slope = 0.5 * np.sqrt(1 / 0.5)  # of sqrt(BAKS) at 1/2
    assert influence == pytest.approx([slope * 0.25, -slope * 0.25, 0, 0])


def test_without_splits_nobody_has_influence() -> None:
    nothing = np.zeros((0, 2), dtype=bool)
    names = np.array(["a", "b"], dtype=object)
    roles = Roles.of(OpenSetSplits(names, names, nothing, nothing))
    hits = np.zeros(2, dtype=bool), np.zeros(2, dtype=bool)
    assert influence_of_individuals(hits, roles, np.arange(2)).tolist() == [0, 0]
