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
    ("cell", "box"),
    [
        ("[0.25, 0.5, 0.5, 0.25]", [50, 50, 100, 25, 0]),
        ("[0, 0, 1, 1]", WHOLE),
        ("[0.0, 0.0, 1.0, 1.0]", WHOLE),
        ("10,5; 20; 30; 40", [10.5, 20, 30, 40, 0]),
        ("10 20 30 40", [10, 20, 30, 40, 0]),
        ("[10, 20, 1, 1]", [10, 20, 1, 1, 0]),
    ],
)
def test_a_box(tmp_path: Path, cell: str, box: list[float]) -> None:
    loaded = load(tmp_path, cell)
    np.testing.assert_allclose(loaded.images.bbox_xywhr, [box])
    assert loaded.problems == []


@pytest.mark.parametrize(
    "cell",
    ["[1, 2, 1e300, 4]", "[1, 2, 99999999999, 4]", "[" * 9000, "[1,2,0,0]", "[" + "9" * 6000 + "]", "[0.1,0.1,0,0]"],
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
    "header", ["x,y,w,h", "X,Y,Width,Height", "bbox_x,bbox_y,bbox_width,bbox_height", "bboxX,bboxY,bboxW,bboxH"]
)
def test_a_box_in_four_columns(tmp_path: Path, header: str) -> None:
    Image.new("RGB", (200, 100)).save(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_text(
        f"path,identity,{header}\na.png,Ada,0.25,0.5,0.5,0.25\nb.png,Ada,NA,NA,NA,NA\n"
    )
    boxes = load_table(find_source(tmp_path)).images.bbox_xywhr
    np.testing.assert_allclose(boxes, [[50, 50, 100, 25, 0], WHOLE])


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
