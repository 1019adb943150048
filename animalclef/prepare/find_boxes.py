"""Find the animal's box on photographs that have none: from transparency, from masks, or on a uniform background."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.config import DataConfig
from animalclef.data.decode import UnreadableImageError, decode
from animalclef.data.masks import Masks, read_mask
from animalclef.prepare.body_box import body_box, is_whole, outline_box, plain_ground
from animalclef.runtime.progress import Progress
from animalclef.runtime.regular_files import read_regular
from animalclef.runtime.threads import one_thread_each, worker_threads
from animalclef.structures import WHOLE_XYWHR, DecodedImage, FloatArray, ImageTable, StrArray
from animalclef.structures.arrays import check_shape

__all__ = ["FoundBoxes", "find_boxes"]

_LONG_SIDE = 512  # outlines are read at this size


@dataclass(frozen=True, eq=False)
class FoundBoxes:
    """A box for every row where there is one, and what became of each row."""

    bbox_xywhr: FloatArray  # (n, 5) in pixels of the upright photograph; NaN: the whole photograph
    outcome: StrArray  # (n,) "given", "found", "unclear" (no uniform background, no mask) or "unreadable"

    def __post_init__(self) -> None:
        check_shape("bbox_xywhr", self.bbox_xywhr, (len(self.outcome), 5))


def find_boxes(
    images: ImageTable, masks: Masks | None, along_body: AbstractSet[str], workers: int, progress: Progress
) -> FoundBoxes:
    """A box for each row without one; boxes that the table gives stay.

    The animal is what is opaque, else what the row's mask holds, else what differs from a ground of one colour. In the
    data sets of `along_body` boxes are turned along the body, head up, without tail and limbs, where the animal is in
    one piece; elsewhere they are upright.

    Raises:
        DataError: a mask cannot be read, or is of another photograph.
    """
    boxes = images.bbox_xywhr.copy()
    given = np.isfinite(boxes).all(axis=1)
    todo = np.flatnonzero(~given).tolist()
    outcome = np.where(given, "given", "").astype(object)
    job = partial(_find_one, images, masks, along_body)
    with (
        one_thread_each(),
        worker_threads(workers) as pool,
        progress.task("finding animals", len(todo), "images") as advance,
    ):
        for row, (what, box) in zip(todo, pool.map(job, todo), strict=True):
            outcome[row], boxes[row] = what, box
            advance(1)
    return FoundBoxes(boxes, outcome)


def _find_one(
    images: ImageTable, masks: Masks | None, along_body: AbstractSet[str], row: int
) -> tuple[str, NDArray[np.float32]]:
    config = DataConfig()
    try:
        content = read_regular(images.root / images.path[row])
        image = decode(content, WHOLE_XYWHR, _LONG_SIDE, config.max_pixels)
    except (OSError, UnreadableImageError, MemoryError):
        return "unreadable", WHOLE_XYWHR
    mask = _outline(images, masks, row, image)
    turned = images.dataset[row] in along_body
    if mask is None or not mask.any() or (turned and not is_whole(mask)):
        return "unclear", WHOLE_XYWHR
    x, y, width, height, rotation = (body_box if turned else outline_box)(mask)
    scale = max(image.original_size_wh) / max(mask.shape)
    sides = np.round([x * scale, y * scale, width * scale, height * scale], 2)
    return "found", np.array([*sides, round(rotation, 5)], np.float32)


def _outline(images: ImageTable, masks: Masks | None, row: int, image: DecodedImage) -> NDArray[np.bool_] | None:
    """True on the animal, in the photograph's shape at a reduced scale."""
    source = "" if masks is None else masks.source[row]
    if image.opaque is not None:
        return image.opaque
    mask = read_mask(images, row, source, image.original_size_wh) if source else None
    if mask is None:
        return plain_ground(image.pixels)
    height, width = image.pixels.shape[:2]
    return np.asarray(cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_AREA) > 0)
