"""Answers of pseudo-queries scored at every threshold: by hand, and against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from evaluation_cases import answers_of, pseudo_queries
from hypothesis import given, settings
from hypothesis import strategies as st

from animalclef.data.pseudo_query import PseudoQueries
from animalclef.metrics.threshold_sweep import Roles, Sweep, hits_of, merged, midpoints, score_of, sweep


def score_at(probability: np.ndarray, threshold: float | np.ndarray, pseudo: PseudoQueries) -> tuple[float, ...]:
    return score_of(hits_of(answers_of(probability, pseudo), threshold), Roles.of(pseudo.splits))


def swept(probability: np.ndarray, pseudo: PseudoQueries, grid: np.ndarray) -> Sweep:
    return sweep(answers_of(probability, pseudo), Roles.of(pseudo.splits), grid)


def test_best_candidates_by_hand() -> None:
    same = [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    pseudo = pseudo_queries(["a", "b", "c"], [[1, 1, 0]], [[0, 0, 1]], same)
    probability = np.array([[0.9, 0.4, 0.2], [0.8, 0.7, 0.1], [0.3, 0.2, 0.6]])
    answers = answers_of(probability, pseudo)
    assert answers.known.tolist() == [0.9, 0.8, 0.6]
    assert answers.right.tolist() == [True, False, False]
    assert answers.unknown.tolist() == [0.4, 0.8, 0.6]


def test_scores_at_a_threshold_by_hand() -> None:
    # a has two photographs, one right and one under the threshold; b is right; c and d are new, d is taken for another
    same = [[1, 0], [1, 0], [1, 0], [0, 0], [0, 0]]
    pseudo = pseudo_queries(["a", "a", "b", "c", "d"], [[1, 1, 1, 0, 0]], [[0, 0, 0, 1, 1]], same)
    probability = np.array([[0.9, 0.1], [0.4, 0.1], [0.5, 0.1], [0.2, 0.1], [0.5, 0.1]])
    assert score_at(probability, 0.5, pseudo) == pytest.approx((math.sqrt(0.75 * 0.5), 0.75, 0.5))
    assert score_at(probability, 0.51, pseudo) == pytest.approx((math.sqrt(0.25 * 1), 0.25, 1.0))
    one_each = np.array([0, 0, 0, 1.0, 1.0])
    assert score_at(probability, one_each, pseudo) == pytest.approx((1, 1, 1))


def test_the_plateau_is_the_range_around_the_best() -> None:
    pseudo = pseudo_queries(["a", "b"], [[1, 0]], [[0, 1]], [[1], [0]])
    probability = np.array([[0.8], [0.2]])
    grid = midpoints([answers_of(probability, pseudo)])
    np.testing.assert_allclose(grid, [-0.8, 0.5, 1.8])
    found = swept(probability, pseudo, grid)
    np.testing.assert_allclose(found.score, [0, 1, 0])
    assert found.plateau() == (0.5, 0.5)


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, PseudoQueries]:
    """Random roles, masks and probabilities with many ties."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    people, k, splits = draw(st.integers(2, 6)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    identity = [f"i{who}" for who in [0, 1, *rng.integers(0, people, draw(st.integers(0, 8)))]]
    n = len(identity)
    hidden = np.zeros((splits, people), dtype=bool)
    hidden[:, 1:] = rng.random((splits, people - 1)) < 0.5
    hidden[:, 1] = True
    unknown = hidden[:, [int(name[1:]) for name in identity]]
    known = ~unknown & (rng.random((splits, n)) < 0.8)
    known[:, 0] = True
    same = rng.random((n, k)) < 0.4
    seen = rng.random((n, k)) < 0.8, ~same & (rng.random((n, k)) < 0.8)
    probability = rng.integers(0, 6, (n, k)) / 5
    return probability, pseudo_queries(identity, known, unknown, same, seen=seen)


def slow(probability: np.ndarray, threshold: float, pseudo: PseudoQueries) -> tuple[float, float, float]:
    """Score, BAKS and BAUS, split by split and individual by individual."""
    results = []
    for known, unknown in zip(pseudo.splits.is_known, pseudo.splits.is_unknown, strict=True):
        balanced = []
        for role, seen, is_known in ((known, pseudo.as_known, True), (unknown, pseudo.as_unknown, False)):
            shares: dict[str, list[bool]] = {}
            for row in np.flatnonzero(role):
                ranked = sorted((-probability[row, slot], slot) for slot in np.flatnonzero(seen[row]))
                best, first = (-ranked[0][0], ranked[0][1]) if ranked else (-math.inf, None)
                named = best > -math.inf and best >= threshold
                right = named and first is not None and bool(pseudo.same[row, first]) if is_known else not named
                shares.setdefault(pseudo.splits.identity[row], []).append(right)
            balanced.append(float(np.mean([np.mean(one) for one in shares.values()])))
        results.append((math.sqrt(balanced[0] * balanced[1]), *balanced))
    return tuple(np.mean(results, axis=0))


@settings(max_examples=80, deadline=None)
@given(cases())
def test_sweep_and_score_are_the_brute_force_loop(case: tuple[np.ndarray, PseudoQueries]) -> None:
    probability, pseudo = case
    grid = midpoints([answers_of(probability, pseudo)])
    found = swept(probability, pseudo, grid)
    for place, threshold in enumerate(grid):
        expected = slow(probability, float(threshold), pseudo)
        assert (found.score[place], found.baks[place], found.baus[place]) == pytest.approx(expected)
        assert score_at(probability, float(threshold), pseudo) == pytest.approx(expected)
    anywhere = [slow(probability, one, pseudo)[0] for one in np.linspace(0.001, 0.999, 23)]
    assert found.score.max() >= max(anywhere) - 1e-9


@settings(max_examples=40, deadline=None)
@given(cases(), cases())
def test_two_data_sets_are_swept_over_one_grid_exactly(
    one: tuple[np.ndarray, PseudoQueries], other: tuple[np.ndarray, PseudoQueries]
) -> None:
    grid = midpoints([answers_of(*one), answers_of(*other)])
    both = merged([swept(*one, grid), swept(*other, grid)])
    for place, threshold in enumerate(grid):
        mean = (slow(one[0], threshold, one[1])[0] + slow(other[0], threshold, other[1])[0]) / 2
        assert both.score[place] == pytest.approx(mean)


@settings(max_examples=60, deadline=None)
@given(cases(), st.integers(0, 1000))
def test_an_unknown_query_never_sees_its_own_individual(case: tuple[np.ndarray, PseudoQueries], seed: int) -> None:
    probability, pseudo = case
    before = answers_of(probability, pseudo).unknown
    changed = np.where(pseudo.same, np.random.default_rng(seed).random(probability.shape), probability)
    np.testing.assert_array_equal(answers_of(changed, pseudo).unknown, before)
