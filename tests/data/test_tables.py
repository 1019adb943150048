"""Tables as people make them, to an `ImageTable`."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from tiny import write_csv

from animalclef.data.sources import Source, find_source
from animalclef.data.table import LoadedTable, count_images, load_table
from animalclef.data.table_file import parse_table, read_table
from animalclef.errors import DataError
from animalclef.structures import ImageTable

HEADER_2025 = "image_id,identity,path,date,orientation,species,split,dataset"
ROWS_2025 = (
    "0,LynxID2025_lynx_37,images/LynxID2025/database/000f.jpg,,right,lynx,database,LynxID2025",
    "3,,images/LynxID2025/query/0012.jpg,,left,lynx,query,LynxID2025",
    "9001,SalamanderID2025_8,images/SalamanderID2025/database/a.jpg,2018-07-02,top,,database,SalamanderID2025",
    "15208,,images/SeaTurtleID2022/turtles-data/data/images/t001/x.JPG,2010-07-02,,loggerhead,query,SeaTurtleID2022",
)
TABLE_2025 = "\n".join([HEADER_2025, *ROWS_2025]) + "\n"


def save(folder: Path, content: str | bytes, name: str = "metadata.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def load(folder: Path, content: str | bytes) -> LoadedTable:
    return load_table(find_source(save(folder, content)))


def refusal(folder: Path, content: str | bytes) -> str:
    with pytest.raises(DataError) as caught:
        load(folder, content)
    return str(caught.value)


def warnings_of(loaded: LoadedTable) -> list[str]:
    assert not any(problem.fatal for problem in loaded.problems)
    return [str(problem) for problem in loaded.problems]


def check_2025(images: ImageTable) -> None:
    assert images.image_id.tolist() == ["0", "3", "9001", "15208"]
    assert images.identity.tolist() == ["LynxID2025_lynx_37", None, "SalamanderID2025_8", None]
    assert images.is_query.tolist() == [False, True, False, True]
    assert images.viewpoint.tolist() == ["right", "left", "top", ""]
    assert images.date.tolist() == ["", "", "2018-07-02", "2010-07-02"]
    assert images.species.tolist() == ["lynx", "lynx", "", "loggerhead"]
    assert images.datasets == ["LynxID2025", "SalamanderID2025", "SeaTurtleID2022"]
    assert images.path[3] == "images/SeaTurtleID2022/turtles-data/data/images/t001/x.JPG"
    assert np.isnan(images.bbox_xywhr).all()


def test_the_2025_layout(tmp_path: Path) -> None:
    loaded = load(tmp_path, TABLE_2025)
    check_2025(loaded.images)
    assert loaded.images.root == tmp_path
    assert loaded.problems == []
    assert not loaded.is_clustering
    assert loaded.submission_id == ["3", "15208"]


@pytest.mark.parametrize(
    "content",
    [
        TABLE_2025.encode("utf-8-sig"),
        TABLE_2025.encode("utf-16"),
        b"\xfe\xff" + TABLE_2025.encode("utf-16-be"),
        TABLE_2025.replace(",", ";"),
        TABLE_2025.replace(",", "\t"),
        TABLE_2025.replace(",", "|"),
        TABLE_2025.replace("\n", "\r\n"),
        TABLE_2025.replace("\n", "\r"),
        TABLE_2025.rstrip("\n"),
        "\n\n" + TABLE_2025 + "\n\n",
        TABLE_2025.replace(",", " , "),
    ],
    ids=[
        "bom",
        "utf-16",
        "utf-16-be",
        "semicolons",
        "tabs",
        "bars",
        "crlf",
        "cr",
        "no last newline",
        "blank lines",
        "spaces",
    ],
)
def test_the_same_table_in_other_clothes(tmp_path: Path, content: str | bytes) -> None:
    loaded = load(tmp_path, content)
    check_2025(loaded.images)
    assert loaded.problems == []


def test_the_2026_task_is_recognised(tmp_path: Path) -> None:
    rows = (
        "0,LynxID2025_lynx_37,images/LynxID2025/train/37/000f.jpg,,right,lynx,train,LynxID2025",
        "3,,images/LynxID2025/test/0012.jpg,,left,lynx,test,LynxID2025",
    )
    assert not load(tmp_path, "\n".join([HEADER_2025, *rows])).is_clustering
    save(tmp_path, "image_id,cluster\n3,cluster_LynxID2025_0\n", "sample_submission.csv")
    loaded = load_table(find_source(tmp_path))
    assert loaded.is_clustering
    assert loaded.images.is_query.tolist() == [False, True]
    assert count_images(loaded)["task"] == "clustering"


def test_horned_lizards_are_2026_without_a_sample(tmp_path: Path) -> None:
    assert load(tmp_path, f"{HEADER_2025}\n9,,images/a.jpg,,,,test,TexasHornedLizards\n").is_clustering


def test_a_repeated_header_line_is_skipped_with_a_warning(tmp_path: Path) -> None:
    loaded = load(tmp_path, "\n".join([HEADER_2025, *ROWS_2025[:2], HEADER_2025, *ROWS_2025[2:]]))
    check_2025(loaded.images)
    assert warnings_of(loaded) == ["metadata.csv, line 4: the header is repeated here; this line is skipped."]


@pytest.mark.parametrize("sign", [",", ";", "|"])
def test_comments_above_the_header_are_skipped_with_a_warning(tmp_path: Path, sign: str) -> None:
    comments = f"# Photographs of 2020, made by Ada\n\n# {sign} {sign}\n"
    loaded = load(tmp_path, comments + TABLE_2025.replace(",", sign))
    check_2025(loaded.images)
    assert warnings_of(loaded) == ["metadata.csv, line 1: a comment before the header is skipped (also line 3)"]
    assert "metadata.csv, line 6: image_id: empty" in refusal(
        tmp_path, f"{comments}image_id,path,identity\n\n,a.jpg,Ada\n"
    )


def test_a_header_may_begin_with_a_number_sign() -> None:
    table = parse_table("#id;path\n#1;a,b.jpg\n2;c,d.jpg\n", Path("x.csv"))
    assert table.columns == ("#id", "path")
    assert table.rows == [{"#id": "#1", "path": "a,b.jpg"}, {"#id": "2", "path": "c,d.jpg"}]
    assert parse_table("# only this", Path("x.csv")).columns == ("# only this",)
    assert parse_table("a|b,path\n1|2,c.jpg\n", Path("x.csv")).columns == ("a|b", "path")


def test_a_comment_that_may_be_a_header_is_named(tmp_path: Path) -> None:
    text = refusal(tmp_path, "# Ada, in May, 2020\nimage_id,path,identity\n1,a.jpg,Ada\n")
    assert "line 1: the column path is missing; there are # Ada, in May, 2020." in text
    assert "If that line is a comment, remove it." in text


def test_a_repeated_column_that_agrees_is_a_warning(tmp_path: Path) -> None:
    loaded = load(tmp_path, "image_id,path,identity,path\n1,a.jpg,Ada,a.jpg\n")
    assert loaded.images.path.tolist() == ["a.jpg"]
    assert warnings_of(loaded) == ["metadata.csv, line 1: the column path stands twice; the first is used."]


def test_a_repeated_column_that_differs_stops(tmp_path: Path) -> None:
    message = refusal(tmp_path, "image_id,path,identity,path\n1,a.jpg,Ada,a.jpg\n2,b.jpg,Bea,c.jpg\n")
    assert message == "metadata.csv, line 3: two columns are called path and differ; remove one."


def test_columns_without_a_name_are_nobodys_business(tmp_path: Path) -> None:
    loaded = load(tmp_path, ",image_id,path,identity,,\n0,1,a.jpg,Ada,x,y\n")
    assert loaded.images.image_id.tolist() == ["1"]
    assert loaded.problems == []


def test_quoted_commas_and_line_breaks_stay_in_their_cell(tmp_path: Path) -> None:
    text = 'image_id,path,identity\n1,"a, b.jpg","Ada\nthe ""Great"""\n2,c.jpg\n'
    message = refusal(tmp_path, text)
    assert message == "metadata.csv, line 4: expected 3 cells, got 2; check commas and quotes."
    loaded = load(tmp_path, text.replace("2,c.jpg", "2,c.jpg,Bea"))
    assert loaded.images.path.tolist() == ["a, b.jpg", "c.jpg"]
    assert loaded.images.identity.tolist() == ['Ada\nthe "Great"', "Bea"]


@pytest.mark.parametrize(("row", "count"), [("2,b.jpg", 2), ("2,b.jpg,Bea,", 4), ("2", 1)])
def test_wrong_cell_counts_name_file_and_line(tmp_path: Path, row: str, count: int) -> None:
    message = refusal(tmp_path, f"image_id,path,identity\n1,a.jpg,Ada\n{row}\n")
    assert message == f"metadata.csv, line 3: expected 3 cells, got {count}; check commas and quotes."


def test_lines_count_as_in_an_editor_even_below_blank_lines(tmp_path: Path) -> None:
    message = refusal(tmp_path, "\n\nimage_id,path,identity\n\n1,a.jpg,Ada\n2,b.jpg\n")
    assert message.startswith("metadata.csv, line 6: expected 3 cells, got 2")


def test_an_open_quote_is_told_with_its_line(tmp_path: Path) -> None:
    message = refusal(tmp_path, 'image_id,path,identity\n1,"a.jpg,Ada\n')
    assert "line 2: not a CSV row" in message
    assert "Check the quotes" in message


def test_a_missing_column_names_those_present(tmp_path: Path) -> None:
    message = refusal(tmp_path, "image_id,where,identity\n1,a.jpg,Ada\n")
    assert message == (
        "metadata.csv, line 1: the column path is missing; there are image_id, where, identity. "
        "Name it with --columns path=COLUMN (in Python: columns={'path': 'COLUMN'})."
    )


def test_duplicate_ids_name_both_lines(tmp_path: Path) -> None:
    message = refusal(tmp_path, "image_id,path,identity\n7,a.jpg,Ada\n8,b.jpg,Ada\n7,c.jpg,Bea\n")
    assert message == "metadata.csv, line 4: image_id 7 stands already on line 2; ids must be unique."


@pytest.mark.parametrize("path", ["../a.jpg", "images/../../a.jpg", "/etc/a.jpg", "C:\\a.jpg", "c:/a.jpg", "..\\a.jpg"])
def test_paths_outside_the_folder_are_refused(tmp_path: Path, path: str) -> None:
    message = refusal(tmp_path, f"image_id,path,identity\n1,a.jpg,Ada\n2,{path},Ada\n")
    assert message == "metadata.csv, line 3: path: leaves the data folder; expected a path relative to the table"


def test_backslashes_separate_folders(tmp_path: Path) -> None:
    images = load(tmp_path, "image_id,path,identity\n1,images\\Ada\\a.jpg,Ada\n2,./b.jpg,Bea\n").images
    assert images.path.tolist() == ["images/Ada/a.jpg", "b.jpg"]


@pytest.mark.parametrize("path", ["a.nef", "a"])
def test_an_unknown_ending_is_a_warning(tmp_path: Path, path: str) -> None:
    loaded = load(tmp_path, f"image_id,path,identity\n1,a.JPG,Ada\n2,{path},Ada\n")
    assert warnings_of(loaded) == [
        "metadata.csv, line 3: path: not an image file by its ending; it is tried all the same"
    ]


def test_an_unknown_split_word_stops(tmp_path: Path) -> None:
    rows = "".join(f"{number},{number}.jpg,Ada,valid\n" for number in range(9))
    message = refusal(tmp_path, f"image_id,path,identity,split\n{rows}")
    assert message == (
        "metadata.csv, line 2: split: expected database/query or train/test (also lines 3, 4, 5, 6, 7 and 3 more)"
    )


@pytest.mark.parametrize(("gallery", "query"), [("train", "test"), ("Database", "Query"), ("gallery", "test")])
def test_words_for_the_split(tmp_path: Path, gallery: str, query: str) -> None:
    images = load(tmp_path, f"image_id,path,identity,split\n1,a.jpg,Ada,{gallery}\n2,b.jpg,,{query}\n").images
    assert images.is_query.tolist() == [False, True]


def test_without_a_split_those_without_a_name_are_queries(tmp_path: Path) -> None:
    loaded = load(tmp_path, "image_id,path,identity\n1,a.jpg,Ada\n2,b.jpg,\n3,c.jpg,nan\n")
    assert loaded.images.is_query.tolist() == [False, True, True]
    assert loaded.images.identity.tolist() == ["Ada", None, None]
    assert loaded.problems == []


def test_a_querys_identity_is_never_read(tmp_path: Path) -> None:
    loaded = load(tmp_path, "image_id,path,identity,split\n1,a.jpg,Ada,database\n2,b.jpg,Secret,query\n")
    assert loaded.images.identity.tolist() == ["Ada", None]
    assert warnings_of(loaded) == ["metadata.csv, line 3: a query has an identity; it is ignored and never read"]
    for value in vars(loaded.images).values():
        assert "Secret" not in str(value)


def test_an_image_table_refuses_a_querys_identity(tmp_path: Path) -> None:
    images = load(tmp_path, "image_id,path,identity\n1,a.jpg,Ada\n2,b.jpg,\n").images
    with pytest.raises(ValueError, match="a query's identity must be None"):
        images.with_columns(is_query=np.array([True, True]))


def test_new_individual_is_no_name(tmp_path: Path) -> None:
    rows = "1,a.jpg,new_individual,database\n2,b.jpg,Ada,database\n3,c.jpg,,query\n"
    loaded = load(tmp_path, f"image_id,path,identity,split\n{rows}")
    assert loaded.images.identity.tolist() == [None, "Ada", None]
    assert loaded.images.gallery.image_id.tolist() == ["2"]
    assert warnings_of(loaded) == ["metadata.csv, line 2: new_individual is a reserved name; it cannot be an answer"]


def test_names_that_look_like_numbers_stay_text(tmp_path: Path) -> None:
    images = load(tmp_path, "image_id,path,identity\n007,a.jpg,007\n7,b.jpg,7.0\n1e3,c.jpg,1e3\n").images
    assert images.identity.tolist() == ["007", "7.0", "1e3"]
    assert images.image_id.tolist() == ["007", "7", "1e3"]


def test_gallery_rows_without_a_name_are_told_together(tmp_path: Path) -> None:
    rows = "1,a.jpg,,train\n2,b.jpg,Ada,train\n3,c.jpg,,train\n"
    loaded = load(tmp_path, f"image_id,path,identity,split\n{rows}")
    assert loaded.images.gallery.image_id.tolist() == ["2"]
    assert warnings_of(loaded) == [
        "metadata.csv, line 2: a gallery photograph has no identity; it cannot be an answer (also line 4)"
    ]


def test_other_names_of_the_columns(tmp_path: Path) -> None:
    text = "Annot_UUID,File_Name,Name,Viewpoint,Datetime,Encounter_ID,Species\nu1,a.jpg,Ada,left,2020-01-02,e5,okapi\n"
    images = load(tmp_path, text).images
    row = [images.image_id, images.path, images.identity, images.viewpoint, images.date, images.encounter]
    assert [column[0] for column in row] == ["u1", "a.jpg", "Ada", "left", "2020-01-02", "e5"]
    assert images.dataset.tolist() == ["okapi"]  # without a dataset column: by species


def test_without_dataset_and_species_the_folder_gives_the_name(tmp_path: Path) -> None:
    folder = tmp_path / "my newts"
    folder.mkdir()
    assert load(folder, "image_id,path,identity\n1,a.jpg,Ada\n").images.datasets == ["my newts"]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ('"[10, 20, 30, 40]"', (10, 20, 30, 40, 0)),
        ('"(10, 20, 30.5, 40, 1.25)"', (10, 20, 30.5, 40, 1.25)),
        ("", None),
        ("[]", None),
        ("nan", None),
    ],
)
def test_boxes_in_one_cell(tmp_path: Path, cell: str, expected: tuple[float, ...] | None) -> None:
    loaded = load(tmp_path, f"image_id,path,identity,bbox\n1,a.jpg,Ada,{cell}\n")
    want = [math.nan] * 5 if expected is None else list(expected)
    np.testing.assert_allclose(loaded.images.bbox_xywhr, [want])
    assert loaded.problems == []


@pytest.mark.parametrize(
    "cell",
    ["__import__('os').getcwd()", '"[1, 2, 3]"', '"[1,2,0,4]"', '"[1,2,3,-4]"', '"[1,2,Infinity,4]"', "5", "[[[", "{}"],
)
def test_a_box_that_makes_no_sense_is_a_warning(tmp_path: Path, cell: str) -> None:
    loaded = load(tmp_path, f"image_id,path,identity,bbox\n1,a.jpg,Ada,\n2,b.jpg,Ada,{cell}\n")
    assert np.isnan(loaded.images.bbox_xywhr).all()
    assert len(loaded.problems) == 1
    assert warnings_of(loaded)[0].startswith("metadata.csv, line 3: the box is not x, y, width, height")


def test_boxes_in_columns(tmp_path: Path) -> None:
    rows = "1,a.jpg,Ada,1,2,30,40,-0.5\n2,b.jpg,Ada,,,,,\n3,c.jpg,Ada,nan,nan,nan,nan,0\n4,d.jpg,Ada,1,2,3,4,\n"
    loaded = load(tmp_path, f"image_id,path,identity,x,y,w,h,theta\n{rows}")
    whole = [math.nan] * 5
    np.testing.assert_allclose(loaded.images.bbox_xywhr, [[1, 2, 30, 40, -0.5], whole, whole, [1, 2, 3, 4, 0]])
    assert loaded.problems == []


def test_all_problems_stand_in_one_list(tmp_path: Path) -> None:
    rows = "1,a.jpg,Ada,train\n1,b.jpg,Ada,train\n2,../c.jpg,Bea,train\n3,d.jpg,Bea,gone\n4,e.jpg\n,f.jpg,A,test\n"
    assert refusal(tmp_path, f"image_id,path,identity,split\n{rows}").splitlines() == [
        "The table has 5 problems:",
        "  metadata.csv, line 6: expected 4 cells, got 2; check commas and quotes.",
        "  metadata.csv, line 5: split: expected database/query or train/test",
        "  metadata.csv, line 4: path: leaves the data folder; expected a path relative to the table",
        "  metadata.csv, line 7: image_id: empty",
        "  metadata.csv, line 3: image_id 1 stands already on line 2; ids must be unique.",
    ]


def test_a_long_list_of_problems_is_cut(tmp_path: Path) -> None:
    lines = refusal(tmp_path, "image_id,path,identity\n" + "1\n" * 30).splitlines()
    assert lines[0] == "The table has 30 problems:"
    assert lines[1] == "  metadata.csv, line 2: expected 3 cells, got 1; check commas and quotes."
    assert lines[-1] == "  and 25 more"
    assert len(lines) == 7


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the file is empty"),
        (b"\n \n", "the file is empty"),
        (b"image_id,path,identity\n", "a header but no rows"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "not a text file"),
        (b"PK\x03\x04\x00\x00\x00", "not a text file"),
        (b"\xff\xfe\x00", "not a text file"),
    ],
)
def test_what_is_no_table(tmp_path: Path, content: bytes, sentence: str) -> None:
    assert sentence in refusal(tmp_path, content)


def test_a_table_that_is_absent(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent.csv: no such file\."):
        read_table(tmp_path / "absent.csv")


# Folder-per-individual trees.


def tree(folder: Path, *paths: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x")
    return folder


@pytest.mark.parametrize("prefix", ["", "database/"])
def test_a_folder_per_individual(tmp_path: Path, prefix: str) -> None:
    gallery = [f"{prefix}{path}" for path in ("Ada/1.jpg", "Ada/deep/2.PNG", "Bea/1.jpg", "Bea/note.txt")]
    folder = tree(tmp_path / "newts", *gallery, "query/unknown.jpg", "query/Secret/1.jpg")
    source = find_source(folder)
    assert source == Source(folder, None)
    images = load_table(source).images
    assert images.gallery.path.tolist() == gallery[:3]
    assert images.gallery.identity.tolist() == ["Ada", "Ada", "Bea"]
    assert images.queries.image_id.tolist() == ["query/Secret/1.jpg", "query/unknown.jpg"]
    assert images.queries.identity.tolist() == [None, None]
    assert images.datasets == ["newts"]


def test_a_database_without_individuals_is_no_tree(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no photographs in a folder per individual"):
        load_table(find_source(tree(tmp_path, "database/1.jpg", "database/2.jpg")))


# Finding the data.


def test_a_folder_above_the_data_set(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    save(inner, TABLE_2025)
    assert find_source(tmp_path) == Source(inner, inner / "metadata.csv")


@pytest.mark.parametrize("name", ["METADATA.CSV", "Metadata.csv"])
def test_a_table_below_is_found_in_capitals(tmp_path: Path, name: str) -> None:
    inner = tmp_path / "a" / "comp"
    inner.mkdir(parents=True)
    table = save(inner, TABLE_2025, name)
    assert find_source(tmp_path) == Source(inner, table)
    assert find_source(None, kaggle=tmp_path) == Source(inner, table)
    small = save(inner, TABLE_2025)
    assert find_source(tmp_path) == Source(inner, small)


def test_two_data_sets_below_are_named(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        save(tmp_path / name, TABLE_2025)
    with pytest.raises(DataError, match="2 data sets are below it") as caught:
        find_source(tmp_path)
    assert str(tmp_path / "two") in str(caught.value)


def test_the_only_table_of_another_name(tmp_path: Path) -> None:
    save(tmp_path, "image_id,identity\n", "sample_submission.csv")
    table = save(tmp_path, TABLE_2025, "newts.csv")
    assert find_source(tmp_path) == Source(tmp_path, table)
    save(tmp_path, TABLE_2025, "toads.csv")
    with pytest.raises(DataError, match="but 2 tables"):
        find_source(tmp_path)


@pytest.mark.parametrize("name", ["METADATA.CSV", "Metadata.csv", "metadata.tsv", "metadata.TXT"])
def test_the_table_in_another_spelling_of_its_name(tmp_path: Path, name: str) -> None:
    text = TABLE_2025 if name.lower().endswith(".csv") else TABLE_2025.replace(",", "\t")
    table = save(tmp_path, text, name)
    (tmp_path / "img").mkdir()
    save(tmp_path / "img", b"", "a.jpg")
    assert find_source(tmp_path) == Source(tmp_path, table)
    assert len(load_table(find_source(tmp_path)).images) == 4


def test_a_sheet_of_notes_beside_folders_is_not_the_table(tmp_path: Path) -> None:
    (tmp_path / "database" / "Luna").mkdir(parents=True)
    save(tmp_path / "database" / "Luna", b"", "1.jpg")
    save(tmp_path, "name;weight\nLuna;4\n", "notes.csv")
    save(tmp_path, "{}", "who.decision.json")  # what predict writes beside a submission
    save(tmp_path, '{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": []}', "coco.json")
    loaded = load_table(find_source(tmp_path))
    assert loaded.images.identity.tolist() == ["Luna"]
    told = [one for one in warnings_of(loaded) if "no table of the photographs" in one]
    assert told[0].endswith("photographs: coco.json, notes.csv. If one is the table, give that file as the data.")
    save(tmp_path, "bild;weight\ndatabase/Luna/1.jpg;4\n", "notes.csv")  # it names photographs
    with pytest.raises(DataError, match="the column path is missing"):
        load_table(find_source(tmp_path))


def test_a_table_beside_folders_that_lacks_some_photographs_says_so(tmp_path: Path) -> None:
    (tmp_path / "database" / "Luna").mkdir(parents=True)
    (tmp_path / "masks").mkdir()
    for name in ("database/Luna/1.jpg", "database/Luna/2.jpg", "masks/1.png"):
        save(tmp_path, b"", name)
    save(tmp_path, "path,identity\ndatabase/Luna/1.jpg,Luna\n", "all.csv")
    told = warnings_of(load_table(find_source(tmp_path)))
    assert any("1 photograph of the folder left out" in one and "database/Luna/2.jpg" in one for one in told)
    save(tmp_path, "path,identity\ndatabase/Luna/1.jpg,Luna\ndatabase/Luna/2.jpg,Luna\n", "all.csv")
    assert not any("left out" in one for one in warnings_of(load_table(find_source(tmp_path))))


@pytest.mark.parametrize(
    "text",
    [",image_id,dataset,identity,probability\n0,a,b,,0.1\n", "number,query,candidate,individual,probability,answer\n"],
)
def test_what_the_program_writes_is_not_the_table(tmp_path: Path, text: str) -> None:
    (tmp_path / "database" / "Luna").mkdir(parents=True)
    save(tmp_path, b"", "database/Luna/1.jpg")
    save(tmp_path, text, "ours.csv")
    assert load_table(find_source(tmp_path)).images.identity.tolist() == ["Luna"]


def test_two_columns_of_one_name_but_for_case(tmp_path: Path) -> None:
    header, row = HEADER_2025 + ",Identity", ROWS_2025[0]
    both = "the columns identity and Identity differ; remove one"
    assert both in refusal(tmp_path, f"{header}\n{row},lynx_38\n")
    for same in ("", "LynxID2025_lynx_37"):
        assert load(tmp_path, f"{header}\n{row},{same}\n").images.identity.tolist() == ["LynxID2025_lynx_37"]


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_folders_without_data(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no such folder|neither a table"):
        find_source(tmp_path / name)


@pytest.mark.parametrize("below", ["animal-clef-2025", "competitions/animal-clef-2025"])
def test_kaggle_mounts(tmp_path: Path, below: str) -> None:
    folder, other = tmp_path / below, tmp_path / "weights-and-more"
    for path in (folder, other):
        path.mkdir(parents=True)
        save(path, TABLE_2025)
    assert find_source(None, kaggle=tmp_path) == Source(folder, folder / "metadata.csv")


def test_kaggle_with_two_or_no_competitions(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No data: give a folder"):
        find_source(None, kaggle=tmp_path)
    for year in (2025, 2026):
        (tmp_path / f"animal-clef-{year}").mkdir()
        save(tmp_path / f"animal-clef-{year}", TABLE_2025)
    with pytest.raises(DataError, match="2 data sets are mounted"):
        find_source(None, kaggle=tmp_path)


# The sample submission.


def test_the_samples_order_is_followed(tmp_path: Path) -> None:
    save(tmp_path, "image_id,identity\n15208,x\n3,x\n", "sample_submission.csv")
    loaded = load(tmp_path, TABLE_2025)
    assert loaded.submission_id == ["15208", "3"]
    assert loaded.problems == []


def test_a_sample_that_does_not_fit_is_a_warning(tmp_path: Path) -> None:
    save(tmp_path, "image_id,identity\n15208,x\n0,x\n77,x\n", "sample_submission.csv")
    loaded = load(tmp_path, TABLE_2025)
    assert loaded.submission_id == ["15208", "3"]
    assert warnings_of(loaded) == [
        "sample_submission.csv: ids that are no query of the table: 2 (first: 0).",
        "sample_submission.csv: queries of the table without a row here: 1 (first: 3); they are answered all the same.",
    ]


def test_a_sample_without_image_id_stops(tmp_path: Path) -> None:
    save(tmp_path, "id,identity\n3,x\n", "sample_submission.csv")
    message = refusal(tmp_path, TABLE_2025)
    assert message == "sample_submission.csv, line 1: the column image_id is missing; there are id, identity."


def test_a_sample_belongs_to_metadata_not_to_a_second_table(tmp_path: Path) -> None:
    save(tmp_path, TABLE_2025)
    save(tmp_path, "image_id,identity\n15208,x\n3,x\n", "sample_submission.csv")
    other = save(tmp_path, TABLE_2025, "other.csv")
    assert load_table(find_source(other)).sample_id is None


def test_counting(tmp_path: Path) -> None:
    header = ("image_id", "identity", "path", "split", "orientation", "date", "dataset")
    rows = [
        (1, "Ada", "1.jpg", "database", "left", "2020-01-01", "A"), (2, "Ada", "2.jpg", "database", "", "", "A"),
        (3, "Bea", "3.jpg", "database", "left", "", "A"), (4, "", "4.jpg", "query", "right", "", "A"),
        (5, "", "5.jpg", "query", "", "", "B"),
    ]  # fmt: skip
    counted = count_images(load_table(find_source(write_csv(tmp_path / "metadata.csv", header, rows))))
    assert counted["photographs"] == 5
    assert counted["datasets"]["A"] == {
        "gallery": 3, "queries": 1, "individuals": 2, "singletons": 1, "dated": 1,
        "viewpoints": {"": 1, "left": 2, "right": 1},
    }  # fmt: skip
    assert counted["datasets"]["B"]["individuals"] == 0


# The real tables.


@pytest.mark.shared
def test_the_real_2025_table(shared: Path) -> None:
    loaded = load_table(find_source(shared / "data" / "animalclef2025"))
    datasets = count_images(loaded)["datasets"]
    counted = {name: (part["gallery"], part["queries"], part["individuals"]) for name, part in datasets.items()}
    assert counted == {
        "LynxID2025": (2957, 946, 77),
        "SalamanderID2025": (1388, 689, 587),
        "SeaTurtleID2022": (8729, 500, 438),
    }
    assert datasets["SalamanderID2025"]["singletons"] == 310
    assert loaded.problems == []
    assert loaded.submission_id == loaded.sample_id
    assert not loaded.is_clustering


@pytest.mark.shared
def test_the_real_2026_table(shared: Path) -> None:
    loaded = load_table(find_source(shared / "data" / "animalclef2026"))
    assert loaded.is_clustering
    assert len(loaded.images.select(loaded.images.dataset == "TexasHornedLizards")) == 274


def test_unknown_viewpoints_and_animals_are_read_as_absent(tmp_path: Path) -> None:
    rows = [("0", "unknown", "a.jpg", "left"), ("1", "lynx_1", "b.jpg", "Unknown"), ("2", "lynx_1", "c.jpg", "right")]
    write_csv(tmp_path / "metadata.csv", ("image_id", "identity", "path", "orientation"), rows)
    images = load_table(find_source(tmp_path)).images
    assert images.is_query.tolist() == [True, False, False]
    assert images.viewpoint.tolist() == ["left", "", "right"]


@pytest.mark.parametrize("text", [",,,\n", '""\n'])
def test_a_table_of_separators_has_no_header(tmp_path: Path, text: str) -> None:
    (tmp_path / "metadata.csv").write_text(text)
    with pytest.raises(DataError, match="no header line"):
        read_table(tmp_path / "metadata.csv")


def test_a_submission_of_an_earlier_run_is_no_table(tmp_path: Path) -> None:
    write_csv(tmp_path / "who.csv", ("image_id", "identity"), [("0", "Luna")])
    write_csv(tmp_path / "animals.csv", ("image_id", "path", "identity"), [("0", "12:30.jpg", "Luna")])
    source = find_source(tmp_path)
    assert source.table == tmp_path / "animals.csv"
    assert load_table(source).images.path.tolist() == ["12:30.jpg"]


def test_excels_own_first_line_is_skipped(tmp_path: Path) -> None:
    loaded = load(tmp_path, "sep=;\nimage_id;path;identity\n1;a.jpg;Ada\n2;b.jpg;\n")
    assert loaded.images.identity.tolist() == ["Ada", None]
    assert "metadata.csv, line 3: image_id: empty" in refusal(tmp_path, "sep=;\nimage_id;path;identity\n;a.jpg;Ada\n")


def test_excels_own_first_line_names_the_sign_between_cells() -> None:
    table = parse_table("\n\nsep=;\na,b;c\n1,2;3\n\n4;5\n", Path("x.csv"))
    assert table.columns == ("a,b", "c")
    assert table.rows == [{"a,b": "1,2", "c": "3"}, {"a,b": "4", "c": "5"}]
    assert table.lines == [5, 7]  # as an editor counts
    assert parse_table("sep=;\na,b\n1,2\n", Path("x.csv")).columns == ("a", "b")  # the line is out of date


def test_an_absolute_path_below_the_table_is_read(tmp_path: Path) -> None:
    loaded = load(tmp_path, f"image_id,path,identity\n1,{tmp_path}/in/a.jpg,Ada\n")
    assert loaded.images.path.tolist() == ["in/a.jpg"]
    assert "leaves the data folder" in refusal(tmp_path, f"image_id,path,identity\n1,{tmp_path.parent}/a.jpg,Ada\n")


def test_a_path_that_comes_back_into_the_folder_is_straightened(tmp_path: Path) -> None:
    cells = ("in/../in/a.jpg", "in\\..\\b.jpg", f"{tmp_path}/in/../in/c.jpg", f"in/../../{tmp_path.name}/d.jpg")
    rows = [f"{number},{cell},Ada\n" for number, cell in enumerate(cells[:3])]
    loaded = load(tmp_path, "".join(["image_id,path,identity\n", *rows]))
    assert loaded.images.path.tolist() == ["in/a.jpg", "b.jpg", "in/c.jpg"]
    assert "line 2: path: leaves" in refusal(tmp_path, f"image_id,path,identity\n1,{cells[3]},Ada\n")


def test_an_absolute_path_reaches_the_folder_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    (real / "data").mkdir(parents=True)
    link.symlink_to(real)
    rows = [f"1,{link}/data/in/a.jpg,Ada\n", f"2,{real}/data/b.jpg,Ada\n"]
    for root in (real, link):
        (root / "data/metadata.csv").write_text("".join(["image_id,path,identity\n", *rows]))
        assert load_table(find_source(root / "data")).images.path.tolist() == ["in/a.jpg", "b.jpg"]
    for folder in ("other", "data"):  # `.` is another folder now
        (real / folder).mkdir(exist_ok=True)
        monkeypatch.chdir(real / folder)
        Path("metadata.csv").write_text(f"image_id,path,identity\n1,{link}/{folder}/a.jpg,Ada\n")
        assert load_table(find_source(Path())).images.path.tolist() == ["a.jpg"]
    (real / "data/metadata.csv").write_text(f"image_id,path,identity\n1,{link}/other/a.jpg,Ada\n")
    with pytest.raises(DataError, match="leaves the data folder"):
        load_table(find_source(link / "data"))


def test_columns_about_nothing_known_are_listed(tmp_path: Path) -> None:
    save(tmp_path, "path,identity,Datum,Standort,x,y,w,h\nimg/a.jpg,Luna,1.5.2023,Bach,1,1,5,5\n", "metadata.csv")
    (tmp_path / "img").mkdir()
    save(tmp_path, b"", "img/a.jpg")
    loaded = load_table(find_source(tmp_path))
    assert loaded.unused == ["Datum", "Standort"]
    assert count_images(loaded)["unused_columns"] == ["Datum", "Standort"]
    assert json.loads(loaded.with_extra().extra[0]) == {"Datum": "1.5.2023", "Standort": "Bach"}


def test_columns_that_could_be_a_box_or_an_id_and_are_not_read_are_listed(tmp_path: Path) -> None:
    header = "id,path,identity,x,y,theta,Site"
    loaded = load(tmp_path, f"{header}\nL1,a.jpg,Luna,382014,5771093,,\nL1,b.jpg,Luna,382015,5771094,,Bach\n")
    assert loaded.unused == ["id", "x", "y", "Site"]
    assert [json.loads(text) for text in loaded.with_extra().extra] == [
        {"id": "L1", "x": "382014", "y": "5771093"}, {"id": "L1", "x": "382015", "y": "5771094", "Site": "Bach"},
    ]  # fmt: skip
    assert load(tmp_path, "path,identity\na.jpg,Luna\n").with_extra().extra is None
