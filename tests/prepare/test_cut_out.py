"""Cut-outs: the box around an animal, and a table whose photographs are prepared."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from rows import Row, image_table, strings

from animalclef.data.masks import encode_mask, find_masks, read_mask
from animalclef.prepare.cut_out import cut_out_box, prepared_table
from animalclef.structures import ImageTable


def rectangle(left: int, top: int, right: int, bottom: int, width: int = 60, height: int = 40) -> np.ndarray:
    mask = np.zeros((height, width), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def test_the_box_is_in_pixels_of_the_photograph_with_a_margin() -> None:
    # 20 x 10 pixels of the mask from (30, 10), a tenth wider: from 29 to 51 and from 9.5 to 20.5, twice as large
    box = cut_out_box(rectangle(30, 10, 50, 20), (120, 80), 0.1)
    assert box.tolist() == [58.0, 19.0, 44.0, 22.0, 0.0]


def test_the_box_stays_inside_the_photograph() -> None:
    box = cut_out_box(rectangle(0, 0, 20, 20), (60, 40), 0.5)
    assert box.tolist() == [0.0, 0.0, 25.0, 25.0, 0.0]


@pytest.mark.parametrize(
    "mask", [np.zeros((40, 60), dtype=bool), np.ones((40, 60), dtype=bool), rectangle(1, 1, 59, 39)]
)
def test_nothing_or_nearly_all_is_no_box(mask: np.ndarray) -> None:
    assert np.isnan(cut_out_box(mask, (60, 40))).all()


def test_three_animals_share_one_box() -> None:
    mask = rectangle(10, 10, 14, 14) | rectangle(20, 20, 24, 24) | rectangle(30, 10, 34, 14)
    assert cut_out_box(mask, (60, 40), 0.0).tolist() == [10.0, 10.0, 24.0, 14.0, 0.0]


def test_along_the_body_the_box_is_turned() -> None:
    canvas = np.zeros((100, 160), np.uint8)
    cv2.ellipse(canvas, (80, 50), (50, 12), 30, 0, 360, 1, -1)
    x, y, width, height, rotation_rad = cut_out_box(canvas > 0, (320, 200), along_body=True).tolist()
    assert height > 3 * width
    assert (x + width / 2, y + height / 2) == pytest.approx((160, 100), abs=4)
    assert abs(np.degrees(rotation_rad)) % 180 == pytest.approx(60, abs=4)  # from upright to 30 degrees below level


@pytest.fixture
def images(tmp_path: Path) -> ImageTable:
    """Three photographs of 120 x 80 pixels; the last one has a box in the table."""
    table = image_table([Row("a", "Luna"), Row("b", "Luna", dataset="newt"), Row("c")])
    boxes = table.bbox_xywhr.copy()
    boxes[2] = [10, 10, 50, 40, 0]
    for path in table.path:
        cv2.imwrite(str(tmp_path / path), np.full((80, 120, 3), 90, np.uint8))
    return ImageTable(**{**vars(table), "root": tmp_path, "bbox_xywhr": boxes})


def prepare(images: ImageTable, mode: str, mask: np.ndarray | None) -> ImageTable:
    text = "" if mask is None else encode_mask(mask)
    return prepared_table(images, lambda key: text, lambda key: mask, {"lynx": mode}, 0.0)  # type: ignore[dict-item]


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
    given, outline = find_masks(table, None), rectangle(30, 10, 50, 20)
    cut = prepared_table(table, lambda key: encode_mask(outline), lambda key: outline, {"lynx": "cut-out"}, 0.0, given)
    assert cut.bbox_xywhr[0].tolist() == [20.0, 40.0, 20.0, 20.0, 0.0]
    assert cut.mask is not None
    assert cut.mask.tolist() == [own, "", ""]
    nothing = find_masks(images.with_columns(mask=strings(encode_mask(np.zeros((40, 60), bool)), "", "")), None)
    whole = prepared_table(
        table, lambda key: encode_mask(outline), lambda key: outline, {"lynx": "cut-out"}, 0.0, nothing
    )
    assert np.isnan(whole.bbox_xywhr[0]).all()


def test_the_mask_is_read_in_the_cut_out(images: ImageTable) -> None:
    mask = rectangle(30, 10, 50, 20)
    cut = prepared_table(images, lambda key: encode_mask(mask), lambda key: mask, {"lynx": "cut-out"}, 1.0)
    assert cut.bbox_xywhr[0].tolist() == [40.0, 10.0, 80.0, 40.0, 0.0]
    masks = find_masks(cut, None)
    assert masks is not None
    seen = read_mask(cut, 0, masks.source[0], (80, 40))
    expected = np.zeros((40, 80), dtype=bool)
    expected[10:30, 20:60] = True
    assert (seen == expected).all()
