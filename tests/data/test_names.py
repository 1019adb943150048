"""Missing values, spellings of names and viewpoints."""

from __future__ import annotations

from pathlib import Path

import pytest

from animalclef.data.names import comparable, is_missing, looks_missing, spelled_as, viewpoint_name
from animalclef.data.sources import find_source
from animalclef.data.table import LoadedTable, load_table


def load(folder: Path, text: str) -> LoadedTable:
    (folder / "metadata.csv").write_text(text, encoding="utf-8")
    return load_table(find_source(folder))


@pytest.mark.parametrize("cell", ["NA", "N/A", "None", "null", "NaT", "#N/A", "____", "-", "?", "nan", ""])
def test_missing_values_are_no_individual_and_no_date(tmp_path: Path, cell: str) -> None:
    assert is_missing(cell)
    loaded = load(tmp_path, f"image_id,path,identity,date\n1,a.jpg,Ada,{cell}\n2,b.jpg,{cell},2023-01-01\n")
    assert loaded.images.identity.tolist() == ["Ada", None]
    assert loaded.images.is_query.tolist() == [False, True]
    assert loaded.images.date.tolist() == ["", "2023-01-01"]
    assert loaded.problems == []


def test_unidentified_is_no_individual_and_a_look_alike_is_reported(tmp_path: Path) -> None:
    text = "image_id,path,identity,split\n1,a.jpg,Unidentified,train\n2,b.jpg,unkn,train\n3,c.jpg,Una,train\n"
    loaded = load(tmp_path, text)
    assert loaded.images.identity.tolist() == [None, "unkn", "Una"]
    assert [str(one) for one in loaded.problems][1:] == [
        "metadata.csv, line 3: identity 'unkn' looks like a missing value, but is read as a name. "
        "Empty those cells if it is."
    ]
    looks = ("Not known", "xx", "Noname", "UNKNOWN_1", "n.d.", "(blank)", "indet.", "-1", "unbekannt", "Undetermined")
    assert [one for one in looks if not looks_missing(one)] == []
    assert [one for one in ("Newton", "T001", "Ada-1", "Blanka", "Nilo", "7", "Indetta") if looks_missing(one)] == []


def test_spellings_of_one_name_are_one_animal(tmp_path: Path) -> None:
    names = ["Zoë", "Zoe\u0308", "ZOË", "zoë\u200b", "Ada  B", "Ada B", "Zoe"]
    rows = "".join(f"{n},{n}.jpg,{who}\n" for n, who in enumerate(names))
    loaded = load(tmp_path, "image_id,path,identity\n" + rows)
    assert loaded.images.identity.tolist() == ["Zoë"] * 4 + ["Ada  B"] * 2 + ["Zoe"]
    assert len(loaded.problems) == 4
    assert "'ZO\\xcb' and 'Zo\\xeb' differ by case, spaces or accents only" in " ".join(
        str(one) for one in loaded.problems
    )
    assert comparable("Zoe") != comparable("Zoë")


def test_spellings_stay_apart_where_case_says_something(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("image_id,path,identity\n1,a.jpg,a1\n2,b.jpg,A1\n")
    loaded = load_table(find_source(tmp_path, merge_case=False))
    assert loaded.images.identity.tolist() == ["a1", "A1"]
    assert loaded.problems == []
    assert spelled_as(["A1", None, "b"], ["x"] * 3, [("x", "a1")]) == ["a1", None, "b"]


def test_names_that_are_nearly_alike_are_reported_and_stay_apart(tmp_path: Path) -> None:
    text = "image_id,path,identity,dataset\n1,a.jpg,A-01,n\n2,b.jpg,A\u20131,n\n3,c.jpg,A-01,m\n4,d.jpg,a-01\ufe0f,n\n"
    loaded = load(tmp_path, text)
    assert loaded.images.identity.tolist() == ["A-01", "A\u20131", "A-01", "A-01"]
    assert [str(problem) for problem in loaded.problems] == [
        "metadata.csv: identity 'a-01\\ufe0f' and 'A-01' differ by case, spaces or accents only; both are read as the "
        "last.",
        "metadata.csv, line 3: identity 'A-01' and 'A\\u20131' are nearly alike, and read as two individuals.",
    ]


@pytest.mark.parametrize("column", ["dataset", "species"])
def test_spellings_of_one_data_set_are_one(tmp_path: Path, column: str) -> None:
    text = f"image_id,path,identity,{column}\n1,a.jpg,Ada,Newt\n2,b.jpg,,newt \n3,c.jpg,,NA\n"
    loaded = load(tmp_path, text)
    assert loaded.images.dataset.tolist() == ["Newt"] * 3
    assert [str(problem) for problem in loaded.problems] == [
        f"metadata.csv: {column} 'newt' and 'Newt' differ by case, spaces or accents only; both are read as the last.",
        f"metadata.csv, line 4: {column}: empty; the photograph is taken for one of Newt",
    ]


def test_spellings_of_one_species_are_one(tmp_path: Path) -> None:
    alone = "image_id,path,identity,species\n1,a.jpg,Ada,Lynx lynx\n2,b.jpg,Bea,Lynx lynx\n3,c.jpg,,lynx lynx\n"
    loaded = load(tmp_path, alone)
    assert loaded.images.species.tolist() == loaded.images.dataset.tolist() == ["Lynx lynx"] * 3
    assert len(loaded.problems) == 1
    beside = "path,identity,species,dataset\na.jpg,Ada,Lynx lynx,x\nb.jpg,Bea,Lynx lynx,y\nc.jpg,,lynx lynx,y\n"
    loaded = load(tmp_path, beside)
    assert loaded.images.species.tolist() == ["Lynx lynx"] * 3
    assert len(loaded.problems) == 1
    assert str(loaded.problems[0]).startswith("metadata.csv: species 'lynx lynx' and 'Lynx lynx' differ by case")


def test_database_photographs_without_a_data_set_stay_apart(tmp_path: Path) -> None:
    loaded = load(tmp_path, "image_id,path,identity,species\n1,a.jpg,Ada,newt\n2,b.jpg,Bea,\n3,c.jpg,,\n")
    assert loaded.images.dataset.tolist() == ["newt", tmp_path.name, tmp_path.name]
    assert "species: empty" in str(loaded.problems[0])


def test_an_unknown_encounter_is_none(tmp_path: Path) -> None:
    loaded = load(tmp_path, "image_id,path,identity,encounter\n1,a.jpg,Ada,unknown\n2,b.jpg,Ada,E7\n")
    assert loaded.images.encounter.tolist() == ["", "E7"]


def test_names_of_different_data_sets_stay_apart(tmp_path: Path) -> None:
    loaded = load(tmp_path, "image_id,path,identity,dataset\n1,a.jpg,Ada,x\n2,b.jpg,ada,y\n")
    assert loaded.images.identity.tolist() == ["Ada", "ada"]
    assert loaded.problems == []


def test_viewpoints_match_however_they_are_spelled(tmp_path: Path) -> None:
    loaded = load(tmp_path, "image_id,path,identity,orientation\n1,a.jpg,Ada,left\n2,b.jpg,Ada,LEFT\n3,c.jpg,Ada,R\n")
    assert loaded.images.viewpoint.tolist() == ["left", "left", "right"]
    assert [str(one) for one in loaded.problems] == [
        "metadata.csv: viewpoints in several spellings: 'LEFT' as left are read."
    ]
    assert [viewpoint_name(one) for one in ("Left side", "topleft", "front_left")] == ["left", "topleft", "front_left"]


def test_one_photograph_under_two_identities_is_reported(tmp_path: Path) -> None:
    loaded = load(tmp_path, "image_id,path,identity\n1,a.jpg,Ada\n2,a.jpg,Bea\n3,b.jpg,Ada\n")
    assert [str(one) for one in loaded.problems] == [
        "metadata.csv, line 3: a.jpg stands under two identities: Ada (line 2) and Bea."
    ]


def test_a_carriage_return_in_a_name_stops_before_the_work(tmp_path: Path) -> None:
    from animalclef.errors import DataError

    with pytest.raises(DataError, match=r"line 2: identity: holds the control character U\+000D"):
        load(tmp_path, 'image_id,path,identity\n1,a.jpg,"Ada\rB"\n')
    with pytest.raises(DataError, match=r"line 2: dataset: holds the control character U\+001B"):
        load(tmp_path, "image_id,path,identity,dataset\n1,a.jpg,Ada,\x1b[31mred\n")


def test_columns_by_any_name_and_what_was_taken(tmp_path: Path) -> None:
    loaded = load(tmp_path, "File Name,Individual ID,Date_Taken\na.jpg,Ada,2023-01-01\na.jpg,,2023-01-02\n")
    assert loaded.images.image_id.tolist() == ["a.jpg", "a.jpg#2"]
    assert loaded.images.date.tolist() == ["2023-01-01", "2023-01-02"]
    assert [str(one) for one in loaded.problems] == [
        "metadata.csv, line 1: the column File Name is read as path.",
        "metadata.csv, line 1: the column Individual ID is read as identity.",
        "metadata.csv, line 1: the column Date_Taken is read as date.",
    ]


def test_columns_that_the_user_names(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("n,where,who,identity\n1,a.jpg,Ada,x\n2,b.jpg,,y\n")
    source = find_source(tmp_path, columns={"path": "where", "identity": "WHO", "image_id": "n"})
    loaded = load_table(source)
    assert loaded.images.identity.tolist() == ["Ada", None]
    assert loaded.images.image_id.tolist() == ["1", "2"]
    assert loaded.problems == []


def test_a_photograph_that_stands_twice_under_one_name_is_told(tmp_path: Path) -> None:
    loaded = load(tmp_path, "path,identity\na.jpg,Ada\nb.jpg,Bea\na.jpg,Ada\n")
    assert [str(one) for one in loaded.problems] == [
        "metadata.csv, line 4: path: this photograph stands under the same identity on an earlier line; leave out one "
        "of the two"
    ]
