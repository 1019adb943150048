"""Any bytes as a table, a submission, answers or a file of another program: a result, or one short sentence."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import openpyxl
import pytest
from damage import FEW, MANY, damaged, hostile_cells, json_values, reads, with_a_wrong_value
from hypothesis import given
from hypothesis import strategies as st

from animalclef.data.answers import ANSWERS_COLUMNS, read_answers
from animalclef.data.columns import ALIASES
from animalclef.data.dates import parse_dates
from animalclef.data.formats.camtrap_dp import RawTable
from animalclef.data.segmentation_cells import draw_segmentation, parse_segmentation
from animalclef.data.sources import find_source
from animalclef.data.submission import check_submission_file, read_submission, read_truth
from animalclef.data.table import LoadedTable, count_images, load_table

GOOD = (
    "image_id,identity,path,date,orientation,species,split,dataset,bbox,segmentation,encounter\n"
    '0,Ada,a.png,2023-01-02,left,newt,database,Newts,"[1, 2, 30, 40]",,e1\n'
    '1,Bea,b.png,5/1/2023,Left,newt,database,Newts,,"[[1,2,3,4,5,6]]",\n'
    '2,,c.png,NA,right,newt,query,Newts,"[0.1,0.1,0.5,0.5]",,\n'
)
TRUTH = "image_id,identity,dataset,known\n2,Ada,Newts,1\n3,Zoe,Newts,0\n"
COLUMNS = sorted({alias for aliases in ALIASES.values() for alias in aliases} | set("xywh") | {"theta", "other"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def load(folder: Path, content: bytes, name: str = "metadata.csv") -> LoadedTable | None:
    path = folder / name
    path.write_bytes(content)
    loaded: LoadedTable | None = reads(lambda: load_table(find_source(path)))
    if loaded is not None:
        count_images(loaded)
        assert all(who is None for who in loaded.images.queries.identity)
        assert len(set(loaded.images.image_id)) == len(loaded.images)
    return loaded


@MANY
@given(content=damaged(GOOD.encode()))
def test_a_damaged_table(folder: Path, content: bytes) -> None:
    load(folder, content)


@MANY
@given(
    header=st.lists(st.sampled_from(COLUMNS), min_size=2, max_size=9),
    rows=st.lists(st.lists(hostile_cells, min_size=2, max_size=9), max_size=5),
    delimiter=st.sampled_from(",;\t"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_a_table_of_hostile_cells(
    folder: Path, header: list[str], rows: list[list[str]], delimiter: str, encoding: str
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(["path", "identity", *header])
    writer.writerows([(row * 11)[: len(header) + 2] for row in rows])
    load(folder, text.getvalue().encode(encoding, errors="replace"))


@MANY
@given(content=st.binary(max_size=400))
def test_any_bytes_as_a_table(folder: Path, content: bytes) -> None:
    load(folder, content)


@pytest.fixture(scope="module")
def workbook() -> bytes:
    """A workbook made once: its bytes hold the time."""
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    for row in csv.reader(io.StringIO(GOOD)):
        sheet.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


@FEW
@given(data=st.data())
def test_a_damaged_workbook(folder: Path, workbook: bytes, data: st.DataObject) -> None:
    load(folder, data.draw(damaged(workbook)), "book.xlsx")


@MANY
@given(cells=st.lists(hostile_cells, max_size=4))
def test_any_dates(cells: list[str]) -> None:
    parsed = parse_dates(cells)
    assert len(parsed.iso) == len(cells)


@MANY
@given(cell=st.one_of(hostile_cells, json_values.map(json.dumps)))
def test_any_segmentation(cell: str) -> None:
    found = parse_segmentation(cell)
    if found is not None:
        assert draw_segmentation(found, (40, 30)).ndim == 2


@MANY
@given(content=st.one_of(damaged(b"image_id,identity\n2,Ada\n"), st.binary(max_size=200)))
def test_any_submission(folder: Path, content: bytes) -> None:
    loaded = load(folder, GOOD.encode())
    assert loaded is not None
    path = folder / "submission.csv"
    path.write_bytes(content)
    problems = reads(lambda: check_submission_file(path, loaded))
    reads(lambda: read_submission(path))
    if problems == []:
        assert content.decode("utf-8-sig").replace("\r\n", "\n").split() in (
            ["image_id,identity", "2,Ada"], ["image_id,identity", "2,Bea"], ["image_id,identity", "2,new_individual"]
        )  # fmt: skip


@MANY
@given(content=damaged(TRUTH.encode()))
def test_any_truth(folder: Path, content: bytes) -> None:
    (folder / "truth.csv").write_bytes(content)
    reads(lambda: read_truth(folder / "truth.csv"))


@MANY
@given(content=damaged((",".join(ANSWERS_COLUMNS) + "\na.png,Ada,0.9,0.5,Bea,0.1,,,,2,Newts\n").encode()))
def test_any_answers(folder: Path, content: bytes) -> None:
    (folder / "answers.csv").write_bytes(content)
    reads(lambda: read_answers(folder / "answers.csv"))


MEGADETECTOR = {
    "info": {}, "detection_categories": {"1": "animal"},
    "images": [{"file": "a/b.png", "detections": [{"category": "1", "conf": 0.9, "bbox": [0.1, 0.1, 0.5, 0.5]}]}],
}  # fmt: skip
COCO = {
    "info": {"individual_id_mapping": {"u": "Ada"}}, "categories": [{"id": 1, "name": "newt"}],
    "images": [{"id": 1, "file_name": "a.png", "datetime": "2023-01-01"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "individual_ids": ["u"]}],
}  # fmt: skip


@MANY
@given(data=st.data())
def test_any_json_of_another_program(folder: Path, data: st.DataObject) -> None:
    good = data.draw(st.sampled_from([MEGADETECTOR, COCO]))
    content = good
    for _ in range(data.draw(st.integers(1, 3))):
        content = with_a_wrong_value(data, content)
    load(folder, json.dumps(content).encode(), "other.json")


@MANY
@given(data=st.data())
def test_a_damaged_json_of_another_program(folder: Path, data: st.DataObject) -> None:
    good = data.draw(st.sampled_from([MEGADETECTOR, COCO]))
    load(folder, data.draw(damaged(json.dumps(good).encode())), "other.json")


@MANY
@given(
    cells=st.lists(hostile_cells, min_size=9, max_size=9),
    header=st.lists(
        st.sampled_from([
            "Encounter.mediaAsset0", "encounter.MediaAsset1.imageUrl", "Encounter.mediaAsset0.keywords",
            "Encounter.year",
            "Encounter.month", "Encounter.day", "Encounter.hour", "Encounter.minutes", "Encounter.dateInMilliseconds",
            "MarkedIndividual.individualID", "Encounter.occurrenceID", "Encounter.genus",
        ]), min_size=9, max_size=9,
    ),
)  # fmt: skip
def test_a_wildbook_sheet_of_hostile_cells(folder: Path, header: list[str], cells: list[str]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([["Encounter.mediaAsset7", *header], ["a.png", *cells], ["b.png", *cells[::-1]]])
    load(folder, text.getvalue().encode(errors="replace"), "sheet.csv")


@MANY
@given(cells=st.lists(hostile_cells, min_size=11, max_size=11), event=st.booleans())
def test_a_camtrap_package_of_hostile_cells(folder: Path, cells: list[str], event: bool) -> None:
    package = folder / "hostile"
    package.mkdir(exist_ok=True)
    observations, media = io.StringIO(), io.StringIO()
    header = ["observationID", "deploymentID", "mediaID", "eventID", "eventStart", "eventEnd", "observationType",
              "individualID", "bboxX", "bboxY", "bboxWidth", "bboxHeight"]  # fmt: skip
    kept = ["o1", "d1", "" if event else "m1", "", *cells[:2], "animal", *cells[2:7]]
    csv.writer(observations, lineterminator="\n").writerows([header, kept])
    columns = ["mediaID", "deploymentID", "timestamp", "filePath"]
    csv.writer(media, lineterminator="\n").writerows([columns, ["m1", "d1", *cells[7:9]], ["m2", *cells[8:11]]])
    (package / "media.csv").write_bytes(media.getvalue().encode(errors="replace"))
    load(package, observations.getvalue().encode(errors="replace"), "observations.csv")


CAMTRAP = (
    b"observationID,deploymentID,mediaID,eventID,eventStart,observationType,scientificName,individualID,bboxX,bboxY,"
    b"bboxWidth,bboxHeight\no1,d1,m1,,2023-05-01T10:00:00Z,animal,Panthera leo,Ada,0.1,0.1,0.5,0.5\n"
)


@FEW
@given(observations=damaged(CAMTRAP), media=damaged(b"mediaID,deploymentID,timestamp,filePath\nm1,d1,2023,a.png\n"))
def test_a_damaged_camtrap_package(folder: Path, observations: bytes, media: bytes) -> None:
    package = folder / "package"
    package.mkdir(exist_ok=True)
    (package / "media.csv").write_bytes(media)
    load(package, observations, "observations.csv")


@FEW
@given(
    content=damaged(
        b"Encounter.mediaAsset0,Encounter.year,Encounter.month,Encounter.day,Encounter.genus\na,2023,5,1,P\n"
    )
)
def test_a_damaged_wildbook_sheet(folder: Path, content: bytes) -> None:
    load(folder, content, "sheet.csv")


@MANY
@given(content=st.one_of(damaged(CAMTRAP), damaged(GOOD.encode())))
def test_cells_keep_their_bytes(content: bytes) -> None:
    table = reads(lambda: RawTable.parse(content, Path("t.csv")))
    if table is not None:
        assert table.content() == content
