"""Dates as people, cameras and spreadsheets write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from animalclef.config import EncounterConfig
from animalclef.data.dates import day_of, parse_dates
from animalclef.data.encounters import find_encounters
from animalclef.data.sources import find_source
from animalclef.data.table import count_images, load_table


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
        ("Mon May  1 10:11:12 2023", "2023-05-01 10:11:12"),
        ("Mon May  1 10:11:12 UTC 2023", "2023-05-01 10:11:12+00:00"),
        ("2023年5月1日", "2023-05-01"),
        ("2023. 05. 01. 10:11", "2023-05-01 10:11:00"),
        ("20230501T101112Z", "2023-05-01 10:11:12+00:00"),
        ("20230501 10:11:12", "2023-05-01 10:11:12"),
        ("1682935872000000", "2023-05-01 10:11:12"),
        ("1682935872000000000", "2023-05-01 10:11:12"),
        ("1.682935872E+09", "2023-05-01 10:11:12"),
        ("45047,5", "2023-05-01 12:00:00"),
        ("May-01-2023", "2023-05-01"),
        ("12. Dezember 2022", "2022-12-12"),
        ("3. März 2023, 9:05", "2023-03-03 09:05:00"),
        ("10 août 2023", "2023-08-10"),
        ("3 de marzo de 2023", "2023-03-03"),
        ("2023050112300012", "2023-05-01 12:30:00"),  # hundredths
        ("20230501_123000123", "2023-05-01 12:30:00"),  # as some phones name their files
        ("100000000", "1973-03-03 09:46:40"),
        ("20230501 10:11:123", ""),
        ("202399999999999", ""),
        ("168293587200", ""),
        ("2023-05-0112", ""),
        ("99999999999999", ""),
        ("0000:00:00 00:00:00", ""),
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


@pytest.mark.parametrize(
    ("cells", "iso", "possible"),
    [
        (["13/05/23", "28/06/23"], ["2023-05-13", "2023-06-28"], ()),  # year-first would be 2013 and 2028
        (["23-05-01", "23-06-28", "23-12-30"], ["2023-05-01", "2023-06-28", "2023-12-30"], ()),
        (["05/13/23", "06/28/23"], ["2023-05-13", "2023-06-28"], ()),
        (["4/7/23", "13/7/23"], ["2023-07-04", "2023-07-13"], ()),  # a year has two digits
        (["31/12/99"], ["1999-12-31"], ()),
        (["01.05.23"], ["2023-05-01"], ()),
        (["23-05-01"], ["2001-05-23"], ("day-first", "year-first")),
        (["05/06/07"], ["2007-06-05"], ("day-first", "month-first", "year-first")),
        (["1/2/65"], ["1965-02-01"], ("day-first", "month-first")),
    ],
)
def test_years_of_two_digits(cells: list[str], iso: list[str], possible: tuple[str, ...]) -> None:
    parsed = parse_dates(cells)
    assert (parsed.iso, parsed.possible) == (iso, possible)
    assert parsed.ambiguous == ([0] if possible else [])
    assert parse_dates(["23-05-01"], "year-first").iso == ["2023-05-01"]


def test_a_year_or_a_month_is_no_day_and_makes_no_encounter(tmp_path: Path) -> None:
    rows = "1,a.jpg,Ada,2019\n2,b.jpg,Ada,2019\n3,c.jpg,Ada,2020-05\n4,d.jpg,Ada,2020-05-01\n"
    (tmp_path / "metadata.csv").write_text(f"image_id,path,identity,date\n{rows}")
    loaded = load_table(find_source(tmp_path))
    assert [str(one) for one in loaded.problems] == [
        "metadata.csv, line 2: date: a year or a month without a day, so it settles no encounter (also lines 3, 4)"
    ]
    assert count_images(loaded)["datasets"][tmp_path.name]["dated"] == 1
    gallery = loaded.images.gallery.with_columns(key=np.array(list("wxyz"), dtype=object))
    thumbnails = dict(zip("wxyz", np.eye(4, dtype=np.float32), strict=True))  # nothing alike
    encounters = find_encounters(gallery, thumbnails, EncounterConfig())
    assert len(set(encounters.of.values())) == 4


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


def test_a_column_in_two_orders_names_the_setting_that_reads_it(tmp_path: Path) -> None:
    rows = "1,a.jpg,Ada,08.02.2023\n2,b.jpg,Ada,22.04.2023\n3,c.jpg,Ada,5/13/2023\n"
    (tmp_path / "metadata.csv").write_text(f"image_id,path,identity,date\n{rows}")
    assert [str(one) for one in load_table(find_source(tmp_path)).problems] == [
        "metadata.csv, line 2: date: not read, so it counts as absent: '08.02.2023'; the dates of this column are "
        "written in several orders. Say which with date_order=day-first (in --columns; an argument in Python), or "
        "change the others"
    ]
