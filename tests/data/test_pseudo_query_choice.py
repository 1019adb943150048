"""Which photographs play the query, and in which role."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from evaluation_cases import gallery_of
from hypothesis import given, settings
from hypothesis import strategies as st

from animalclef.config import DecideConfig
from animalclef.data.pseudo_query import OpenSetSplits, choose_pseudo_queries, open_set_splits


def one_each(count: int) -> dict[str, str]:
    """Every photograph is an encounter of its own."""
    return {f"g{row}": f"e{row}" for row in range(count)}


def test_all_take_part_where_there_are_few() -> None:
    gallery = gallery_of(["b", "a", "a", "c"])
    chosen = choose_pseudo_queries(gallery, one_each(4), DecideConfig(), seed=0)
    assert chosen.image_id.tolist() == ["g0", "g1", "g2", "g3"]


def test_individuals_take_turns() -> None:
    gallery = gallery_of(["often"] * 50 + ["b", "b", "c"])
    chosen = choose_pseudo_queries(gallery, one_each(53), DecideConfig(pseudo_queries=6), seed=0)
    assert Counter(chosen.identity) == {"often": 3, "b": 2, "c": 1}


def test_one_photograph_of_each_encounter_comes_first() -> None:
    gallery = gallery_of(["a"] * 30)
    encounter = {f"g{row}": "burst" if row < 28 else f"e{row}" for row in range(30)}
    for seed in range(5):
        chosen = choose_pseudo_queries(gallery, encounter, DecideConfig(pseudo_queries=3), seed)
        assert {encounter[one] for one in chosen.image_id} == {"burst", "e28", "e29"}


def test_the_choice_follows_the_seed_and_the_gallerys_order() -> None:
    gallery = gallery_of([f"i{row % 40}" for row in range(120)])
    config = DecideConfig(pseudo_queries=30)
    ids = [choose_pseudo_queries(gallery, one_each(120), config, seed).image_id.tolist() for seed in (0, 0, 1)]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0] == sorted(ids[0], key=lambda one: int(one[1:]))


def test_an_empty_gallery_gives_no_pseudo_queries_and_no_splits() -> None:
    gallery = gallery_of([])
    pseudo = choose_pseudo_queries(gallery, {}, DecideConfig(), seed=0)
    splits = open_set_splits(pseudo, gallery, {}, DecideConfig(), seed=0)
    assert (len(pseudo), splits.is_known.shape) == (0, (0, 0))


def splits_of(identities: list[str], encounter: dict[str, str], **settings: object) -> OpenSetSplits:
    gallery = gallery_of(identities)
    return open_set_splits(gallery, gallery, encounter, DecideConfig(**settings), seed=0)


def test_an_individual_seen_once_can_only_be_unknown() -> None:
    identities = ["a", "a", "b", "b", "once", "twins", "twins"]
    encounter = one_each(7) | {"g5": "same day", "g6": "same day"}
    splits = splits_of(identities, encounter, splits=12)
    assert len(splits.is_known) == 12
    assert not splits.is_known[:, 4:].any()
    assert splits.is_unknown[:, 4].any()


def test_all_photographs_of_an_individual_have_one_role() -> None:
    identities = [f"i{row % 7}" for row in range(21)]
    splits = splits_of(identities, one_each(21), splits=10)
    for unknown in splits.is_unknown:
        roles = defaultdict(set)
        for identity, role in zip(identities, unknown, strict=True):
            roles[identity].add(bool(role))
        assert all(len(one) == 1 for one in roles.values())
    assert splits.is_unknown.sum(axis=1).tolist() == [9] * 10  # 40% of seven individuals are three, of three each


@pytest.mark.parametrize("identities", [["a"] * 6, [f"i{row}" for row in range(6)]])
def test_one_individual_or_only_singletons_leave_no_split(identities: list[str]) -> None:
    assert len(splits_of(identities, one_each(6)).is_known) == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), min_size=1, max_size=30),
    st.floats(0.05, 0.95),
    st.integers(0, 100),
)
def test_roles_are_honest_in_every_split(photographs: list[tuple[int, int]], share: float, seed: int) -> None:
    identities = [f"i{who}" for who, _ in photographs]
    encounter = {f"g{row}": f"i{who}/{event}" for row, (who, event) in enumerate(photographs)}
    gallery = gallery_of(identities)
    config = DecideConfig(unknown_share=share, splits=3, pseudo_queries=20)
    pseudo = choose_pseudo_queries(gallery, encounter, config, seed)
    splits = open_set_splits(pseudo, gallery, encounter, config, seed)
    again = open_set_splits(pseudo, gallery, encounter, config, seed)
    np.testing.assert_array_equal(splits.is_known, again.is_known)
    events = defaultdict(set)
    for who, event in photographs:
        events[f"i{who}"].add(event)
    for known, unknown in zip(splits.is_known, splits.is_unknown, strict=True):
        assert known.any()
        assert unknown.any()
        assert not (known & unknown).any()
        assert all(len(events[who]) > 1 for who in splits.identity[known])
        assert not set(splits.identity[known]) & set(splits.identity[unknown])


def test_a_pseudo_query_cannot_have_both_roles() -> None:
    name, role = np.array(["g0"], dtype=object), np.ones((1, 1), dtype=bool)
    with pytest.raises(ValueError, match="known and unknown"):
        OpenSetSplits(name, name, role, role)
