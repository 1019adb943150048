"""Draw a sheet of masks, to look at before they are trusted."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.config import DataConfig
from animalclef.data.decode import UnreadableImageError, decode, resize_long_side
from animalclef.data.masks import mask_paths
from animalclef.prepare.contact_sheet import CELL, contact_sheet, spread_rows
from animalclef.runtime.regular_files import read_regular
from animalclef.structures import ImageTable

__all__ = ["mask_sheet"]

_OUTLINE = (255, 220, 0)  # RGB
_WHOLE = np.full(5, np.nan, np.float32)


def mask_sheet(images: ImageTable, folder: Path, most: int = 96) -> bytes:
    """Return a JPEG of at most `most` photographs, evenly taken from the table, darkened outside their masks."""
    rows = spread_rows(len(images), most)
    files = mask_paths(folder, list(images.path[rows]))
    return contact_sheet(
        [(_darkened(images, row, file), str(images.image_id[row])) for row, file in zip(rows, files, strict=True)]
    )


def _darkened(images: ImageTable, row: int, file: Path) -> NDArray[np.uint8] | None:
    try:
        content = read_regular(images.root / str(images.path[row]))
        pixels = resize_long_side(decode(content, _WHOLE, CELL, DataConfig().max_pixels).pixels, CELL, enlarge=True)
    except (OSError, UnreadableImageError):
        return None
    stored = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    if stored is None:
        return pixels
    mask = cv2.resize(stored, pixels.shape[1::-1], interpolation=cv2.INTER_AREA) > 127
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    dark = np.ascontiguousarray(np.where(mask[..., None], pixels, pixels // 4))
    return np.asarray(cv2.drawContours(dark, outlines, -1, _OUTLINE, 1), np.uint8)
