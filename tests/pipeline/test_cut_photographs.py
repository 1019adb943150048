"""Cut-outs: a table whose photographs are prepared."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from rows import Row, image_table, strings

from animalclef.data.masks import encode_mask, find_masks, read_mask
from animalclef.pipeline.cut_photographs import prepared_table
from animalclef.structures import ImageTable


def rectangle(left: int, top: int, right: int, bottom: int, width: int = 60, height: int = 40) -> np.ndarray:
    mask = np.zeros((height, width), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


@pytest.fixture
def images(tmp_path: Path) -> ImageTable:
    """Three photographs of 120 x 80 pixels; the last one has a box in the table."""
    table = image_table([Row("a", "Luna"), Row("b", "Luna", dataset="newt"), Row("c")])
    boxes = table.bbox_xywhr.copy()
    boxes[2] = [10, 10, 50, 40, 0]
    for path in table.path:
        cv2.imwrite(str(tmp_path / path), np.full((80, 120, 3), 90, np.uint8))
    return ImageTable(**{**vars(table), "root": tmp_path, "bbox_xywhr": boxes})


def outlined(mask: np.ndarray | None) -> Any:
    """The outline of every photograph."""
    return SimpleNamespace(text=lambda key: "" if mask is None else encode_mask(mask), mask=lambda key: mask)


def prepare(images: ImageTable, mode: str, mask: np.ndarray | None) -> ImageTable:
    return prepared_table(images, outlined(mask), {"lynx": mode}, 0.0)  # type: ignore[dict-item]


def test_each_data_set_is_prepared_in_its_own_way(images: ImageTable) -> None:
    mask = rectangle(30, 10, 50, 20)
    cut = prepare(images, "cut-out", mask)
    assert cut.bbox_xywhr[0].tolist() == [60.0, 20.0, 40.0, 20.0, 0.0]
    assert np.isnan(cut.bbox_xywhr[1]).all()  # a data set that is not named stays whole
    assert cut.bbox_xywhr[2].tolist() == [10.0, 10.0, 50.0, 40.0, 0.0]  # the table's own box
    assert cut.key.tolist() == ["", images.key[1], images.key[2]]
    assert cut.mask is not None
    assert cut.mask.tolist() == [encode_mask(mask), "", ""]


def test_masked_photographs_keep_their_pixels(images: ImageTable) -> None:
    masked = prepare(images, "masked", rectangle(30, 10, 50, 20))
    assert np.isnan(masked.bbox_xywhr[0]).all()
    assert masked.key.tolist() == images.key.tolist()
    assert masked.mask is not None
    assert masked.mask[0] != ""


def test_a_photograph_without_an_animal_stays_whole(images: ImageTable) -> None:
    cut = prepare(images, "cut-out", None)
    assert cut.mask is None
    assert np.isnan(cut.bbox_xywhr[0]).all()
    assert cut.key.tolist() == images.key.tolist()


def test_a_given_mask_says_where_to_cut(images: ImageTable) -> None:
    own = encode_mask(rectangle(10, 20, 20, 30))
    table = images.with_columns(mask=strings(own, "", ""))
    given, outlines = find_masks(table, None), outlined(rectangle(30, 10, 50, 20))
    cut = prepared_table(table, outlines, {"lynx": "cut-out"}, 0.0, given)
    assert cut.bbox_xywhr[0].tolist() == [20.0, 40.0, 20.0, 20.0, 0.0]
    assert cut.mask is not None
    assert cut.mask.tolist() == [own, "", ""]
    nothing = find_masks(images.with_columns(mask=strings(encode_mask(np.zeros((40, 60), bool)), "", "")), None)
    whole = prepared_table(table, outlines, {"lynx": "cut-out"}, 0.0, nothing)
    assert np.isnan(whole.bbox_xywhr[0]).all()


def test_the_mask_is_read_in_the_cut_out(images: ImageTable) -> None:
    cut = prepared_table(images, outlined(rectangle(30, 10, 50, 20)), {"lynx": "cut-out"}, 1.0)
    assert cut.bbox_xywhr[0].tolist() == [40.0, 10.0, 80.0, 40.0, 0.0]
    masks = find_masks(cut, None)
    assert masks is not None
    seen = read_mask(cut, 0, masks.source[0], (80, 40))
    expected = np.zeros((40, 80), dtype=bool)
    expected[10:30, 20:60] = True
    assert (seen == expected).all()
