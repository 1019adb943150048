"""Finds from another side of the animal, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rows import strings

from animalclef.data.pseudo_query import OpenSetSplits, PseudoQueries
from animalclef.decision.viewpoint_bias import events_show_through, from_own_side_only


def pseudo(found_from_own_side: int, n: int = 24) -> PseudoQueries:
    """Each sees its individual from its own side, from another, and a stranger; one of the first two scores best."""
    own = np.arange(n) < found_from_own_side
    inliers = np.stack([np.where(own, 9, 2), np.where(own, 2, 9), np.full(n, 5)], axis=1).astype(np.float32)
    same = np.tile([True, True, False], (n, 1))
    agrees = np.tile([True, False, True], (n, 1))
    every = np.ones_like(same)
    splits = OpenSetSplits(
        strings(*(f"q{row}" for row in range(n))), strings(*(f"a{row // 2}" for row in range(n))),
        np.tile(np.arange(n) % 4 < 2, (1, 1)), np.tile(np.arange(n) % 4 >= 2, (1, 1)),
    )  # fmt: skip
    return PseudoQueries({"inliers": inliers}, same, agrees, every, every & ~same, splits)


@pytest.mark.parametrize(("own", "told"), [(0, True), (5, True), (7, False), (24, False)])
def test_right_finds_from_the_same_side_are_half_of_what_is_usual_or_less(own: int, told: bool) -> None:
    assert events_show_through(pseudo(own)) is told  # half of the right candidates are of the same side: 6 of 24


def test_few_finds_tell_nothing() -> None:
    assert not events_show_through(pseudo(0, n=8))


def test_without_viewpoints_nothing_is_told() -> None:
    part = pseudo(0)
    assert not events_show_through(replace(part, agrees=np.ones_like(part.agrees)))
    assert not events_show_through(replace(part, same=np.zeros_like(part.same)))


def test_other_sides_of_the_own_individual_are_hidden_and_of_others_not() -> None:
    part = pseudo(0)
    kept = from_own_side_only(part, {f"q{row}" for row in range(24) if row != 1})
    assert kept.as_known[0].tolist() == [True, False, True]
    np.testing.assert_array_equal(kept.as_unknown, part.as_unknown)
    assert kept.splits.is_known[0, :3].tolist() == [True, False, False]
    np.testing.assert_array_equal(kept.splits.is_unknown, part.splits.is_unknown)
