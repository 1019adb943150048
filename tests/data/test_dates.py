"""Dates as people, cameras and spreadsheets write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from animalclef.data.dates import day_of, parse_dates
from animalclef.data.sources import find_source
from animalclef.data.table import load_table


@pytest.mark.parametrize(
    ("cell", "iso"),
    [
        ("2023-05-01", "2023-05-01"),
        ("2023-05-01T10:11:12+02:00", "2023-05-01T10:11:12+02:00"),
        ("2023:05:01 10:11:12", "2023-05-01 10:11:12"),
        ("13/1/2023 9:05", "2023-01-13 09:05:00"),
        ("28.11.2022", "2022-11-28"),
        ("1682935872", "2023-05-01 10:11:12"),
        ("1682935872000", "2023-05-01 10:11:12"),
        ("20230501", "2023-05-01"),
        ("20230501_101112", "2023-05-01 10:11:12"),
        ("44927", "2023-01-01"),
        ("1 May 2023", "2023-05-01"),
        ("May 1, 2023 9:05 PM", "2023-05-01 21:05:00"),
        ("31/12/2022 23:59:59.5Z", "2022-12-31 23:59:59+00:00"),
        ("2023/5/1", "2023-05-01"),
        ("2019", "2019"),
        ("2023-02-30", ""),
        ("spring", ""),
        ("9" * 500, ""),
    ],
)
def test_one_date(cell: str, iso: str) -> None:
    parsed = parse_dates([cell])
    assert parsed.iso == [iso]
    assert parsed.unreadable == ([] if iso else [0])


def test_one_date_above_12_settles_the_column() -> None:
    assert parse_dates(["5/1/2023", "5/13/2023"]).iso == ["2023-05-01", "2023-05-13"]
    assert parse_dates(["5/1/2023", "13/5/2023"]).iso == ["2023-01-05", "2023-05-13"]


def test_a_column_that_settles_nothing_is_reported_and_can_be_told() -> None:
    assert parse_dates(["5/1/2023"]).ambiguous == [0]
    assert parse_dates(["10.01.2023"]).ambiguous == []
    told = parse_dates(["5/1/2023"], "month-first")
    assert (told.iso, told.ambiguous) == (["2023-05-01"], [])


def test_dates_that_contradict_each_other_are_not_guessed() -> None:
    parsed = parse_dates(["13/1/2023", "1/13/2023", "1/2/2023"])
    assert parsed.iso == ["2023-01-13", "2023-01-13", ""]
    assert parsed.unreadable == [2]


def test_the_number_of_a_day() -> None:
    assert day_of("0001-01-03 10:00") == 3
    assert [day_of(text) for text in ("", "2023", "2023-13-01", "20230501")] == [None] * 4


def test_dates_of_a_table_are_iso_and_the_unreadable_are_absent(tmp_path: Path) -> None:
    rows = "1,a.jpg,Ada,28.11.2022\n2,b.jpg,Ada,03.12.2023\n3,c.jpg,Ada,soon\n4,d.jpg,Ada,NA\n"
    (tmp_path / "metadata.csv").write_text(f"image_id,path,identity,date\n{rows}")
    loaded = load_table(find_source(tmp_path))
    assert loaded.images.date.tolist() == ["2022-11-28", "2023-12-03", "", ""]
    assert [str(one) for one in loaded.problems] == [
        "metadata.csv, line 4: date: not read, so it counts as absent: 'soon'"
    ]
