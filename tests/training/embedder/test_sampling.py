"""What each kind of batch holds, and that a batch depends on the seed and its number alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from animalclef.config.embedder_training import SamplingConfig
from animalclef.errors import TrainingError
from animalclef.training.embedder.batch_sampling import BatchPlan, plan_batches

LABEL = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 3, 4, 4, 4])
SPECIES = np.array(["newt"] * 9 + ["nyala"] * 5)


def plan(batch_size: int, seed: int = 0, label: Any = LABEL, species: Any = SPECIES, **settings: Any) -> BatchPlan:
    return plan_batches(np.asarray(label), np.asarray(species), SamplingConfig(**settings), batch_size, seed)


def drawn(of: BatchPlan, steps: int) -> list[int]:
    return np.concatenate([of.batch(step) for step in range(steps)]).tolist()


def test_shuffled_shows_every_row_once_an_epoch_and_fills_the_last_batch() -> None:
    batches = plan(4)
    assert batches.steps_per_epoch == 4
    for epoch in range(3):
        rows = np.concatenate([batches.batch(4 * epoch + place) for place in range(4)])
        assert sorted(rows[:14]) == list(range(14))
        following = [*batches.batch(4 * epoch + 4)][:2]
        assert rows[14:].tolist() == following  # the start of the next order
    assert drawn(batches, 4)[:14] != drawn(batches, 8)[16:30]


def test_shuffled_without_a_rest_and_with_a_batch_larger_than_all_rows() -> None:
    even = plan(7)
    assert even.steps_per_epoch == 2
    assert sorted(drawn(even, 2)) == list(range(14))
    large = plan(30)
    assert large.steps_per_epoch == 1
    assert np.bincount(large.batch(5)).tolist().count(2) >= 12  # two orders, and two rows of a third
    assert large.batch(5).shape == (30,)


def test_balanced_draws_classes_evenly_and_uses_up_their_rows() -> None:
    rows = drawn(plan(10, kind="balanced"), 6)
    assert np.bincount(LABEL[rows]).tolist() == [12] * 5
    assert np.bincount(rows).tolist() == [2] * 6 + [6] * 2 + [12] + [6] * 2 + [4] * 3
    for start in range(0, 60, 5):
        assert sorted(LABEL[rows[start : start + 5]]) == [0, 1, 2, 3, 4]


def test_species_balanced_draws_species_then_classes_evenly() -> None:
    rows = drawn(plan(8, kind="species-balanced"), 9)
    assert (SPECIES[rows] == "newt").sum() == 36
    assert np.bincount(LABEL[rows]).tolist() == [12, 12, 12, 18, 18]
    assert np.bincount(rows).tolist() == [2] * 6 + [6] * 2 + [12] + [9] * 2 + [6] * 3


def test_one_species_balanced_by_species_is_balanced() -> None:
    one = np.array(["newt"] * 14)
    rows = drawn(plan(10, species=one, kind="species-balanced"), 2)
    assert np.bincount(LABEL[rows]).tolist() == [4] * 5


def test_pxk_holds_p_individuals_of_one_species_with_k_photographs_each() -> None:
    batches = plan(8, kind="pxk")
    assert batches.steps_per_epoch == 2  # 13 rows can be drawn
    seen = set()
    for step in range(40):
        rows = batches.batch(step)
        assert len(set(SPECIES[rows])) == 1
        who, times = np.unique(LABEL[rows], return_counts=True)
        assert times.tolist() == [4, 4]
        assert 2 not in who  # one photograph
        for one in who:
            own = rows[LABEL[rows] == one]
            assert len(set(own)) == min(4, np.count_nonzero(one == LABEL))  # repeated only where there are too few
        seen.add(tuple(who))
    assert seen == {(0, 1), (3, 4)}


def test_pxk_of_several_species() -> None:
    mixed = plan(6, kind="pxk", per_individual=2, one_species=False)
    batches = [LABEL[mixed.batch(step)] for step in range(60)]
    assert all(np.unique(who, return_counts=True)[1].tolist() == [2, 2, 2] for who in batches)
    assert {tuple(np.unique(who)) for who in batches} == {(0, 1, 3), (0, 1, 4), (0, 3, 4), (1, 3, 4)}


def test_pxk_goes_through_all_individuals_before_one_comes_again() -> None:
    label = np.repeat(np.arange(10), 3)
    batches = plan(6, label=label, species=np.full(30, "newt"), kind="pxk", per_individual=2)
    for start in range(0, 12, 3):  # 10 individuals are three parts of three; the tenth waits
        who = np.concatenate([np.unique(label[batches.batch(step)]) for step in range(start, start + 3)])
        assert len(set(who)) == 9


def test_pxk_with_too_few_individuals_takes_more_of_each() -> None:
    label = np.repeat([0, 1], 10)
    rows = plan(16, label=label, species=np.full(20, "newt"), kind="pxk").batch(3)
    assert np.bincount(label[rows]).tolist() == [8, 8]
    assert len(set(rows)) == 16


def test_a_species_with_one_individual_is_left_out_of_batches_of_one_species() -> None:
    species = np.array(["newt"] * 8 + ["gecko"] + ["nyala"] * 2 + ["lynx"] * 3)
    rows = drawn(plan(8, species=species, kind="pxk"), 10)
    assert set(LABEL[rows]) == {0, 1}


def test_what_pxk_cannot_do() -> None:
    with pytest.raises(TrainingError, match="batch of 10 cannot hold two or more individuals with 4 photographs"):
        plan(10, kind="pxk")
    with pytest.raises(TrainingError, match="batch of 4 cannot"):
        plan(4, kind="pxk")
    with pytest.raises(TrainingError, match="No two individuals of one species"):
        plan(8, label=np.arange(14), kind="pxk")
    with pytest.raises(TrainingError, match="No two individuals have two"):
        plan(8, label=np.arange(14), kind="pxk", one_species=False)


KINDS = st.sampled_from(["shuffled", "balanced", "species-balanced", "pxk"])


@given(KINDS, st.integers(0, 2**40), st.integers(1, 5), st.integers(0, 10**6))
def test_a_batch_depends_on_the_seed_and_its_number_alone(kind: Any, seed: int, size: int, step: int) -> None:
    first, again = (plan(8 * size, seed, kind=kind) for _ in range(2))
    wanted = first.batch(step)
    assert wanted.shape == (8 * size,)
    assert wanted.dtype == np.int64
    assert 0 <= wanted.min() <= wanted.max() < 14
    for other in (step + 3, 0, step + 1):
        again.batch(other)
    assert np.array_equal(again.batch(step), wanted)


@pytest.mark.parametrize("kind", ["shuffled", "balanced", "species-balanced", "pxk"])
def test_two_seeds_differ(kind: Any) -> None:
    assert drawn(plan(8, 1, kind=kind), 4) != drawn(plan(8, 2, kind=kind), 4)
