"""Segmentations in a table: run lengths and polygons by hand, and cells that are neither."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny import write_csv

from animalclef.data.segmentation_cells import draw_segmentation, parse_segmentation
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.errors import DataError


def compressed(lengths: list[int]) -> str:
    """COCO's encoder, written from its description: differences to the last but one, five bits a character."""
    text = ""
    for place, length in enumerate(lengths):
        value = length - lengths[place - 2] if place > 2 else length
        while True:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            text += chr((bits | 0x20 if more else bits) + 48)
            if not more:
                break
    return text


BY_HAND = np.array([[0, 0, 1, 1], [0, 1, 1, 0], [0, 1, 0, 0]], dtype=bool)  # down the columns: 0001 1110 100
LENGTHS = [4, 4, 1, 1, 2]


def test_run_lengths_go_down_the_columns() -> None:
    parsed = parse_segmentation(json.dumps({"size": [3, 4], "counts": LENGTHS}))
    assert parsed is not None
    np.testing.assert_array_equal(draw_segmentation(parsed, (99, 99)), BY_HAND)


def test_compressed_run_lengths_by_hand() -> None:
    parsed = parse_segmentation(json.dumps({"size": [3, 4], "counts": "441M1"}))  # 4, 4, 1, 1 - 4 = -3, 2 - 1 = 1
    assert parsed is not None
    np.testing.assert_array_equal(draw_segmentation(parsed, (99, 99)), BY_HAND)
    assert compressed(LENGTHS) == "441M1"


@pytest.mark.parametrize("seed", range(6))
def test_any_mask_survives_compression(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 90)), int(rng.integers(1, 120)))
    mask = np.zeros(shape, dtype=bool)
    for _ in range(4):
        top, left = (int(rng.integers(0, side)) for side in shape)
        mask[top : top + 1 + int(rng.integers(40)), left : left + 1 + int(rng.integers(50))] ^= True
    down = mask.T.ravel()
    ends = [0, *(np.flatnonzero(np.diff(down.astype(int))) + 1).tolist(), len(down)]
    lengths = np.diff(ends).tolist()
    lengths = [0, *lengths] if down[0] else lengths
    for text in (
        json.dumps({"size": list(shape), "counts": compressed(lengths)}),
        str({"size": list(shape), "counts": compressed(lengths)}),
        str({"size": shape, "counts": compressed(lengths).encode()}),
    ):
        parsed = parse_segmentation(text)
        assert parsed is not None, text
        np.testing.assert_array_equal(draw_segmentation(parsed, (7, 7)), mask)


def test_a_polygon_covers_the_pixels_whose_centres_it_holds() -> None:
    for text in ("[[1, 1, 5, 1, 5, 3, 1, 3]]", "[1.0, 1, 5, 1, 5, 3, 1, 3]", "[[1, 1], [5, 1], [5, 3], [1, 3]]",
                 "[[[1, 1], [5, 1], [5, 3], [1, 3]]]", "[(1, 1), (5, 1), (5, 3), (1, 3)]"):  # fmt: skip
        parsed = parse_segmentation(text)
        assert parsed is not None, text
        drawn = draw_segmentation(parsed, (9, 6))
        assert drawn.shape == (6, 9)
        assert drawn[1:3, 1:5].all()
        assert drawn.sum() <= 3 * 5  # the outline may take a pixel's half


def test_several_polygons_are_one_mask() -> None:
    parsed = parse_segmentation("[[0, 0, 4, 0, 4, 4, 0, 4], [10, 10, 14, 10, 14, 14, 10, 14]]")
    assert parsed is not None
    drawn = draw_segmentation(parsed, (20, 16))
    assert drawn[1, 1]
    assert drawn[12, 12]
    assert not drawn[7, 7]


@pytest.mark.parametrize(
    "cell",
    ["x", "__import__('os').system('touch ran')", "[__import__('os').system('touch ran')]", "{}", "[]", "[[1, 2]]",
     '{"size": [3, 4], "counts": [1, 2]}', '{"size": [3, 4], "counts": [-4, 16]}', '{"size": [0, 4], "counts": []}',
     '{"size": "3", "counts": []}', '{"size": [3, 4], "counts": "\\u00ff"}', "[[1, 2, 3, 4, 5]]",
     "[1, 2, null, 4, 5, 6]",
     "[" * 5000, '{"size": [3, 4], "counts": {"a": 1}}', "[NaN, 1, 2, 3, 4, 5]"],
)  # fmt: skip
def test_anything_else_is_nothing(cell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_segmentation(cell) is None
    assert list(tmp_path.iterdir()) == []


def table(folder: Path, column: str, cell: str) -> Path:
    header = ("image_id", "path", "identity", column)
    write_csv(folder / "metadata.csv", header, [("1", "a.jpg", "Luna", cell), ("2", "b.jpg", "", "")])
    return folder


def test_a_table_tells_masks_by_path_or_segmentation(tmp_path: Path) -> None:
    for column, cell, expected in (
        ("mask", "masks/a.png", "masks/a.png"),
        ("mask_path", "masks\\a.png", "masks/a.png"),
        ("segmentation", "{'size': [3, 4], 'counts': b'441M1'}", '{"size":[3,4],"counts":"441M1"}'),
        ("mask", "[1, 1, 5, 1, 5, 3]", "[[1.0,1.0,5.0,1.0,5.0,3.0]]"),
        ("segmentation", "nan", ""),
    ):
        images = load_table(find_source(table(tmp_path / column / str(len(cell)), column, cell))).images
        assert images.mask is not None
        assert images.mask.tolist() == [expected, ""]
        assert images.queries.mask is not None
        assert images.queries.mask.tolist() == [""]


def test_a_strange_segmentation_is_told_and_a_path_outside_is_refused(tmp_path: Path) -> None:
    loaded = load_table(find_source(table(tmp_path / "one", "segmentation", "somewhere")))
    assert [str(problem) for problem in loaded.problems if "segmentation" in str(problem)]
    assert loaded.images.mask is not None
    assert loaded.images.mask.tolist() == ["", ""]
    for cell in ("../a.png", "/etc/a.png", "C:\\a.png"):
        with pytest.raises(DataError, match="mask: leaves the data folder"):
            load_table(find_source(table(tmp_path / "two", "mask", cell)))


def test_a_mask_whose_path_comes_back_is_found(tmp_path: Path) -> None:
    images = load_table(find_source(table(tmp_path, "mask", "m/../n/a.png"))).images
    assert images.mask is not None
    assert images.mask.tolist() == ["n/a.png", ""]


def test_a_table_without_masks_has_none(tiny_data: Path) -> None:
    assert load_table(find_source(tiny_data)).images.mask is None
