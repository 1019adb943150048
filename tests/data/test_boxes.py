"""Boxes in pixels, as shares of the photograph, with decimal commas, in degrees."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from animalclef.data.segmentation_cells import draw_segmentation, parse_segmentation
from animalclef.data.sources import find_source
from animalclef.data.table import LoadedTable, load_table

WHOLE = [math.nan] * 5


def load(folder: Path, *cells: str) -> LoadedTable:
    Image.new("RGB", (200, 100)).save(folder / "a.png")
    rows = "".join(f'{n},a.png,Ada,"{cell}"\n' for n, cell in enumerate(cells))
    (folder / "metadata.csv").write_text(f"image_id,path,identity,bbox\n{rows}")
    return load_table(find_source(folder))


@pytest.mark.parametrize(
    ("header", "cells", "box"),
    [
        ("bbox (%)", '"[25, 50, 50, 25]"', [50, 50, 100, 25, 0]),
        ("bbox_percent", '"25,50,50,25,0.5"', [50, 50, 100, 25, 0.5]),
        ("x_percent,y_percent,w_percent,h_percent", "25,50,50,25", [50, 50, 100, 25, 0]),
        ("x %,y %,width %,height %", "0.5,1,0.5,1", [1, 1, 1, 1, 0]),
        ("xmin (%),ymin (%),xmax (%),ymax (%)", "25,50,75,75", [50, 50, 100, 25, 0]),
        ("x,y,w,h", "25%,50%,50%,25%", [50, 50, 100, 25, 0]),
        ("x_percent,y_percent,w_percent,h_percent,x,y,w,h", "1,2,3,4,25,50,50,25", [25, 50, 50, 25, 0]),
        ("x,y,w,h", "25,50,50,25", [25, 50, 50, 25, 0]),  # nothing says per cent
    ],
)
def test_boxes_in_per_cent(tmp_path: Path, header: str, cells: str, box: list[float]) -> None:
    Image.new("RGB", (200, 100)).save(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_text(f"image_id,path,identity,{header}\n1,a.png,Ada,{cells}\n")
    loaded = load_table(find_source(tmp_path))
    np.testing.assert_allclose(loaded.images.bbox_xywhr, [box])
    said = [f"metadata.csv, line 1: the column {header} is read as bbox."] if header.startswith("bbox") else []
    assert [str(problem) for problem in loaded.problems] == said


def test_per_cent_beyond_the_photograph_make_no_box(tmp_path: Path) -> None:
    loaded = load(tmp_path, "25%, 50%, 500%, 25%", "25%, x%, 50%, 25%")
    assert np.isnan(loaded.images.bbox_xywhr).all()
    assert "line 2: the box is not x, y, width, height" in str(loaded.problems[0])
    assert "(also line 3)" in str(loaded.problems[0])


@pytest.mark.parametrize(
    ("cell", "box"),
    [
        ("[0.25, 0.5, 0.5, 0.25]", [50, 50, 100, 25, 0]),
        ("[0, 0, 1, 1]", WHOLE),
        ("[0.0, 0.0, 1.0, 1.0]", WHOLE),
        ("10,5; 20; 30; 40", [10.5, 20, 30, 40, 0]),
        ("10 20 30 40", [10, 20, 30, 40, 0]),
        ("[10, 20, 1, 1]", [10, 20, 1, 1, 0]),
        ("[0.5, 0.25, 1.2, 0.5]", [100, 25, 240, 50, 0]),  # sticks out to the right
        ("[-0.05, 0.1, 0.5, 0.5]", [-10, 10, 100, 50, 0]),
        ("[NaN, NaN, NaN, NaN]", WHOLE),
        ("25% 50% 50% 25%", [50, 50, 100, 25, 0]),
        ("[25 %, 50 %, 50 %, 25 %]", [50, 50, 100, 25, 0]),
        ("12,5%; 0%; 0,5%; 100%", [25, 0, 1, 100, 0]),
        ("0%, 0%, 100%, 100%", WHOLE),
    ],
)
def test_a_box(tmp_path: Path, cell: str, box: list[float]) -> None:
    loaded = load(tmp_path, cell)
    np.testing.assert_allclose(loaded.images.bbox_xywhr, [box])
    assert loaded.problems == []


@pytest.mark.parametrize(
    "cell",
    [
        "[1, 2, 1e300, 4]",
        "[1, 2, 99999999999, 4]",
        "[" * 9000,
        "[1,2,0,0]",
        "[" + "9" * 6000 + "]",
        "[0.1,0.1,0,0]",
        "[null,20,30,40]",
        "[1,NA,3,4]",
    ],
)
def test_a_box_of_any_size_or_depth_is_refused_for_its_row(tmp_path: Path, cell: str) -> None:
    loaded = load(tmp_path, cell, "[10, 20, 30, 40]")
    np.testing.assert_allclose(loaded.images.bbox_xywhr, [WHOLE, [10, 20, 30, 40, 0]])
    assert [problem.line for problem in loaded.problems] == [2]


def test_a_column_beyond_a_full_turn_is_in_degrees(tmp_path: Path) -> None:
    loaded = load(tmp_path, "[10, 20, 30, 40, 90]", "[10, 20, 30, 40, 3]")
    np.testing.assert_allclose(loaded.images.bbox_xywhr[:, 4], [math.pi / 2, math.pi / 60], rtol=1e-6)
    assert "the column is read as degrees" in str(loaded.problems[0])


def test_a_column_of_whole_numbers_is_in_degrees(tmp_path: Path) -> None:
    loaded = load(tmp_path, "[10, 20, 30, 40, 3]", "[10, 20, 30, 40, 0]", "[10, 20, 30, 40, -2]")
    np.testing.assert_allclose(loaded.images.bbox_xywhr[:, 4], [math.pi / 60, 0, -math.pi / 90], rtol=1e-6)
    assert str(loaded.problems[0]).endswith("line 2: theta: whole numbers alone; the column is read as degrees.")
    (tmp_path / "radians").mkdir()
    assert load(tmp_path / "radians", "[10, 20, 30, 40, 3]", "[10, 20, 30, 40, 0.5]").problems == []


@pytest.mark.parametrize(
    "header",
    [
        "x,y,w,h",
        "X,Y,Width,Height",
        "bbox_x,bbox_y,bbox_width,bbox_height",
        "bboxX,bboxY,bboxW,bboxH",
        "xmin,ymin,width,height",
        "left,top,width,height",
        "left,top,w,h",
        "bbox_left,bbox_top,bbox_width,bbox_height",
    ],
)
def test_a_box_in_four_columns(tmp_path: Path, header: str) -> None:
    Image.new("RGB", (200, 100)).save(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_text(
        f"path,identity,{header}\na.png,Ada,0.25,0.5,0.5,0.25\nb.png,Ada,NA,NA,NA,NA\n"
    )
    boxes = load_table(find_source(tmp_path)).images.bbox_xywhr
    np.testing.assert_allclose(boxes, [[50, 50, 100, 25, 0], WHOLE])


@pytest.mark.parametrize("header", ["xmin,ymin,xmax,ymax", "bbox_x1,bbox_y1,bbox_x2,bbox_y2", "left,top,right,bottom"])
def test_corners_in_four_columns(tmp_path: Path, header: str) -> None:
    (tmp_path / "metadata.csv").write_text(
        f"path,identity,{header},theta\na.png,Ada,10,20,40,60,0.5\nb.png,Ada,9,9,9,9,\n"
    )
    loaded = load_table(find_source(tmp_path))
    np.testing.assert_allclose(loaded.images.bbox_xywhr, [[10, 20, 30, 40, 0.5], WHOLE])
    assert [problem.line for problem in loaded.problems] == [3]


def test_a_width_and_a_height_beside_corners_are_the_photographs(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text(
        "path,identity,width,height,xmin,ymin,xmax,ymax\na.png,Ada,200,100,10,20,40,60\n"
    )
    np.testing.assert_allclose(load_table(find_source(tmp_path)).images.bbox_xywhr, [[10, 20, 30, 40, 0]])


def test_a_box_has_a_pixel_or_none_by_its_size_and_not_by_its_corner(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text(
        "path,identity,xmin,ymin,xmax,ymax\na.png,Ada,-30,-40,0.5,60\nb.png,Ada,10,20,10.5,60\n"
    )
    loaded = load_table(find_source(tmp_path))
    np.testing.assert_allclose(loaded.images.bbox_xywhr, [[-30, -40, 30.5, 100, 0], WHOLE])
    assert [problem.line for problem in loaded.problems] == [3]


def test_a_corner_far_down_a_column_that_is_no_corner_is_refused(tmp_path: Path) -> None:
    loaded = load(tmp_path, *["[150, 60, 190, 90]"] * 50, "[150, 60, 110, 90]")
    np.testing.assert_allclose(loaded.images.bbox_xywhr[-2:], [[150, 60, 40, 30, 0], WHOLE])
    assert [problem.line for problem in loaded.problems] == [
        52,
        None,
        3,
    ]  # the last: a photograph and box that stand twice


@pytest.mark.parametrize("header", ["x_center,y_center,width,height", "bbox_x_centre,bbox_y_centre,bbox_w,bbox_h"])
def test_a_centre_and_a_size_in_four_columns(tmp_path: Path, header: str) -> None:
    (tmp_path / "metadata.csv").write_text(f"path,identity,{header}\na.png,Ada,25,40,30,40\nb.png,Ada,,,,\n")
    loaded = load_table(find_source(tmp_path))
    np.testing.assert_allclose(loaded.images.bbox_xywhr, [[10, 20, 30, 40, 0], WHOLE])


def test_boxes_that_reach_beyond_their_photographs_are_corners(tmp_path: Path) -> None:
    loaded = load(tmp_path, "[150, 60, 190, 90]", "[10, 20, 110, 70]")
    np.testing.assert_allclose(loaded.images.bbox_xywhr, [[150, 60, 40, 30, 0], [10, 20, 100, 50, 0]])
    assert "the column is read as x1, y1, x2, y2" in str(loaded.problems[0])
    (tmp_path / "wide").mkdir()
    assert load(tmp_path / "wide", "[150, 60, 190, 90]", "[10, 20, 5, 70]").problems == []  # 5 is no right end


def test_columns_beside_an_empty_bbox_and_theta_beside_a_full_one(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("path,identity,bbox,x,y,w,h\na.png,Ada,,10,20,30,40\n")
    np.testing.assert_allclose(load_table(find_source(tmp_path)).images.bbox_xywhr, [[10, 20, 30, 40, 0]])
    (tmp_path / "metadata.csv").write_text('path,identity,bbox,theta\na.png,Ada,"[10,20,30,40]",0.5\n')
    np.testing.assert_allclose(load_table(find_source(tmp_path)).images.bbox_xywhr, [[10, 20, 30, 40, 0.5]])


def test_segmentations_of_absurd_size_are_no_segmentations() -> None:
    assert parse_segmentation('{"size": [1000000000, 1000000000], "counts": [1000000000000000000]}') is None
    assert parse_segmentation("[[1e300, 0, 1, 1, 2, 2]]") is None
    assert parse_segmentation("[5, 6]") is None
    assert parse_segmentation("[[[1, 2], [3, 4], 5]]") is None
    assert parse_segmentation("[" * 100_000) is None
    assert parse_segmentation('{"size": [2, 2], "counts": "' + "o" * 1000 + '"}') is None


def test_a_polygon_of_shares_covers_its_part() -> None:
    mask = draw_segmentation([[0.0, 0.0, 0.5, 0.0, 0.5, 1.0, 0.0, 1.0]], (40, 20))
    assert mask[:, :19].all()
    assert not mask[:, 21:].any()


def test_a_cell_longer_than_pythons_limit_is_read(tmp_path: Path) -> None:
    polygon = "[[" + ", ".join(f"{x % 190}.5, {x % 90}.25" for x in range(12_000)) + "]]"
    assert len(polygon) > 131_072
    Image.new("RGB", (200, 100)).save(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_text(f'image_id,path,identity,segmentation\n1,a.png,Ada,"{polygon}"\n')
    mask = load_table(find_source(tmp_path)).images.mask
    assert mask is not None
    assert mask[0].startswith("[[0.5,0.25,1.5")
