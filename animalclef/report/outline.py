"""Draw the outline of the mask that a run used into a photograph."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.data.masks import Masks, find_masks, read_mask
from animalclef.errors import AnimalClefError
from animalclef.store.finished_run import FinishedRun
from animalclef.structures.arrays import BoolArray

__all__ = ["draw_outline", "mask_in_run"]

_COLOUR = (255, 200, 60)


def mask_in_run(run: FinishedRun, image_id: str, size_wh: tuple[int, int]) -> BoolArray | None:
    """Return the mask (h, w) of a photograph, cut to its box; `None` where the run used none, or it cannot be read.

    `size_wh` is that of the photograph, or of its box.
    """
    masks, row = _masks(run), run.row_of[image_id]
    if masks is None or not masks.source[row]:
        return None
    try:
        return read_mask(run.images, row, masks.source[row], size_wh)
    except AnimalClefError:
        return None


def draw_outline(pixels: NDArray[np.uint8], mask: BoolArray) -> None:
    """Draw the mask's outline into an RGB photograph (h, w, 3); the mask may be of another scale."""
    height, width = pixels.shape[:2]
    full = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(full, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(pixels, contours, -1, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.drawContours(pixels, contours, -1, _COLOUR, 1, cv2.LINE_AA)


@lru_cache(maxsize=2)
def _masks(run: FinishedRun) -> Masks | None:
    folder = run.config.keypoints.masks
    try:
        return find_masks(run.images, None if folder is None else Path(folder))
    except AnimalClefError:
        return None
