"""Masks: where they are looked for, how they are read, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from rows import Row, image_table, strings

from animalclef.data.masks import find_masks, inside, mask_path, mask_paths, read_mask
from animalclef.errors import DataError
from animalclef.structures import ImageTable


@pytest.fixture
def images(tmp_path: Path) -> ImageTable:
    """Two photographs, lynx/a.jpg and b.jpg, of 60 x 40 pixels."""
    table = image_table([Row("a", "Luna"), Row("b")])
    table = table.with_columns(path=strings("lynx/a.jpg", "b.jpg"))
    for path in table.path:
        store(tmp_path / path, np.full((40, 60), 90, np.uint8))
    return ImageTable(**{**vars(table), "root": tmp_path})


def store(path: Path, values: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), values)
    return path


def half(width: int, height: int, bright: int = 255) -> NDArray[np.uint8]:
    """The left half is the animal."""
    mask = np.zeros((height, width), np.uint8)
    mask[:, : width // 2] = bright
    return mask


def test_a_folder_holds_masks_under_the_photographs_names(images: ImageTable, tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    path = store(mask_path(folder, "lynx/a.jpg"), half(60, 40))
    assert path == folder / "lynx" / "a.png"
    masks = find_masks(images, folder)
    assert masks is not None
    assert masks.source.tolist() == [str(path), ""]
    assert len(masks.digest[0]) == 64
    assert masks.digest[1] == ""
    store(path, half(60, 40, bright=200))
    changed = find_masks(images, folder)
    assert changed is not None
    assert changed.digest[0] != masks.digest[0]


def test_the_folder_goes_before_the_table(images: ImageTable, tmp_path: Path) -> None:
    inner = store(tmp_path / "m" / "a.png", half(60, 40))
    named = images.with_columns(mask=strings("m/a.png", "[[1.0,1.0,5.0,1.0,5.0,3.0]]"))
    masks = find_masks(named, None)
    assert masks is not None
    assert masks.source.tolist() == [str(inner), "[[1.0,1.0,5.0,1.0,5.0,3.0]]"]
    outer = store(tmp_path / "masks" / "lynx" / "a.png", half(60, 40))
    masks = find_masks(named, tmp_path / "masks")
    assert masks is not None
    assert masks.source[0] == str(outer)


def test_two_photographs_of_one_name_have_masks_of_their_own(images: ImageTable, tmp_path: Path) -> None:
    folder, table = tmp_path / "masks", images.with_columns(path=strings("lynx/a.jpg", "lynx/a.png"))
    files = mask_paths(folder, list(table.path))
    assert files == [folder / "lynx/a.jpg.png", folder / "lynx/a.png.png"]
    shared = store(folder / "lynx/a.png", half(60, 40))
    with pytest.raises(DataError) as told:
        find_masks(table, folder)
    assert str(told.value) == (
        f"{shared}: the mask of lynx/a.jpg or of lynx/a.png? Call their masks lynx/a.jpg.png and lynx/a.png.png."
    )
    for file in files:
        store(file, half(60, 40))
    store(tmp_path / "lynx/a.png", half(60, 40))
    for part in (table, table.select(np.array([0])), table.select(np.array([1]))):
        masks = find_masks(part, folder, report=part is table)
        assert masks is not None
        assert masks.source.tolist() == [f"{folder / path}.png" for path in part.path]


def test_two_masks_of_one_photograph_are_told(images: ImageTable, tmp_path: Path) -> None:
    one = images.select(np.array([0]))
    for name in (f"{one.path[0]}.png", str(Path(one.path[0]).with_suffix(".png"))):
        store(tmp_path / name, half(60, 40))
    with pytest.raises(DataError, match=r"lynx/a.jpg has two masks, .*lynx/a.jpg.png and .*lynx/a.png. Remove the one"):
        find_masks(one, tmp_path)


def test_a_photograph_that_is_called_as_a_mask_keeps_its_own(images: ImageTable, tmp_path: Path) -> None:
    table, folder = images.with_columns(path=strings("b.jpg", "b.jpg.png")), tmp_path / "masks"
    store(tmp_path / "b.jpg.png", half(60, 40))
    files = [store(file, half(60, 40)) for file in mask_paths(folder, list(table.path))]
    masks = find_masks(table, folder)
    assert masks is not None
    assert masks.source.tolist() == [str(folder / "b.png"), str(folder / "b.jpg.png")] == [str(file) for file in files]


def test_no_mask_at_all_is_none_or_an_error(images: ImageTable, tmp_path: Path) -> None:
    assert find_masks(images, None) is None
    with pytest.raises(DataError, match="no such folder of masks"):
        find_masks(images, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no mask for any photograph; expected for example .*lynx.a\.png"):
        find_masks(images, tmp_path / "empty")
    with pytest.raises(DataError, match="cannot be read"):
        find_masks(images.with_columns(mask=strings("gone.png", "")), None)


@pytest.mark.parametrize("bright", [1, 7, 255])
@pytest.mark.parametrize("size_wh", [(60, 40), (30, 20), (120, 80), (45, 30), (31, 20)])
def test_a_mask_of_any_scale_and_brightness(
    images: ImageTable, tmp_path: Path, bright: int, size_wh: tuple[int, int]
) -> None:
    path = store(tmp_path / "m.png", half(*size_wh, bright=bright))
    mask = read_mask(images, 0, str(path), (60, 40))
    xy = np.array([[0, 0], [28, 39], [31, 0], [59, 39]], np.float32)
    assert inside(mask, xy, (60, 40)).tolist() == [True, True, False, False]


def palette(path: Path) -> None:
    image = Image.fromarray(half(60, 40, bright=1), mode="P")
    image.putpalette([0, 0, 0, 128, 0, 0])
    image.save(path)


def transparent(path: Path) -> None:
    Image.fromarray(np.dstack([np.full((40, 60, 3), 50, np.uint8), half(60, 40)])).save(path)


@pytest.mark.parametrize(
    "write", [palette, transparent, lambda path: Image.fromarray(half(60, 40) > 0).save(path)], ids=["P", "RGBA", "1"]
)
def test_masks_of_every_kind(images: ImageTable, tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / "m.png")
    mask = read_mask(images, 0, str(tmp_path / "m.png"), (60, 40))
    np.testing.assert_array_equal(mask, half(60, 40) > 0)


@pytest.mark.parametrize("size_wh", [(40, 60), (60, 60), (60, 45), (300, 300)])
def test_a_mask_of_another_shape_is_refused(images: ImageTable, tmp_path: Path, size_wh: tuple[int, int]) -> None:
    path = store(tmp_path / "m.png", half(*size_wh))
    sizes = f"expected the shape of its photograph, 60 x 40 or scaled, got {size_wh[0]} x {size_wh[1]}"
    with pytest.raises(DataError, match=sizes):
        read_mask(images, 0, str(path), (60, 40))


@pytest.mark.parametrize(("size_wh", "why"), [((40, 60), "expected the shape"), ((0, 0), "not a readable mask")])
def test_a_file_that_does_not_fit_is_refused_before_anything_is_computed(
    images: ImageTable, tmp_path: Path, size_wh: tuple[int, int], why: str
) -> None:
    for path in images.path:
        (tmp_path / "masks" / path).parent.mkdir(parents=True, exist_ok=True)
        file = (tmp_path / "masks" / path).with_suffix(".png")
        file.write_text("no picture")
        if size_wh[0]:
            store(file, half(*size_wh))
    with pytest.raises(DataError, match=why):
        find_masks(images, tmp_path / "masks")
    assert find_masks(images, tmp_path / "masks", report=False) is not None


def test_run_lengths_of_another_shape_are_left_out_of_their_row(
    images: ImageTable, caplog: pytest.LogCaptureFixture
) -> None:
    turned, half_scale = '{"size":[60,40],"counts":[0,2400]}', '{"size":[20,30],"counts":[0,600]}'
    assert read_mask(images, 0, turned, (60, 40)) is None
    assert read_mask(images, 0, turned, (60, 40)) is None
    half_sized = read_mask(images, 1, half_scale, (60, 40))
    assert half_sized is not None
    assert half_sized.shape == (20, 30)
    sentence = "a.jpg is left out: expected the shape of its photograph, 60 x 40 or scaled, got 40 x 60."
    assert [sentence in record.message for record in caplog.records] == [True]


def test_photographs_are_not_opened_to_find_masks(images: ImageTable) -> None:
    cell = '{"size":[40,60],"counts":[0,2400]}'
    for path in images.path:
        (images.root / path).unlink()
    masks = find_masks(images.with_columns(mask=strings(cell, cell)), None)
    assert masks is not None
    assert masks.source.tolist() == [cell, cell]


def test_a_broken_mask_is_named(images: ImageTable, tmp_path: Path) -> None:
    path = store(tmp_path / "m.png", half(60, 40))
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError, match=r"m\.png: not a readable mask"):
        read_mask(images, 0, str(path), (60, 40))


def test_a_mask_of_nothing_and_one_of_everything(images: ImageTable, tmp_path: Path) -> None:
    xy = np.array([[0, 0], [59, 39]], np.float32)
    for value, expected in ((0, [False, False]), (255, [True, True])):
        path = store(tmp_path / "m.png", np.full((40, 60), value, np.uint8))
        assert inside(read_mask(images, 0, str(path), (60, 40)), xy, (60, 40)).tolist() == expected


def test_a_mask_is_cut_to_its_box(images: ImageTable, tmp_path: Path) -> None:
    boxes = np.array([[20, 10, 30, 20, 0], [np.nan] * 5], np.float32)
    boxed = images.with_columns(bbox_xywhr=boxes)
    for scale in (1, 2):  # the animal: x < 30 of 60, that is x < 10 in the box
        path = store(tmp_path / "m.png", half(60 * scale, 40 * scale))
        mask = read_mask(boxed, 0, str(path), (30, 20))
        assert mask.shape == (20, 30)
        assert mask[:, :10].all()
        assert not mask[:, 10:].any()


def test_keypoints_on_the_edge_are_looked_up_in_their_own_pixel() -> None:
    mask = np.array([[True, False, True]])
    xy = np.array([[-0.5, -0.5], [9.49, 4.49], [9.51, 0], [19.49, 0], [19.51, 0], [29.5, 4.5]], np.float32)
    assert inside(mask, xy, (30, 5)).tolist() == [True, True, False, False, True, True]
    assert inside(mask, np.zeros((0, 2), np.float32), (30, 5)).tolist() == []
