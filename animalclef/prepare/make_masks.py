"""Make a mask of every photograph of a table."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.config import DataConfig
from animalclef.data.decode import UnreadableImageError, decode
from animalclef.data.masks import mask_paths
from animalclef.prepare.segmenters import Box, Segmenter
from animalclef.runtime.atomic_files import write_bytes
from animalclef.runtime.progress import Progress
from animalclef.runtime.regular_files import read_regular
from animalclef.runtime.threads import one_thread_each, worker_threads
from animalclef.structures import DecodedImage, ImageTable

__all__ = ["Made", "make_masks"]


@dataclass(frozen=True)
class Made:
    """What became of the photographs; of `unclear` ones the mask holds everything, so all keypoints are kept."""

    masks: int  # the unclear ones among them
    kept: int  # were there already
    unclear: tuple[str, ...]
    unreadable: tuple[str, ...]


def make_masks(
    images: ImageTable, folder: Path, segmenter: Segmenter, workers: int, progress: Progress, *, overwrite: bool = False
) -> Made:
    """Write a PNG per photograph to `folder`, bright on the animal; those that are there are kept.

    A photograph with boxes gets one mask that holds the animals of all of them. Transparency is taken for the mask.

    Raises:
        OutputError: a file cannot be written.
    """
    boxes: dict[str, list[NDArray[np.float32]]] = defaultdict(list)
    for path, box in zip(images.path, images.bbox_xywhr, strict=True):
        boxes[str(path)] += [box] if np.isfinite(box).all() else []
    files = dict(zip(boxes, mask_paths(folder, list(boxes)), strict=True))
    todo = [path for path in boxes if overwrite or not files[path].is_file()]
    unclear, unreadable = [], []
    job = partial(_make_one, images.root, files, segmenter, boxes)
    with (
        one_thread_each(),
        worker_threads(workers) as pool,
        progress.task("making masks", len(todo), "images") as advance,
    ):
        for path, outcome in zip(todo, pool.map(job, todo), strict=True):
            if outcome == "unclear":
                unclear.append(path)
            elif outcome == "unreadable":
                unreadable.append(path)
            advance(1)
    return Made(len(todo) - len(unreadable), len(boxes) - len(todo), tuple(unclear), tuple(unreadable))


def _make_one(
    root: Path, files: dict[str, Path], segmenter: Segmenter, boxes: dict[str, list[NDArray[np.float32]]], path: str
) -> str:
    config = DataConfig()
    try:
        content = read_regular(root / path)
        image = decode(content, np.full(5, np.nan, np.float32), config.decode_long_side, config.max_pixels)
    except (OSError, UnreadableImageError):
        return "unreadable"
    mask = image.alpha > 127 if image.alpha is not None else _segment(image, segmenter, boxes[path])
    shown = np.ones(image.pixels.shape[:2], dtype=bool) if mask is None else mask
    encoded = cv2.imencode(".png", shown.astype(np.uint8) * 255, [cv2.IMWRITE_PNG_BILEVEL, 1])[1]
    write_bytes(files[path], encoded.tobytes())
    return "unclear" if mask is None else "made"


def _segment(image: DecodedImage, segmenter: Segmenter, boxes: list[NDArray[np.float32]]) -> NDArray[np.bool_] | None:
    if not boxes:
        return segmenter.segment(image.pixels, None)
    scale = image.pixels.shape[1] / image.original_size_wh[0]
    found = [_in_box(image, segmenter, box, scale) for box in boxes]
    return np.asarray(np.any(found, axis=0))


def _in_box(image: DecodedImage, segmenter: Segmenter, box: NDArray[np.float32], scale: float) -> NDArray[np.bool_]:
    """The animal of one box; all of the box where it cannot be told from the ground."""
    bounds = _upright_bounds(box, scale)
    found = segmenter.segment(image.pixels, bounds)
    if found is not None:
        return found
    whole = np.zeros(image.pixels.shape[:2], dtype=bool)
    left, top, right, bottom = (max(0, round(side)) for side in bounds)
    whole[top:bottom, left:right] = True
    return whole


def _upright_bounds(box_xywhr: NDArray[np.float32], scale: float) -> Box:
    """Left, top, right and bottom of a box that may be turned."""
    x, y, width, height, rotation_rad = (float(value) for value in box_xywhr)
    cos, sin = abs(np.cos(rotation_rad)), abs(np.sin(rotation_rad))
    half_x, half_y = (width * cos + height * sin) / 2, (width * sin + height * cos) / 2
    centre_x, centre_y = x + width / 2, y + height / 2
    left, top, right, bottom = (
        float(side * scale) for side in (centre_x - half_x, centre_y - half_y, centre_x + half_x, centre_y + half_y)
    )
    return left, top, right, bottom
