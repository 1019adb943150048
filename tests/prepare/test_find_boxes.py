"""Boxes of a whole table: which are given, found and unclear, and the command that writes them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from rows import Row, image_table, strings
from tiny import make_tiny_data, read_csv, write_csv
from typer.testing import CliRunner
from whole_run import predict

from animalclef.cli import app
from animalclef.data.decode import decode
from animalclef.data.masks import find_masks
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.prepare.find_boxes import find_boxes
from animalclef.runtime.output_guard import mark_picture
from animalclef.runtime.progress import Silent
from animalclef.structures import ImageTable

NEWT = (60, 90, 40, 20)  # x, y, width, height of a drawn animal on a ground of 300 x 200


def drawn(width: int = 300, height: int = 200, box: tuple[int, int, int, int] = NEWT) -> NDArray[np.uint8]:
    picture = np.full((height, width, 3), 210, np.uint8)
    x, y, wide, high = box
    picture[y : y + high, x : x + wide] = (30, 90, 160)
    return picture


@pytest.fixture
def images(tmp_path: Path) -> ImageTable:
    """a: plain ground, large; b: busy; c: transparent; d: given; e: no image; f: plain ground and a mask of its own."""
    rng = np.random.default_rng(0)
    large = cv2.resize(drawn(), None, fx=5, fy=5, interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(str(tmp_path / "a.png"), large)
    cv2.imwrite(str(tmp_path / "b.png"), rng.integers(0, 256, (60, 100, 3), dtype=np.uint8))
    alpha = np.zeros((60, 100), np.uint8)
    alpha[20:30, 40:80] = 255
    cv2.imwrite(str(tmp_path / "c.png"), np.dstack([np.full((60, 100, 3), 120, np.uint8), alpha]))
    for name in "df":
        cv2.imwrite(str(tmp_path / f"{name}.png"), drawn())
    (tmp_path / "e.png").write_bytes(b"nothing")
    mask = np.zeros((100, 150), np.uint8)  # at half the scale
    mask[10:20, 100:140] = 255
    cv2.imwrite(str(tmp_path / "f-mask.png"), mask)
    table = image_table([Row(name, "Luna") for name in "abcdef"])
    boxes = np.full((6, 5), np.nan, np.float32)
    boxes[3] = (1, 2, 30, 40, 0.5)
    return table.with_columns(
        root=tmp_path, path=strings(*[f"{name}.png" for name in "abcdef"]), bbox_xywhr=boxes,  # type: ignore[arg-type]
        mask=strings("", "", "", "", "", "f-mask.png"), key=strings(*[""] * 6),
    )  # fmt: skip


@pytest.mark.parametrize("workers", [1, 3])
def test_each_row_has_its_box_in_the_pixels_of_its_photograph(images: ImageTable, workers: int) -> None:
    found = find_boxes(images, find_masks(images, None), frozenset(), workers, Silent())
    assert found.outcome.tolist() == ["found", "unclear", "found", "given", "unreadable", "found"]
    wanted = {
        0: (5 * (60 - 1.2), 5 * (90 - 0.6), 5 * 42.4, 5 * 21.2, 0),
        2: (40 - 1.2, 20 - 0.3, 42.4, 10.6, 0),
        3: (1, 2, 30, 40, 0.5),
        5: (200 - 2.4, 20 - 0.6, 84.8, 21.2, 0),
    }
    for row, box in wanted.items():
        assert found.bbox_xywhr[row] == pytest.approx(box, abs=6 if row == 0 else 1.5)
    assert np.isnan(found.bbox_xywhr[[1, 4]]).all()
    assert np.isnan(images.bbox_xywhr[0]).all()  # an argument is not changed


def test_run_lengths_of_another_shape_are_as_none(images: ImageTable) -> None:
    turned = '{"size":[300,200],"counts":[0,60000]}'  # of a photograph of 300 x 200
    odd = images.with_columns(mask=strings(turned, *images.mask[1:]))  # type: ignore[index]
    found, without = (find_boxes(one, find_masks(one, None), frozenset(), 1, Silent()) for one in (odd, images))
    np.testing.assert_array_equal(found.bbox_xywhr, without.bbox_xywhr)
    assert found.outcome.tolist() == without.outcome.tolist()


def test_only_the_named_data_sets_are_turned(images: ImageTable) -> None:
    mixed = images.select(np.array([0, 5])).with_columns(dataset=strings("newt", "cow"))
    found = find_boxes(mixed, None, frozenset({"newt"}), 1, Silent())
    assert abs(found.bbox_xywhr[0, 4]) == pytest.approx(np.pi / 2, abs=0.05)  # it lies on its side, 40 x 20
    assert found.bbox_xywhr[1, 4] == 0
    content = (mixed.root / "a.png").read_bytes()
    cut = decode(content, found.bbox_xywhr[0], 1024, 10**8).pixels
    assert cut.shape[0] == pytest.approx(2 * cut.shape[1], rel=0.1)


def test_a_tall_photograph_turned_by_its_exif_tag(tmp_path: Path) -> None:
    lying = np.rot90(drawn(60, 6000, (20, 5000, 20, 600)))  # stored on its side, 6000 x 60
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(np.ascontiguousarray(lying[:, :, ::-1])).save(tmp_path / "a.png", exif=exif)
    images = image_table([Row("a", "Luna")]).with_columns(root=tmp_path, path=strings("a.png"), key=strings(""))
    found = find_boxes(images, None, frozenset(), 1, Silent())
    assert found.outcome.tolist() == ["found"]
    assert found.bbox_xywhr[0] == pytest.approx((20 - 0.6, 5000 - 18, 21.2, 636, 0), abs=25)


def test_an_animal_in_two_pieces_is_boxed_whole_and_not_turned(images: ImageTable, tmp_path: Path) -> None:
    mask = np.zeros((100, 150), np.uint8)
    mask[10:40, 10:50] = mask[10:40, 52:90] = 255
    cv2.imwrite(str(tmp_path / "f-mask.png"), mask)
    one = images.select(np.array([5]))
    found = find_boxes(one, find_masks(one, None), frozenset(), 1, Silent())
    assert found.bbox_xywhr[0] == pytest.approx((20 - 4.8, 20 - 1.8, 169.6, 63.6, 0), abs=2)
    assert find_boxes(one, find_masks(one, None), frozenset({"lynx"}), 1, Silent()).outcome.tolist() == ["unclear"]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data, its newts on a plain ground."""
    data = make_tiny_data(tmp_path_factory.mktemp("studio") / "data")
    for row in read_csv(data / "metadata.csv"):
        if row["dataset"] == "NewtID":
            picture = cv2.imread(str(data / row["path"]))
            framed = cv2.copyMakeBorder(picture, 40, 60, 30, 50, cv2.BORDER_CONSTANT, value=(250, 0, 250))
            cv2.imwrite(str(data / row["path"]), framed)
    return data


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return 2, str(result.exception)
    return result.exit_code, result.stdout if "--json" in arguments else result.output


def test_a_table_with_boxes_is_written_and_answered(studio: Path, tmp_path: Path) -> None:
    out, sheet = studio / "boxed.csv", tmp_path / "sheet.jpg"
    status, said = run("boxes", "--data", studio, "--out", out, "--along-body", "NewtID", "--sheet", sheet)
    assert status == 0, said
    before, after = read_csv(studio / "metadata.csv"), read_csv(out)
    for old, new in zip(before, after, strict=True):
        box = new.pop("bbox")
        assert new == old
        assert bool(box) == (old["dataset"] == "NewtID")
        assert not box or len(json.loads(box)) == 5
    loaded = load_table(find_source(out))
    assert not loaded.problems
    assert cv2.imread(str(sheet)).shape[1] == 12 * 160
    status, said = run("boxes", "--data", out, "--out", studio / "again.csv", "--json")
    newts = sum(row["dataset"] == "NewtID" for row in before)
    assert json.loads(said)["datasets"]["NewtID"] == {"given": newts}
    assert read_csv(studio / "again.csv") == read_csv(out)
    submission = predict(out, tmp_path / "run").decode()
    assert len(submission.splitlines()) == 1 + sum(row["split"] == "query" for row in before)


def test_boxes_in_columns_of_their_own_are_kept(studio: Path) -> None:
    rows = read_csv(studio / "metadata.csv")
    for row in rows:
        row |= dict(zip("xywh", ("3", "4", "20", "30"), strict=True))
    write_csv(studio / "columns.csv", list(rows[0]), [list(row.values()) for row in rows])
    assert run("boxes", "--data", studio / "columns.csv", "--out", studio / "kept.csv")[0] == 0
    kept = load_table(find_source(studio / "kept.csv")).images
    assert (kept.bbox_xywhr == (3, 4, 20, 30, 0)).all()


def test_a_given_cell_stays_as_it_is_written(studio: Path) -> None:
    rows = read_csv(studio / "metadata.csv")
    for row in rows:
        row |= {"bbox": "", "BBox": "(1.2345, 2, 30.123456, 40)"}
    write_csv(studio / "cells.csv", list(rows[0]), [list(row.values()) for row in rows])
    assert run("boxes", "--data", studio / "cells.csv", "--out", studio / "same.csv")[0] == 0
    assert read_csv(studio / "same.csv") == rows


def test_a_folder_per_individual_becomes_a_table(tmp_path: Path) -> None:
    for path in ("database/Luna/a.png", "query/b.png"):
        (tmp_path / path).parent.mkdir(parents=True)
        cv2.imwrite(str(tmp_path / path), drawn())
    status, said = run("boxes", "--data", tmp_path, "--out", tmp_path / "boxed.csv")
    assert status == 0, said
    assert "now finds another table than before" in " ".join(said.split())
    images = load_table(find_source(tmp_path / "boxed.csv")).images
    assert images.image_id.tolist() == ["database/Luna/a.png", "query/b.png"]
    assert (images.identity.tolist(), images.is_query.tolist()) == (["Luna", None], [False, True])
    assert np.isfinite(images.bbox_xywhr).all()


def test_a_folder_whose_name_means_nobody_has_no_name_in_the_table(tmp_path: Path) -> None:
    for path in ("database/Luna/a.png", "database/Unknown/c.png", "query/b.png"):
        (tmp_path / path).parent.mkdir(parents=True)
        cv2.imwrite(str(tmp_path / path), drawn())
    status, said = run("boxes", "--data", tmp_path, "--out", tmp_path / "boxed.csv")
    assert status == 0, said
    assert "1 photograph lies in a folder that is no individual's name" in " ".join(said.split())
    identities = {row["path"]: row["identity"] for row in read_csv(tmp_path / "boxed.csv")}
    assert identities == {"database/Luna/a.png": "Luna", "database/Unknown/c.png": "", "query/b.png": ""}


def test_without_a_box_there_is_no_sheet(tmp_path: Path) -> None:
    data, sheet = make_tiny_data(tmp_path / "data", datasets=("CatID",)), tmp_path / "sheet.jpg"
    cv2.imwrite(str(sheet), drawn())
    sheet.write_bytes(mark_picture(sheet.read_bytes()))  # as an earlier call left it
    status, said = run("boxes", "--data", data, "--out", data / "boxed.csv", "--sheet", sheet)
    assert (status, sheet.exists()) == (0, False)
    assert "No box was found" in said


def test_a_slip_is_told_before_anything_is_read(studio: Path) -> None:
    status, said = run("boxes", "--data", studio, "--out", studio / "x.csv", "--along-body", "Newt")
    assert (status, "--along-body Newt: no such data set; there are CatID, NewtID." in said) == (2, True)
    status, said = run("boxes", "--data", studio, "--out", studio / "metadata.csv")
    assert (status, "this is the table itself" in said) == (2, True)
    assert not (studio / "x.csv").exists()
