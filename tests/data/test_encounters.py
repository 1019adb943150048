"""Encounters: what the table says, else one individual on one date, else near-duplicates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
from rows import Row, image_table, strings
from tiny import photograph

from animalclef.config import EncounterConfig
from animalclef.data.encounters import Encounters, find_encounters, thumbnail
from animalclef.structures import FloatArray, ImageTable


def gallery(*rows: tuple[str, str, str, str]) -> ImageTable:
    """Rows of image_id, identity, date, encounter; the content key of x is `key-x`."""
    ids, identity, date, encounter = (np.array(column, dtype=object) for column in zip(*rows, strict=True))
    blank = np.array([""] * len(rows), dtype=object)
    return ImageTable(
        root=Path(), image_id=ids, path=ids, dataset=np.array(["Newts"] * len(rows), dtype=object),
        is_query=np.zeros(len(rows), dtype=bool), identity=identity, date=date, viewpoint=blank, species=blank,
        encounter=encounter, bbox_xywhr=np.full((len(rows), 5), np.nan, dtype=np.float32),
        key=np.array([f"key-{one}" for one in ids], dtype=object),
    )  # fmt: skip


def groups(found: Encounters) -> list[str]:
    """Image ids that share an encounter, joined and sorted."""
    together: dict[str, list[str]] = {}
    for image_id, encounter in found.of.items():
        together.setdefault(encounter, []).append(image_id)
    return sorted("".join(sorted(ids)) for ids in together.values())


def find(table: ImageTable, thumbnails: Mapping[str, FloatArray] | None = None) -> Encounters:
    return find_encounters(table, thumbnails or {}, EncounterConfig())


def unit(*values: float) -> FloatArray:
    vector = np.array(values, dtype=np.float32)
    return vector / np.linalg.norm(vector)


def test_the_column_comes_first_and_joins_individuals() -> None:
    table = gallery(
        ("a", "Ada", "2020-01-01", "e1"), ("b", "Bea", "2021-01-01", "e1"), ("c", "Ada", "2020-01-01", "e2")
    )
    found = find(table)
    assert groups(found) == ["ab", "c"]
    assert found.links == ()


def test_one_individual_on_one_day() -> None:
    table = gallery(
        ("a", "Ada", "2020-01-01", ""), ("b", "Ada", "2020-01-01 17:20", ""), ("c", "Ada", "2020-01-02", ""),
        ("d", "Bea", "2020-01-01", ""),
    )  # fmt: skip
    assert groups(find(table)) == ["ab", "c", "d"]


def test_the_same_name_in_two_data_sets_is_two_animals() -> None:
    table = gallery(("a", "1", "2020-01-01", "e"), ("b", "1", "2020-01-01", "e"), ("c", "1", "2020-01-01", ""))
    table = table.with_columns(dataset=np.array(["Newts", "Toads", "Toads"], dtype=object))
    assert groups(find(table)) == ["a", "b", "c"]


def test_near_duplicates_are_linked_in_chains_and_nothing_else() -> None:
    """Correlations by hand: a-b and b-c are 0.8 (linked), a-c is 0.28, d is at right angles; e looks like a."""
    thumbnails = {
        "key-a": unit(1, 0, 0), "key-b": unit(0.8, 0.6, 0), "key-c": unit(0.28, 0.96, 0), "key-d": unit(0, 0, 1),
        "key-e": unit(1, 0, 0),
    }  # fmt: skip
    rows = [(one, "Ada", "", "") for one in "abcd"]
    found = find(gallery(*rows, ("e", "Bea", "", "")), thumbnails)
    assert groups(found) == ["abc", "d", "e"]
    assert found.links == (("a", "b", pytest.approx(0.8)), ("b", "c", pytest.approx(0.8)))


def test_the_threshold_itself_links() -> None:
    table = gallery(("a", "Ada", "", ""), ("b", "Ada", "", ""))
    half = {"key-a": unit(1, 0), "key-b": np.array([0.5, 0.75**0.5], dtype=np.float32)}
    linked = find_encounters(table, half, EncounterConfig(near_duplicate_correlation=0.5))
    apart = find_encounters(table, half, EncounterConfig(near_duplicate_correlation=0.51))
    assert (groups(linked), groups(apart)) == (["ab"], ["a", "b"])


def test_dated_photographs_are_not_compared() -> None:
    """Only photographs without a date are looked at; a dated twin of an undated one stays apart."""
    same = {"key-a": unit(1, 0), "key-b": unit(1, 0)}
    assert groups(find(gallery(("a", "Ada", "2020-01-01", ""), ("b", "Ada", "", "")), same)) == ["a", "b"]


def test_a_gallery_of_none() -> None:
    table = gallery(("a", "Ada", "", "")).select(np.array([], dtype=int))
    assert find(table).of == {}


def test_hidden_from_pseudo_queries() -> None:
    table = gallery(
        ("a", "Ada", "2020-01-01", ""), ("b", "Ada", "2020-01-01", ""), ("c", "Ada", "2020-01-02", ""),
        ("d", "Bea", "2020-01-01", ""),
    )  # fmt: skip
    hidden, others = find(table).hidden_from(table.select(np.array([0, 2, 3])), table)
    assert hidden == {"a": frozenset("ab"), "c": frozenset("c"), "d": frozenset("d")}
    assert others == {"a": 1, "c": 2, "d": 0}


def test_thumbnails_are_centred_unit_vectors() -> None:
    values = thumbnail(photograph([0], 0))
    assert values.shape == (1024,)
    assert values.dtype == np.float32
    np.testing.assert_allclose([values.sum(), np.linalg.norm(values)], [0, 1], atol=1e-4)
    assert not thumbnail(np.full((7, 5, 3), 90, dtype=np.uint8)).any()  # flat: like nothing, not like everything
    assert not thumbnail(np.zeros((1, 1, 3), dtype=np.uint8)).any()


def test_thumbnails_tell_a_near_duplicate_from_another_photograph() -> None:
    shot = photograph([0], 0)
    again = np.clip(cv2.resize(shot, None, fx=0.7, fy=0.7).astype(float) * 0.8 + 15, 0, 255).astype(np.uint8)
    assert float(thumbnail(shot) @ thumbnail(again)) > 0.95
    assert float(thumbnail(shot) @ thumbnail(photograph([1], 0))) < 0.7


def test_names_with_slashes_do_not_run_together_and_copies_are_hidden() -> None:
    rows = [Row("1", "b/c", dataset="a"), Row("2", "c", dataset="a/b"), Row("3", "b/c", dataset="a")]
    table = image_table(rows).with_columns(
        date=strings("2024-01-01", "2024-01-01", "2024-02-02"), key=strings("k1", "k2", "k1")
    )
    encounters = find_encounters(table, {}, EncounterConfig())
    assert len(set(encounters.of.values())) == 3
    hidden, others = encounters.hidden_from(table, table)
    assert hidden["1"] == {"1", "3"}
    assert others["1"] == 0


def test_photographs_from_around_the_day_can_be_hidden_too() -> None:
    table = gallery(
        ("a", "Ada", "2024-01-10", ""), ("b", "Ada", "2024-01-12", ""), ("c", "Ada", "2024-02-01", ""),
        ("d", "Ada", "", "known"), ("e", "Bea", "2024-01-10", ""),
    )  # fmt: skip
    found = find(table)
    hidden, others = found.hidden_from(table.select(np.array([0])), table, {"Newts": 5})
    assert hidden["a"] == {"a", "b"}
    assert others["a"] == 2
    hidden, others = found.hidden_from(table.select(np.array([0])), table, {"Other": 5})
    assert (hidden["a"], others["a"]) == ({"a"}, 3)
