"""Draw a sheet of masks, to look at before they are trusted."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.config import DataConfig
from animalclef.data.decode import UnreadableImageError, decode, resize_long_side
from animalclef.data.masks import mask_paths
from animalclef.runtime.regular_files import read_regular
from animalclef.structures import ImageTable

__all__ = ["mask_sheet"]

_CELL, _LINE, _ACROSS = 160, 16, 12  # pixels, pixels, cells
_OUTLINE = (255, 220, 0)  # RGB
_WHOLE = np.full(5, np.nan, np.float32)


def mask_sheet(images: ImageTable, folder: Path, most: int = 96) -> bytes:
    """Return a JPEG of at most `most` photographs, evenly taken from the table, darkened outside their masks."""
    rows = np.unique(np.linspace(0, len(images) - 1, min(most, len(images))).round().astype(int))
    files = mask_paths(folder, list(images.path[rows]))
    cells = [_cell(images, row, file) for row, file in zip(rows.tolist(), files, strict=True)]
    lines = -(-len(cells) // _ACROSS)
    cells += [np.zeros_like(cells[0])] * (lines * _ACROSS - len(cells))
    sheet = np.vstack([np.hstack(cells[start : start + _ACROSS]) for start in range(0, len(cells), _ACROSS)])
    return bytes(cv2.imencode(".jpg", sheet[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())


def _cell(images: ImageTable, row: int, file: Path) -> NDArray[np.uint8]:
    cell = np.zeros((_CELL + _LINE, _CELL, 3), np.uint8)
    path = str(images.path[row])
    try:
        content = read_regular(images.root / path)
        pixels = resize_long_side(decode(content, _WHOLE, _CELL, DataConfig().max_pixels).pixels, _CELL, enlarge=True)
    except (OSError, UnreadableImageError):
        pixels = np.zeros((_CELL, _CELL, 3), np.uint8)
    stored = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    if stored is not None:
        mask = cv2.resize(stored, pixels.shape[1::-1], interpolation=cv2.INTER_AREA) > 127
        pixels = np.where(mask[..., None], pixels, pixels // 4)
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        pixels = cv2.drawContours(np.ascontiguousarray(pixels), outlines, -1, _OUTLINE, 1)
    height, width = pixels.shape[:2]
    cell[:height, (_CELL - width) // 2 :][:, :width] = pixels
    name = str(images.image_id[row])[-20:]
    cv2.putText(cell, name, (2, _CELL + 12), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (255, 255, 255), 1, cv2.LINE_AA)
    return cell
