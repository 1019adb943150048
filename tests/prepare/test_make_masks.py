"""Masks of a whole table: which files are made, which are kept, and how boxes and transparency count."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from rows import Row, image_table, strings
from typer.testing import CliRunner

from animalclef.cli import app
from animalclef.data.masks import read_mask
from animalclef.errors import OutputError
from animalclef.prepare.make_masks import Made, make_masks
from animalclef.prepare.segmenters import Box
from animalclef.runtime.progress import Silent
from animalclef.structures import ImageTable


class Inside:
    """Takes the box for the animal; a black photograph has none."""

    def __init__(self, fingerprint: str = "inside") -> None:
        self.fingerprint = fingerprint
        self.asked: list[Box | None] = []

    def segment(
        self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[Box | None] | None = None
    ) -> list[NDArray[np.bool_]]:
        return [self._one(*each) for each in zip(images, boxes or [None] * len(images), strict=True)]

    def _one(self, pixels: NDArray[np.uint8], box: Box | None) -> NDArray[np.bool_]:
        self.asked.append(box)
        mask = np.zeros(pixels.shape[:2], dtype=bool)
        left, top, right, bottom = (0, 0, 10, 10) if box is None else (round(side) for side in box)
        mask[top:bottom, left:right] = pixels.any()
        return mask


@pytest.fixture
def images(tmp_path: Path) -> ImageTable:
    """a: a photograph; b, c: two boxes of one; d: transparent; e: black; f: no image."""
    table = image_table([Row(name, "Luna") for name in "abcdef"])
    paths = ("x/a.jpg", "b.jpg", "b.jpg", "d.png", "e.png", "f.jpg")
    grey = np.full((60, 100, 3), 120, np.uint8)
    (tmp_path / "x").mkdir()
    for path in ("x/a.jpg", "b.jpg"):
        cv2.imwrite(str(tmp_path / path), grey)
    alpha = np.zeros((60, 100), np.uint8)
    alpha[20:30, 40:80] = 255
    cv2.imwrite(str(tmp_path / "d.png"), np.dstack([grey, alpha]))
    cv2.imwrite(str(tmp_path / "e.png"), np.zeros_like(grey))
    (tmp_path / "f.jpg").write_bytes(b"nothing")
    boxes = np.full((6, 5), np.nan, np.float32)
    boxes[1], boxes[2] = (5, 10, 20, 30, 0), (60, 10, 20, 40, np.pi / 2)  # turned about its centre: 40 wide, 20 high
    return replace(table, root=tmp_path, path=strings(*paths), bbox_xywhr=boxes)


def test_every_photograph_gets_its_mask_once(images: ImageTable, tmp_path: Path) -> None:
    folder, segmenter = tmp_path / "masks", Inside()
    made = make_masks(images, folder, segmenter, 2, Silent())
    assert made == Made(4, 0, ("e.png",), ("f.jpg",))
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    assert names == ["b.png", "d.png", "e.png", "x/a.png"]
    whole = images.with_columns(bbox_xywhr=np.full((6, 5), np.nan, np.float32))
    rows = ((0, "x/a.png"), (1, "b.png"), (3, "d.png"))
    first, boxes, clear = (read_mask(whole, row, str(folder / name), (100, 60)) for row, name in rows)
    assert first.sum() == 100
    expected = np.zeros((60, 100), dtype=bool)
    expected[10:40, 5:25] = expected[20:40, 50:90] = True
    np.testing.assert_array_equal(boxes, expected)
    assert clear.sum() == 10 * 40
    assert read_mask(whole, 4, str(folder / "e.png"), (100, 60)).all()  # unclear: all is kept
    before = {path: path.read_bytes() for path in folder.rglob("*.png")}
    segmenter.asked.clear()
    assert make_masks(images, folder, segmenter, 1, Silent()) == Made(0, 4, (), ("f.jpg",))
    assert segmenter.asked == []
    assert make_masks(images, folder, segmenter, 1, Silent(), overwrite=True).masks == 4
    assert {path: path.read_bytes() for path in folder.rglob("*.png")} == before


def test_the_command_makes_masks_and_keeps_them(tmp_path: Path) -> None:
    for path in ("database/Luna/a.jpg", "query/b.jpg"):
        picture = np.full((120, 180, 3), (50, 110, 60), np.uint8)
        cv2.ellipse(picture, (90, 60), (50, 30), 0, 0, 360, (40, 150, 220), -1)
        (tmp_path / "data" / path).parent.mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "data" / path), picture)
    arguments = ["mask", "--data", str(tmp_path / "data"), "--to", str(tmp_path / "masks")]
    result = CliRunner().invoke(app, [*arguments, "--model", "grabcut", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"masks": 2, "kept": 0, "unclear": [], "unreadable": []}
    mask = cv2.imread(str(tmp_path / "masks" / "query" / "b.png"), cv2.IMREAD_GRAYSCALE)
    assert mask[60, 90] == 255
    assert mask[5, 5] == 0
    again = CliRunner().invoke(app, [*arguments, "--model", "grabcut", "--sheet", str(tmp_path / "sheet.jpg")])
    assert again.exit_code == 0, again.output
    assert "0 masks made, 2 were there" in again.output
    drawn = cv2.imread(str(tmp_path / "sheet.jpg"))
    assert drawn.shape == (176, 2 * 160, 3)
    assert drawn[53, 80].max() > 150  # the ellipse stays bright
    assert drawn[10, 80].max() < 60  # the background is darkened


def test_masks_do_not_lie_among_the_folders_of_individuals(tmp_path: Path) -> None:
    (tmp_path / "data" / "Luna").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "data" / "Luna" / "a.jpg"), np.zeros((8, 8, 3), np.uint8))
    result = CliRunner().invoke(
        app, ["mask", "--data", str(tmp_path / "data"), "--to", str(tmp_path / "data" / "masks")]
    )
    assert "would be read as photographs. Give a folder outside it." in str(result.exception)
    assert sorted(path.name for path in (tmp_path / "data").rglob("*")) == ["Luna", "a.jpg"]


def test_the_segmenter_that_ships_makes_masks_by_default(tmp_path: Path) -> None:
    picture = np.full((120, 180, 3), (50, 110, 60), np.uint8)
    cv2.ellipse(picture, (90, 60), (50, 30), 0, 0, 360, (40, 150, 220), -1)
    (tmp_path / "data" / "Luna").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "data" / "Luna" / "a.png"), picture)
    arguments = ["mask", "--data", str(tmp_path / "data"), "--to", str(tmp_path / "masks"), "--device", "cpu"]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    mask = cv2.imread(str(tmp_path / "masks" / "Luna" / "a.png"), cv2.IMREAD_GRAYSCALE) > 127
    truth = cv2.ellipse(np.zeros((120, 180), np.uint8), (90, 60), (50, 30), 0, 0, 360, 1, -1) > 0
    assert (mask & truth).sum() / (mask | truth).sum() > 0.9


def test_a_mask_is_made_again_when_its_photograph_or_the_segmenter_changed(images: ImageTable, tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    make_masks(images, folder, Inside(), 1, Silent())
    other = Inside("another")
    assert make_masks(images, folder, other, 1, Silent()).masks == 4
    assert len(other.asked) == 4  # a, e, and both boxes of b; d has transparency
    cv2.imwrite(str(tmp_path / "x" / "a.jpg"), np.full((60, 100, 3), 90, np.uint8))
    assert make_masks(images, folder, Inside("another"), 1, Silent()).masks == 1


def test_a_mask_from_elsewhere_is_kept_and_a_damaged_one_made_again(images: ImageTable, tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    cv2.imwrite(str(folder / "e.png"), np.full((60, 100), 255, np.uint8))
    own = (folder / "e.png").read_bytes()
    assert make_masks(images, folder, Inside(), 1, Silent()) == Made(3, 1, (), ("f.jpg",))
    whole = (folder / "d.png").read_bytes()
    (folder / "d.png").write_bytes(whole[: len(whole) // 2])
    assert make_masks(images, folder, Inside(), 1, Silent()) == Made(1, 3, (), ("f.jpg",))
    assert (folder / "d.png").read_bytes() == whole
    assert make_masks(images, folder, Inside(), 1, Silent(), overwrite=True) == Made(3, 1, (), ("f.jpg",))
    assert (folder / "e.png").read_bytes() == own


def test_a_file_that_is_no_mask_is_not_overwritten(images: ImageTable, tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    (folder / "d.png").write_bytes(b"my notes")
    with pytest.raises(OutputError, match=r"d\.png: this file is no mask, so it is not overwritten"):
        make_masks(images, folder, Inside(), 1, Silent(), overwrite=True)
    assert (folder / "d.png").read_bytes() == b"my notes"


def test_copies_of_one_photograph_are_segmented_once(tmp_path: Path) -> None:
    table = image_table([Row("a", "Luna"), Row("b", "Luna")])
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((20, 30, 3), 120, np.uint8))
    table = replace(table, root=tmp_path, path=strings("a.png", "b.png"))
    segmenter = Inside()
    assert make_masks(table, tmp_path / "masks", segmenter, 1, Silent()).masks == 2
    assert len(segmenter.asked) == 1
    assert (tmp_path / "masks" / "a.png").read_bytes() == (tmp_path / "masks" / "b.png").read_bytes()
