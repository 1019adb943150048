"""Apply a preparation to a table: the box that each photograph is cut to, and the mask that keypoints must lie in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from animalclef.config.prepare import Mode
from animalclef.data.decode import UnreadableImageError, upright_size_wh
from animalclef.data.masks import Masks, read_mask
from animalclef.errors import DataError
from animalclef.prepare.body_box import body_box, is_whole, outline_box
from animalclef.structures import WHOLE_XYWHR, FloatArray, ImageTable
from animalclef.structures.arrays import BoolArray

__all__ = ["cut_out_box", "prepared_table"]

_NEARLY_ALL = 0.9  # of the photograph: a cut-out as large as this is the photograph itself


def cut_out_box(
    mask: BoolArray, size_wh: tuple[int, int], margin: float = 0.06, *, along_body: bool = False
) -> FloatArray:
    """Return the box (5,) around the animal, in pixels of a photograph of `size_wh`; NaN for the whole photograph.

    An upright box is widened by `margin` of each side and stays inside the photograph. With `along_body` it is turned
    along the animal, head up, where the animal is in one piece. A box of nearly the whole photograph is none.

    >>> mask = np.zeros((40, 60), dtype=bool)
    >>> mask[10:20, 30:50] = True
    >>> cut_out_box(mask, (120, 80), 0.1).tolist()
    [58.0, 19.0, 44.0, 22.0, 0.0]
    """
    if not mask.any():
        return WHOLE_XYWHR
    scale_x, scale_y = size_wh[0] / mask.shape[1], size_wh[1] / mask.shape[0]
    if along_body and is_whole(mask):
        x, y, width, height, rotation_rad = body_box(mask)
        scale = (scale_x + scale_y) / 2
        centre_x, centre_y = (x + width / 2) * scale_x, (y + height / 2) * scale_y
        width, height = width * scale, height * scale
        sides = np.round([centre_x - width / 2, centre_y - height / 2, width, height], 2)
        return np.array([*sides, round(rotation_rad, 5)], np.float32)
    x, y, width, height, _ = outline_box(mask, margin)
    left, top = max(0.0, x * scale_x), max(0.0, y * scale_y)
    right, bottom = min(size_wh[0], (x + width) * scale_x), min(size_wh[1], (y + height) * scale_y)
    if (right - left) * (bottom - top) >= _NEARLY_ALL * size_wh[0] * size_wh[1]:
        return WHOLE_XYWHR
    return np.array([*np.round([left, top, right - left, bottom - top], 2), 0.0], np.float32)


def prepared_table(
    images: ImageTable,
    outline: Callable[[str], str],
    mask_of: Callable[[str], BoolArray | None],
    modes: Mapping[str, Mode],
    margin: float,
    given: Masks | None = None,
) -> ImageTable:
    """Return the table with a box and a mask for each photograph as the mode of its data set wants them.

    `outline` and `mask_of` read outlines by content key. Boxes of the table and the `given` masks, of the table or of a
    folder, go before them. The key of a row whose box changed is "": its content key must be computed anew.

    Raises:
        DataError: a photograph is no longer there, or a given mask cannot be read.
    """
    boxes, keys = images.bbox_xywhr.copy(), images.key.copy()
    masks = np.full(len(images), "", dtype=object) if images.mask is None else images.mask.copy()
    for row, (key, dataset) in enumerate(zip(images.key, images.dataset, strict=True)):
        mode = modes.get(dataset, "whole")
        if mode == "whole" or np.isfinite(boxes[row]).all():
            continue
        own = "" if given is None else given.source[row]
        mask = read_mask(images, row, own, _size_wh(images, row)) if own else None
        if mask is None:
            mask, masks[row] = mask_of(key), outline(key)
        if mask is None:
            continue
        if mode == "masked":
            continue
        boxes[row] = cut_out_box(mask, _size_wh(images, row), margin, along_body=mode == "along-body")
        keys[row] = "" if np.isfinite(boxes[row]).all() else key
    return replace(images, bbox_xywhr=boxes, key=keys, mask=masks if (masks != "").any() else None)


def _size_wh(images: ImageTable, row: int) -> tuple[int, int]:
    try:
        return upright_size_wh(images.root / images.path[row])
    except UnreadableImageError as error:
        raise DataError(f"{error} Start again when it is there.") from error
