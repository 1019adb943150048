"""Files of other programs, written from their published schemas, and answers in their formats."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import openpyxl
import pytest
from PIL import Image
from tiny import write_csv

from animalclef.data.answers import Answer, answer_rows, read_answers
from animalclef.data.formats.camtrap_dp import RawTable, write_camtrap
from animalclef.data.formats.capture_history import capture_histories, capture_text, mark_text
from animalclef.data.formats.wildbook import write_wildbook
from animalclef.data.sources import find_source
from animalclef.data.table import LoadedTable, load_table
from animalclef.data.table_writing import write_plain_table
from animalclef.errors import DataError, OutputError
from animalclef.structures import Predictions, RankedCandidates
from animalclef.structures.clusters import Clusters


def load(path: Path) -> LoadedTable:
    return load_table(find_source(path))


def strings(*values: str | None) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (200, 100)).save(path)


def test_megadetector(tmp_path: Path) -> None:
    for name in ("database/Ada/1.png", "query/2.png"):
        picture(tmp_path / name)
    box = [0.25, 0.5, 0.5, 0.25]
    images = [
        {"file": "database/Ada/1.png", "detections": [{"category": "1", "conf": 0.9, "bbox": box}]},
        {"file": "query/2.png", "detections": [
            {"category": "1", "conf": 0.8, "bbox": box}, {"category": "1", "conf": 0.7, "bbox": [0, 0, 0.5, 0.5]},
            {"category": "2", "conf": 0.99, "bbox": box}, {"category": "1", "conf": 0.1, "bbox": box}]},
        {"file": "query/3.png", "detections": []},
        {"file": "query/4.png", "failure": "Failure image access"},
        {"file": "query/5.png", "detections": None}, {"file": "query/6.png", "detections": 3},
    ]  # fmt: skip
    content = {
        "info": {"format_version": "1.4"},
        "detection_categories": {"1": "animal", "2": "person"},
        "images": images,
    }
    (tmp_path / "md.json").write_text(json.dumps(content))
    loaded = load(tmp_path / "md.json")
    assert loaded.images.image_id.tolist() == ["database/Ada/1.png", "query/2.png", "query/2.png#2"]
    assert loaded.images.identity.tolist() == ["Ada", None, None]
    np.testing.assert_allclose(loaded.images.bbox_xywhr[:, :4], [[50, 50, 100, 25], [50, 50, 100, 25], [0, 0, 100, 50]])
    told = [str(one) for one in loaded.problems]
    assert told == ["md.json: 3 photographs without an animal left out.",
                    "md.json: 1 photograph that it could not read left out.",
                    "md.json: 1 individual is named by the folders of the photographs (first: Ada)."]  # fmt: skip


def test_coco_with_camera_traps_and_wildbooks_fields(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    content = {
        "info": {"individual_id_mapping": {"u-1": "Ada"}},
        "categories": [{"id": 1, "name": "Panthera leo"}, {"id": 2, "name": "empty"}],
        "images": [
            {"id": 1, "file_name": "a.png", "datetime": "2023-05-01 10:11:12", "seq_id": "s1"},
            {"id": 2, "file_name": "b.png", "width": 200, "height": 100, "date_captured": "2023:05:02 00:00:00"},
            {"id": 3, "file_name": "c.png", "width": 200, "height": 100},
        ],
        "annotations": [
            {"id": 7, "image_id": 1, "category_id": 1, "bbox": [10, 20, 30, 40], "theta": 0.5, "viewpoint": "Left",
             "individual_ids": ["u-1"], "segmentation": [[10, 20, 40, 20, 40, 60]]},
            {"id": 8, "image_id": 1, "category_id": 1, "bbox_relative": [0.5, 0, 0.5, 1], "uuid": "x-8"},
            {"id": 9, "image_id": 2, "category_id": 1, "individual_id": "Bea"},
            {"id": 10, "image_id": 3, "category_id": 2},
            {"id": 11, "image_id": 99, "category_id": 1},
        ],
    }  # fmt: skip
    (tmp_path / "coco.json").write_text(json.dumps(content))
    loaded = load(tmp_path / "coco.json")
    images = loaded.images
    assert images.image_id.tolist() == ["7", "x-8", "9"]
    assert images.identity.tolist() == ["Ada", None, "Bea"]
    assert images.viewpoint.tolist() == ["left", "", ""]
    assert images.date.tolist() == ["2023-05-01 10:11:12", "2023-05-01 10:11:12", "2023-05-02 00:00:00"]
    assert images.encounter.tolist() == ["s1", "s1", ""]
    np.testing.assert_allclose(images.bbox_xywhr[:2], [[10, 20, 30, 40, 0.5], [100, 0, 100, 100, 0]])
    assert images.mask is not None
    assert images.mask.tolist() == ["[[10.0,20.0,40.0,20.0,40.0,60.0]]", "", ""]
    assert [str(one) for one in loaded.problems][:2] == [
        "coco.json: 1 annotation of photographs that are not listed left out.",
        "coco.json: 1 photograph without an animal left out.",
    ]


def test_people_and_a_bad_box_beside_a_good_one_in_coco(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")  # of 200 x 100 pixels
    content = {
        "categories": [{"id": 1, "name": "Lynx lynx"}, {"id": 2, "name": "Person"}, {"id": 3, "name": "empty"}],
        "images": [{"id": name, "file_name": f"{name}.png"} for name in "abcd"],
        "annotations": [
            {"id": 1, "image_id": "a", "category_id": 1, "bbox": [1, 2], "bbox_relative": [0.25, 0.5, 0.5, 0.5]},
            {"id": 2, "image_id": "a", "category_id": 1, "bbox": [1, 2], "bbox_relative": None},
            {"id": 3, "image_id": "a", "category_id": 2},
            {"id": 4, "image_id": "b", "category_id": 2},
            {"id": 5, "image_id": "c", "category_id": 3},
        ],
    }
    (tmp_path / "coco.json").write_text(json.dumps(content))
    loaded = load(tmp_path / "coco.json")
    np.testing.assert_allclose(loaded.images.bbox_xywhr, [[50, 50, 100, 50, 0], [np.nan] * 5])
    told = [str(one) for one in loaded.problems]
    assert told[:2] == ["coco.json: 1 photograph of people or vehicles alone left out.",
                        "coco.json: 2 photographs without an animal left out."]  # fmt: skip
    assert sum("the box is not x, y, width, height" in one for one in told) == 1


def camtrap(folder: Path) -> Path:
    folder.mkdir()
    picture(folder / "m1.png")
    write_csv(
        folder / "media.csv",
        ("mediaID", "deploymentID", "timestamp", "filePath", "filePublic", "fileMediatype"),
        [("m1", "d1", "2023-05-01T10:00:00Z", "m1.png", "true", "image/png"),
         ("m2", "d1", "2023-05-01T10:00:05Z", "m2.png", "true", "image/png"),
         ("m3", "d1", "2023-06-01T10:00:00Z", "m3.png", "true", "image/png")],
    )  # fmt: skip
    (folder / "observations.csv").write_bytes(
        b"observationID,deploymentID,mediaID,eventID,eventStart,eventEnd,observationLevel,observationType,"
        b"scientificName,individualID,bboxX,bboxY,bboxWidth,bboxHeight,observationComments\r\n"
        b"o1,d1,m1,,2023-05-01T10:00:00Z,2023-05-01T10:00:00Z,media,animal,Panthera leo,Ada,0.25,0.5,0.5,0.25,"
        b'"a ""b"""\r\n'
        b"o2,d1,m3,e9,2023-06-01T10:00:00Z,2023-06-01T10:00:00Z,media,animal,Panthera leo,,,,,, keep me \r\n"
        b"o3,d1,,,2023-05-01T10:00:00Z,2023-05-01T10:01:00Z,event,animal,Panthera leo,,,,,,\r\n"
        b"o4,d1,m3,,2023-06-01T10:00:00Z,2023-06-01T10:00:00Z,media,human,,,,,,,\r\n"
    )
    (folder / "datapackage.json").write_text('{"profile": "camtrap-dp"}')
    return folder


def test_camtrap_dp(tmp_path: Path) -> None:
    loaded = load(camtrap(tmp_path / "package"))
    images = loaded.images
    assert images.image_id.tolist() == ["o1", "o2", "o3/m1", "o3/m2"]
    assert images.path.tolist() == ["m1.png", "m3.png", "m1.png", "m2.png"]
    assert images.identity.tolist() == ["Ada", None, None, None]
    assert images.encounter.tolist() == ["d1 2023-05-01", "e9", "d1 2023-05-01", "d1 2023-05-01"]
    np.testing.assert_allclose(images.bbox_xywhr[0], [50, 50, 100, 25, 0])
    assert [str(one) for one in loaded.problems] == ["observations.csv: 1 observation of no animal left out."]


def test_camtrap_dp_gets_names_and_keeps_every_other_byte(tmp_path: Path) -> None:
    package = camtrap(tmp_path / "package")
    answers = [Answer("o2", "m3.png", "Ada", 0.875, (), ""), Answer("o1", "m1.png", "Bea", 0.9, (), "")]
    assert write_camtrap(package, tmp_path / "out", answers) == 1
    before = (package / "observations.csv").read_bytes().split(b"\r\n")
    after = (tmp_path / "out" / "observations.csv").read_bytes().split(b"\r\n")
    new = b",classificationMethod,classifiedBy,classificationProbability"
    assert after[0] == before[0] + new
    assert [after[row] for row in (1, 3, 4)] == [before[row] + b",,," for row in (1, 3, 4)]
    assert after[2].startswith(before[2].replace(b"Panthera leo,,", b"Panthera leo,Ada,") + b",machine,animalclef ")
    assert after[2].endswith(b",0.875")
    assert (tmp_path / "out" / "media.csv").read_bytes() == (package / "media.csv").read_bytes()


def test_camtrap_dp_with_na_for_nobody_gets_names(tmp_path: Path) -> None:
    package = camtrap(tmp_path / "package")
    file = package / "observations.csv"
    file.write_bytes(file.read_bytes().replace(b"Panthera leo,,,,,, keep", b"Panthera leo,NA,NA,NA,NA,NA, keep"))
    loaded = load(package)
    assert loaded.images.identity.tolist() == ["Ada", None, None, None]
    assert np.isnan(loaded.images.bbox_xywhr[1]).all()
    assert [str(one) for one in loaded.problems] == ["observations.csv: 1 observation of no animal left out."]
    assert write_camtrap(package, tmp_path / "out", [Answer("o2", "m3.png", "Ada", 0.875, (), "")]) == 1
    assert b"Panthera leo,Ada,NA,NA,NA,NA, keep" in (tmp_path / "out" / "observations.csv").read_bytes()


def test_megadetector_with_whole_paths_and_with_one_folder(tmp_path: Path) -> None:
    def write(*files: str) -> LoadedTable:
        found = [{"category": "1", "conf": "0.9", "bbox": ["0.25", 0.5, 0.5, 0.25]}]
        content = {
            "detection_categories": {"1": "animal"},
            "images": [{"file": one, "detections": found} for one in files],
        }
        (tmp_path / "md.json").write_text(json.dumps(content))
        return load(tmp_path / "md.json")

    for name in ("database/Ada/1.png", "query/2.png"):
        picture(tmp_path / name)
    loaded = write(f"{tmp_path}/database/Ada/1.png", f"{tmp_path}/query/2.png")
    assert loaded.images.path.tolist() == ["database/Ada/1.png", "query/2.png"]
    assert loaded.images.identity.tolist() == ["Ada", None]
    np.testing.assert_allclose(loaded.images.bbox_xywhr[:, :4], [[50, 50, 100, 25]] * 2)
    assert str(loaded.problems[0]) == ("md.json: 1 individual is named by the folders of the photographs (first: Ada).")
    assert write("img/1.png", "img/2.png").images.identity.tolist() == [None, None]


def test_coco_boxes_that_are_none_are_reported_and_people_are_left_out(tmp_path: Path) -> None:
    boxes = (["10", "20", "30", "40"], [float("nan"), 1, 2, 3], [1, 2, 3], [])
    annotations = [{"id": n, "image_id": 1, "category_id": 1, "bbox": box} for n, box in enumerate(boxes)]
    annotations.append({"id": 9, "image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4]})
    categories = [{"id": 1, "name": "newt"}, {"id": 2, "name": "Person"}]
    content = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": annotations, "categories": categories}
    (tmp_path / "coco.json").write_text(json.dumps(content))
    loaded = load(tmp_path / "coco.json")
    np.testing.assert_allclose(loaded.images.bbox_xywhr, [[10, 20, 30, 40, 0], *[[np.nan] * 5] * 3])
    assert [str(one) for one in loaded.problems] == [
        "coco.json, line 2: the box is not x, y, width, height (and theta); the whole photograph is used (also line 3)"
    ]


def test_a_zip_archive_is_no_table(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "package.zip", "w") as archive:
        archive.writestr("media.csv", "mediaID\n")
    with pytest.raises(DataError, match=r"package.zip: a zip archive, and no .xlsx workbook. Unpack it"):
        load(tmp_path / "package.zip")


def test_wildbook_sheet_with_na_for_what_is_missing(tmp_path: Path) -> None:
    text = (
        "Encounter.mediaAsset0,Encounter.mediaAsset1,Encounter.genus,Encounter.specificEpithet,Encounter.year,"
        "Encounter.month,Encounter.day,Encounter.dateInMilliseconds,Encounter.occurrenceID,MarkedIndividual.individualID,"
        "MarkedIndividual.nickname\n"
        "a.png,NA,NA,NA,2023,5,1,NA,NA,NA,Ada\nb.png,c.png,Panthera,leo,2023,5,2,NA,o2,NA,NA\n"
    )
    (tmp_path / "sheet.csv").write_text(text)
    images = load(tmp_path / "sheet.csv").images
    assert images.path.tolist() == ["a.png", "b.png", "c.png"]
    assert images.identity.tolist() == ["Ada", None, None]
    assert images.date.tolist() == ["2023-05-01", "2023-05-02", "2023-05-02"]
    assert images.encounter.tolist() == ["encounter on line 2", "o2", "o2"]
    assert images.species.tolist() == ["", "Panthera leo", "Panthera leo"]


def test_cells_that_are_not_touched_keep_their_bytes() -> None:
    content = b'\xef\xbb\xbfa,"b ""c""",d\r\n1, 2 ,"3\n4"\n"",,\r\n'
    table = RawTable.parse(content, Path("t.csv"))
    assert table.content() == content
    assert (table.cell(0, 'b "c"'), table.cell(0, "d"), table.cell(1, "a")) == ("2", "3\n4", "")
    with pytest.raises(DataError, match="row 2: expected 2 cells, got 3"):
        RawTable.parse(b"a,b\n1,2,3\n", Path("t.csv"))


def test_wildbook_sheet(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["Encounter.mediaAsset0", "Encounter.mediaAsset1", "Encounter.genus", "Encounter.specificEpithet",
                  "Encounter.year", "Encounter.month", "Encounter.day", "MarkedIndividual.individualID",
                  "Encounter.mediaAsset0.keywords"])  # fmt: skip
    sheet.append(["a.png", "b.png", "Panthera", "leo", 2023, 5, 1, "Ada", "left side"])
    sheet.append(["c.png", None, "Panthera", "leo", 2023, 6, 2, None, None])
    book.save(tmp_path / "import.xlsx")
    images = load(tmp_path / "import.xlsx").images
    assert images.path.tolist() == ["a.png", "b.png", "c.png"]
    assert images.identity.tolist() == ["Ada", "Ada", None]
    assert images.date.tolist() == ["2023-05-01", "2023-05-01", "2023-06-02"]
    assert images.viewpoint.tolist() == ["left", "", ""]
    assert images.encounter.tolist() == ["encounter on line 2", "encounter on line 2", "encounter on line 3"]
    assert images.species.tolist() == ["Panthera leo"] * 3


def test_wildbook_gets_sheets_of_200_encounters_with_new_individuals_flagged(tmp_path: Path) -> None:
    rows = [(n, f"{n}.png", "", "2023-05-01", "Panthera leo", f"e{n // 2}") for n in range(402)]
    write_csv(tmp_path / "metadata.csv", ("image_id", "path", "identity", "date", "species", "encounter"), rows)
    images = load(tmp_path).images
    answers = [Answer(str(n), f"{n}.png", "Ada" if n < 400 else None, 0.9, (), "") for n in range(402)]
    paths, notes = write_wildbook(images, answers, tmp_path / "out" / "wb.csv")
    assert [path.name for path in paths] == ["wb-1.csv", "wb-2.csv"]
    first, second = (path.read_text().splitlines() for path in paths)
    assert (len(first), len(second)) == (201, 3)  # 200 encounters of two photographs; the two new ones stand alone
    assert first[1] == "0.png,Panthera,leo,2023,5,1,e0,Ada,,1.png"
    assert second[1] == "400.png,Panthera,leo,2023,5,1,e200,,new individual,"
    assert notes == ["The sheets have no location, which Wildbook requires: add a column Encounter.locationID."]
    (tmp_path / "out" / "wb-2.csv").write_text("my own sheet\n")
    (tmp_path / "out" / "wb-1.csv").unlink()
    with pytest.raises(OutputError, match=r"wb-2\.csv: this file is no Wildbook sheet"):
        write_wildbook(images, answers, tmp_path / "out" / "wb.csv")
    assert not (tmp_path / "out" / "wb-1.csv").exists()


def test_wildbook_headers_in_any_case_addresses_and_numbers_of_a_spreadsheet(tmp_path: Path) -> None:
    text = (
        "encounter.MediaAsset0,Encounter.mediaAsset0.imageUrl,Encounter.mediaAsset1.imageUrl,encounter.YEAR,"
        "Encounter.month,Encounter.day,Encounter.hour,Encounter.minutes,markedIndividual.individualID\n"
        "a.png,https://x.org/a.png,https://x.org/b.png,2023.0,5,1,7,30.5,Ada\n"
        "c.png,,,2023,6,NA,,,\n"
        "d.png,,,soon,6,2,,,Bea\n"
    )
    (tmp_path / "export.csv").write_text(text)
    loaded = load(tmp_path / "export.csv")
    assert loaded.images.path.tolist() == ["a.png", "https:/x.org/b.png", "c.png", "d.png"]
    assert loaded.images.identity.tolist() == ["Ada", "Ada", None, "Bea"]
    assert loaded.images.date.tolist() == ["2023-05-01 07:30:00", "2023-05-01 07:30:00", "2023-06", ""]
    sentence = (
        "export.csv: web addresses as paths: 1. Download these photographs, and write the paths of the files there."
    )
    assert sentence in [str(one) for one in loaded.problems]


def test_an_event_names_the_only_animal_of_its_photographs(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    media = [(f"m{n}", "d1", f"2023-05-01T12:00:0{n}+02:00", f"m{n}.png") for n in range(4)]
    write_csv(package / "media.csv", ("mediaID", "deploymentID", "timestamp", "filePath"), media)
    header = ("observationID", "deploymentID", "mediaID", "eventStart", "eventEnd", "observationType", "individualID")
    event = ("2023-05-01T10:00:00Z", "2023-05-01T10:00:02Z")  # the first three photographs
    rows = [
        ("e1", "d1", "", *event, "animal", "Ada"),
        ("o0", "d1", "m0", *event, "animal", ""),
        ("o1a", "d1", "m1", *event, "animal", ""), ("o1b", "d1", "m1", *event, "animal", ""),
        ("o3", "d1", "m3", *event, "animal", "NA"),
    ]  # fmt: skip
    write_csv(package / "observations.csv", header, rows)
    images = load(package).images
    found = dict(zip(images.image_id, images.identity, strict=True))
    assert found == {"e1/m1": "Ada", "e1/m2": "Ada", "o0": "Ada", "o1a": None, "o1b": None, "o3": None}


def test_camtrap_dp_names_an_event_where_its_photographs_agree(tmp_path: Path) -> None:
    package = camtrap(tmp_path / "package")
    agreed = [Answer("o3/m1", "m1.png", "Ada", 0.6, (), ""), Answer("o3/m2", "m2.png", "Ada", 0.8, (), "")]
    assert write_camtrap(package, tmp_path / "out", agreed) == 1
    line = (tmp_path / "out" / "observations.csv").read_text().splitlines()[3]
    assert ",Ada," in line
    assert line.endswith(",0.8")
    disagreed = [agreed[0], Answer("o3/m2", "m2.png", "Bea", 0.8, (), "")]
    assert write_camtrap(package, tmp_path / "other", disagreed) == 0


def test_capture_histories_keep_data_sets_and_animals_of_one_photograph_apart(tmp_path: Path) -> None:
    rows = [(1, "1.png", "Ada", "2023", "a", "database"), (2, "2.png", "Ada", "2024-05", "b", "database"),
            (3, "3.png", "", "2024-06-01", "a", "query"), (4, "3.png", "", "2024-06-01", "a", "query")]  # fmt: skip
    write_csv(tmp_path / "metadata.csv", ("image_id", "path", "identity", "date", "dataset", "split"), rows)
    images = load(tmp_path).images
    new = [Answer(n, "3.png", None, 0.0, (), "") for n in ("3", "4")]
    found = capture_histories(images, new, "year")
    assert found.of == {"a: Ada": "10", "a: new: 3.png (3)": "01", "a: new: 3.png (4)": "01", "b: Ada": "01"}
    assert (found.individuals, found.low, found.high, found.undated) == (4, 4.0, 4.0, 0)
    assert capture_histories(images, new, "month").undated == 1
    grouped = capture_histories(images, [replace(one, group="new_1") for one in new], "year")
    assert grouped.of == {"a: Ada": "10", "a: new: new_1": "01", "b: Ada": "01"}
    assert (grouped.individuals, grouped.low, grouped.high) == (3, 3.0, 3.0)
    assert capture_text(found).splitlines()[1:6] == [
        "task read captures occasions=2 x matrix", "format='(a6,1x,2f1.0)'", "read input data", "000001 10",
        "000002 01",
    ]  # fmt: skip


def test_capture_histories_and_what_uncertain_answers_do(tmp_path: Path) -> None:
    rows = [(1, "1.png", "Ada", "2023-01-05", "database"), (2, "2.png", "", "2023-02-05", "query"),
            (3, "3.png", "", "2023-03-05", "query"), (4, "4.png", "Bea", "", "database")]  # fmt: skip
    write_csv(tmp_path / "metadata.csv", ("image_id", "path", "identity", "date", "split"), rows)
    images = load(tmp_path).images
    sure = [Answer("2", "2.png", "Ada", 1.0, (), ""), Answer("3", "3.png", None, 0.0, (), "")]
    found = capture_histories(images, sure, "month")
    assert found.occasions == ["2023-01", "2023-02", "2023-03"]
    assert found.of == {"Ada": "110", "new: 3.png": "001"}
    assert (found.individuals, found.expected, found.low, found.high, found.undated) == (2, 2.0, 2.0, 2.0, 1)
    assert mark_text(found).splitlines()[2:] == ["/* Ada */ 110 1;", "/* new: 3.png */ 001 1;"]
    unsure = [Answer("2", "2.png", "Ada", 0.5, (), "")]
    counted = capture_histories(images, unsure, "month")
    assert (counted.individuals, counted.low, counted.high) == (1, 1.0, 2.0)
    assert 1.4 < counted.expected < 1.6


def test_answers_for_a_biologist(tmp_path: Path) -> None:
    rows = [(1, "1.png", "Ada", "database"), (2, "2.png", "", "query"), (3, "3.png", "", "query")]
    write_csv(tmp_path / "metadata.csv", ("image_id", "path", "identity", "split"), rows)
    images = load(tmp_path).images
    ranked = RankedCandidates(
        query_id=strings("2", "2", "2", "2"), gallery_id=strings("1", "1", "1", "1"),
        identity=strings("Ada", "Bea", "Ada", "Cleo"), dataset=strings(*[images.dataset[0]] * 4),
        probability=np.array([0.9, 0.3, 0.2, 0.1]),
    )  # fmt: skip
    predictions = Predictions(strings("2", "3"), strings("Ada", None), np.array([0.9, 0.0]))
    name = str(images.dataset[0])
    cells = answer_rows(images, predictions, ranked, {name: 0.5}, [])
    assert cells == [
        ["2.png", "Ada", "0.9", "0.5", "Bea", "0.3", "Cleo", "0.1", "", "2", name, "Ada"],
        ["3.png", "new", "0", "0.5", "", "", "", "", "", "3", name, ""],
    ]
    clusters = Clusters(strings("2", "3"), strings(name, name), np.array([0, 1]), strings("Ada", None))
    grouped = answer_rows(images, predictions, ranked, {name: 0.5}, [], clusters)
    assert [row[-1] for row in grouped] == ["Ada", "new_1"]
    from animalclef.data.answers import ANSWERS_COLUMNS

    write_csv(tmp_path / "answers.csv", ANSWERS_COLUMNS, cells)
    assert read_answers(tmp_path / "answers.csv")[0] == Answer(
        "2", "2.png", "Ada", 0.9, (("Bea", 0.3), ("Cleo", 0.1)), "", name
    )


def test_an_individual_that_is_called_new_is_told_from_a_new_one(tmp_path: Path) -> None:
    from animalclef.data.answers import ANSWERS_COLUMNS

    rows = [["a.png", "new", "0.9", "0.5", "", "", "", "", "", image_id, "newts", who] for image_id, who in
            [("1", "new"), ("2", "new_1"), ("3", "")]]  # fmt: skip
    write_csv(tmp_path / "answers.csv", ANSWERS_COLUMNS, rows)
    assert [answer.individual for answer in read_answers(tmp_path / "answers.csv")] == ["new", None, None]


def test_a_plain_table_is_read_as_the_same_photographs(tmp_path: Path) -> None:
    images = load(camtrap(tmp_path / "package")).images
    write_plain_table(images, tmp_path / "package" / "metadata.csv")
    again = load(tmp_path / "package").images
    for name in ("image_id", "path", "identity", "date", "species", "encounter", "is_query"):
        assert getattr(again, name).tolist() == getattr(images, name).tolist()
    np.testing.assert_array_equal(again.bbox_xywhr, images.bbox_xywhr)


@pytest.mark.parametrize(
    "text", ["[]", "{}", "{", '{"images": 5, "annotations": []}', "[" * 100_000, '{"images": [1], "annotations": []}']
)
def test_json_of_another_kind_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError):
        load(tmp_path / "x.json")
