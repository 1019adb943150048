"""Draw the boxes of photographs on one sheet, to check them by eye."""

from __future__ import annotations

import cv2
import numpy as np

from animalclef.config import DataConfig
from animalclef.data.decode import UnreadableImageError, read_image, resize_long_side
from animalclef.structures import ImageTable

__all__ = ["crop_sheet"]

_CELL, _LINE, _ACROSS = 160, 16, 12  # pixels, pixels, cells


def crop_sheet(images: ImageTable, most: int = 96) -> bytes:
    """Draw the boxes of at most `most` photographs, spread evenly over the table, as a JPEG with their image_id."""
    rows = np.unique(np.linspace(0, len(images) - 1, min(most, len(images))).round().astype(int))
    cells = [_cell(images, row) for row in rows.tolist()]
    lines = -(-len(cells) // _ACROSS)
    cells += [np.zeros_like(cells[0])] * (lines * _ACROSS - len(cells))
    sheet = np.vstack([np.hstack(cells[start : start + _ACROSS]) for start in range(0, len(cells), _ACROSS)])
    return bytes(cv2.imencode(".jpg", sheet[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())


def _cell(images: ImageTable, row: int) -> np.ndarray:
    cell = np.zeros((_CELL + _LINE, _CELL, 3), np.uint8)
    try:
        pixels = resize_long_side(read_image(images, row, DataConfig()).pixels, _CELL, enlarge=True)
    except UnreadableImageError:
        pixels = np.zeros((_CELL, _CELL, 3), np.uint8)
    height, width = pixels.shape[:2]
    cell[:height, (_CELL - width) // 2 :][:, :width] = pixels
    name = str(images.image_id[row])[-20:]
    cv2.putText(cell, name, (2, _CELL + 12), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (255, 255, 255), 1, cv2.LINE_AA)
    return cell
