"""Pseudo-queries laid out, masked and scored: by hand, and against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from evaluation_cases import gallery_of, pseudo_queries
from hypothesis import given, settings
from hypothesis import strategies as st

from animalclef.artefacts import PairScores
from animalclef.data.splits import OpenSetSplits
from animalclef.evaluation.validation import (
    PseudoQueries,
    best_as_known,
    best_as_unknown,
    lay_out,
    merged,
    score_at,
    sweep,
    thresholds,
)


def strings(*values: str) -> np.ndarray:
    return np.array(values, dtype=object)


def one_split(image_id: np.ndarray, identity: np.ndarray, unknown: list[int]) -> OpenSetSplits:
    hidden = np.array([unknown], dtype=bool)
    return OpenSetSplits(image_id, identity, ~hidden, hidden)


def test_masks_by_hand() -> None:
    gallery = gallery_of(["a", "a", "a", "b", "c", "d"], viewpoint=["left", "left", "right", "", "left", "right"])
    query_id = strings("g0", "g0", "g0", "g0", "g0", "g3", "g3")
    gallery_id = strings("g1", "g3", "g2", "g4", "g5", "g0", "g5")
    scores = PairScores(query_id, gallery_id, {"similarity": np.arange(7, dtype=np.float32)})
    splits = one_split(strings("g0", "g3"), strings("a", "b"), [0, 1])
    pseudo = lay_out(scores, gallery, splits, top_k=2)
    # g0 sees a, b, a, c, d: its first two with its own individual, its first two strangers without
    assert pseudo.same[0].tolist() == [True, False, True, False, False]
    assert pseudo.as_known[0].tolist() == [True, True, False, False, False]
    assert pseudo.as_unknown[0].tolist() == [False, True, False, True, False]
    assert pseudo.agrees[0].tolist() == [True, True, False, True, False]
    # g3, the only b, sees a and d; the slots it does not fill are nobody's
    assert pseudo.same[1].tolist() == [False] * 5
    assert pseudo.as_known[1].tolist() == pseudo.as_unknown[1].tolist() == [True, True, False, False, False]
    np.testing.assert_array_equal(pseudo.columns["similarity"][1], [5, 6, np.nan, np.nan, np.nan])


def test_pairs_of_other_data_sets_are_left_out_and_a_query_may_have_none() -> None:
    gallery = gallery_of(["a", "a", "b"])
    scores = PairScores(strings("g0"), strings("g1"), {"similarity": np.ones(1, np.float32)})
    pseudo = lay_out(scores, gallery, one_split(strings("g2"), strings("b"), [1]), top_k=3)
    assert len(pseudo) == 1
    assert not pseudo.as_known.any()
    assert best_as_unknown(np.ones((1, 1)), pseudo).tolist() == [0]
    best, right = best_as_known(np.ones((1, 1)), pseudo)
    assert (best.tolist(), right.tolist()) == ([0], [False])


def test_best_candidates_by_hand() -> None:
    same = [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    pseudo = pseudo_queries(["a", "b", "c"], [[1, 1, 0]], [[0, 0, 1]], same)
    probability = np.array([[0.9, 0.4, 0.2], [0.8, 0.7, 0.1], [0.3, 0.2, 0.6]])
    best, right = best_as_known(probability, pseudo)
    assert best.tolist() == [0.9, 0.8, 0.6]
    assert right.tolist() == [True, False, False]
    assert best_as_unknown(probability, pseudo).tolist() == [0.4, 0.8, 0.6]


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
    grid = thresholds(probability, pseudo)
    np.testing.assert_allclose(grid, [0, 0.1, 0.5, 0.9, 1])
    swept = sweep(probability, pseudo, grid)
    np.testing.assert_allclose(swept.score, [0, 0, 1, 0, 0])
    assert swept.plateau() == (0.5, 0.5)


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
                best, first = (-ranked[0][0], ranked[0][1]) if ranked else (0.0, None)
                named = best >= threshold
                right = named and first is not None and bool(pseudo.same[row, first]) if is_known else not named
                shares.setdefault(pseudo.splits.identity[row], []).append(right)
            balanced.append(float(np.mean([np.mean(one) for one in shares.values()])))
        results.append((math.sqrt(balanced[0] * balanced[1]), *balanced))
    return tuple(np.mean(results, axis=0))


@settings(max_examples=80, deadline=None)
@given(cases())
def test_sweep_and_score_are_the_brute_force_loop(case: tuple[np.ndarray, PseudoQueries]) -> None:
    probability, pseudo = case
    grid = thresholds(probability, pseudo)
    swept = sweep(probability, pseudo, grid)
    for place, threshold in enumerate(grid):
        expected = slow(probability, float(threshold), pseudo)
        assert (swept.score[place], swept.baks[place], swept.baus[place]) == pytest.approx(expected)
        assert score_at(probability, float(threshold), pseudo) == pytest.approx(expected)
    anywhere = [slow(probability, one, pseudo)[0] for one in np.linspace(0.001, 0.999, 23)]
    assert swept.score.max() >= max(anywhere) - 1e-9


@settings(max_examples=40, deadline=None)
@given(cases(), cases())
def test_two_data_sets_are_swept_over_one_grid_exactly(
    one: tuple[np.ndarray, PseudoQueries], other: tuple[np.ndarray, PseudoQueries]
) -> None:
    grid = np.unique(np.concatenate([thresholds(*one), thresholds(*other)]))
    both = merged([sweep(*one, grid), sweep(*other, grid)])
    for place, threshold in enumerate(grid):
        mean = (slow(one[0], threshold, one[1])[0] + slow(other[0], threshold, other[1])[0]) / 2
        assert both.score[place] == pytest.approx(mean)


@settings(max_examples=60, deadline=None)
@given(cases(), st.integers(0, 1000))
def test_an_unknown_query_never_sees_its_own_individual(case: tuple[np.ndarray, PseudoQueries], seed: int) -> None:
    probability, pseudo = case
    before = best_as_unknown(probability, pseudo)
    changed = np.where(pseudo.same, np.random.default_rng(seed).random(probability.shape), probability)
    np.testing.assert_array_equal(best_as_unknown(changed, pseudo), before)
