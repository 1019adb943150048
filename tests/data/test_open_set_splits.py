"""Pseudo-queries and open-set splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from animalclef.config import DecideConfig
from animalclef.data.pseudo_query import OpenSetSplits, choose_pseudo_queries, open_set_splits
from animalclef.structures import ImageTable


def gallery(*identities: str) -> ImageTable:
    """One photograph per name given, with ids 0, 1, 2 ..."""
    n = len(identities)
    ids, blank = np.array([str(row) for row in range(n)], dtype=object), np.array([""] * n, dtype=object)
    return ImageTable(
        root=Path(), image_id=ids, path=ids, dataset=np.array(["Newts"] * n, dtype=object),
        is_query=np.zeros(n, dtype=bool), identity=np.array(identities, dtype=object), date=blank, viewpoint=blank,
        species=blank, encounter=blank, bbox_xywhr=np.full((n, 5), np.nan, dtype=np.float32), key=ids,
    )  # fmt: skip


def alone(table: ImageTable) -> dict[str, str]:
    """Every photograph is an encounter of its own."""
    return {image_id: image_id for image_id in table.image_id}


def test_every_individual_comes_before_a_second_photograph() -> None:
    table = gallery("Ada", "Ada", "Ada", "Ada", "Bea", "Cid")
    chosen = choose_pseudo_queries(table, alone(table), DecideConfig(pseudo_queries=4), seed=0)
    assert sorted(chosen.identity) == ["Ada", "Ada", "Bea", "Cid"]
    rows = [int(image_id) for image_id in chosen.image_id]
    assert rows == sorted(rows)


def test_another_encounter_comes_before_a_second_of_the_same() -> None:
    table = gallery(*["Ada"] * 6)
    encounter = dict(zip(table.image_id, ["e", "e", "e", "e", "e", "f"], strict=True))
    for seed in range(10):
        chosen = choose_pseudo_queries(table, encounter, DecideConfig(pseudo_queries=2), seed=seed)
        assert {encounter[image_id] for image_id in chosen.image_id} == {"e", "f"}


def test_a_small_gallery_plays_whole() -> None:
    table = gallery("Ada", "Bea")
    chosen = choose_pseudo_queries(table, alone(table), DecideConfig(pseudo_queries=100), seed=3)
    assert chosen.image_id.tolist() == ["0", "1"]
    none = table.select(np.array([], dtype=int))
    assert len(choose_pseudo_queries(none, {}, DecideConfig(), seed=0)) == 0


def test_an_individual_is_known_or_unknown_whole() -> None:
    names = [name for name in "ABCDEFGHIJ" for _ in range(3)]
    table = gallery(*names)
    splits = open_set_splits(table, table, alone(table), DecideConfig(unknown_share=0.4, splits=8), seed=0)
    assert splits.is_known.shape == (8, 30)
    assert (splits.is_known ^ splits.is_unknown).all()
    assert (splits.is_unknown.sum(axis=1) == 4 * 3).all()  # 40% of 10 individuals with 3 photographs each
    by_individual = splits.is_unknown.reshape(8, 10, 3)
    assert (by_individual == by_individual[:, :, :1]).all()
    assert len({tuple(row) for row in splits.is_unknown.tolist()}) > 1


def test_singletons_are_never_known() -> None:
    table = gallery("Ada", "Ada", "Bea", "Bea", "Cid", "Dot")
    splits = open_set_splits(table, table, alone(table), DecideConfig(unknown_share=0.5, splits=6), seed=1)
    assert not splits.is_known[:, 4:].any()
    assert splits.is_known.any(axis=1).all()
    assert splits.is_unknown.any(axis=1).all()


def test_one_encounter_is_like_one_photograph() -> None:
    table = gallery("Ada", "Ada", "Bea", "Bea")
    encounter = dict(zip(table.image_id, ["e", "e", "f", "g"], strict=True))
    splits = open_set_splits(table, table, encounter, DecideConfig(splits=4), seed=0)
    assert not splits.is_known[:, :2].any()
    assert splits.is_known[:, 2:].all()


@pytest.mark.parametrize("names", [(), ("Ada",), ("Ada", "Ada", "Ada"), ("Ada", "Bea", "Cid")])
def test_without_both_kinds_there_are_no_splits(names: tuple[str, ...]) -> None:
    table = gallery(*names)
    splits = open_set_splits(table, table, alone(table), DecideConfig(splits=4), seed=0)
    assert splits.is_known.shape == splits.is_unknown.shape == (0, len(names))


def test_seeds_make_the_splits() -> None:
    table = gallery(*[name for name in "ABCDEFGHIJ" for _ in range(2)])
    first, again, other = (
        open_set_splits(table, table, alone(table), DecideConfig(), seed=seed).is_unknown for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_nobody_is_known_and_unknown_at_once() -> None:
    ids, yes = np.array(["0"], dtype=object), np.array([[True]])
    with pytest.raises(ValueError, match="known and unknown in one split"):
        OpenSetSplits(ids, ids, yes, yes)


def test_the_share_of_unknown_holds_where_many_are_singletons() -> None:
    names = [name for number in range(40) for name in [f"t{number}"] * 2] + [f"s{number}" for number in range(60)]
    table = gallery(*names)
    splits = open_set_splits(table, table, alone(table), DecideConfig(unknown_share=0.3, splits=5), seed=0)
    for known, unknown in zip(splits.is_known, splits.is_unknown, strict=True):
        unknown_ones, known_ones = set(splits.identity[unknown]), set(splits.identity[known])
        assert len(unknown_ones) / (len(unknown_ones) + len(known_ones)) == pytest.approx(0.3, abs=0.03)
        single = sum(name.startswith("s") for name in unknown_ones)
        assert abs(single - len(unknown_ones) / 2) <= 1


def test_settings_hold_per_data_set() -> None:
    table = gallery(*["Ada"] * 6, *["Bea"] * 6)
    few = DecideConfig(pseudo_queries={"Newts": 3}, photographs_each={"Other": 1})
    assert len(choose_pseudo_queries(table, alone(table), few, seed=0)) == 3
    assert few.of("pseudo_queries", "Other") == 300
    each = DecideConfig(photographs_each=2)
    assert sorted(choose_pseudo_queries(table, alone(table), each, seed=0).identity) == ["Ada", "Ada", "Bea", "Bea"]
    match = DecideConfig(match_query=True)
    assert len(choose_pseudo_queries(table, alone(table), match, seed=0, queries=5)) == 5
    assert len(choose_pseudo_queries(table, alone(table), match, seed=0, queries=0)) == 12


def test_the_latest_encounters_can_play_the_query() -> None:
    table = gallery(*["Ada"] * 4)
    dated = table.with_columns(date=np.array(["2020-01-01", "2023-05-05", "", "2021-01-01"], dtype=object))
    config = DecideConfig(latest_first=True, pseudo_queries=2)
    assert choose_pseudo_queries(dated, alone(dated), config, seed=0).image_id.tolist() == ["1", "3"]
