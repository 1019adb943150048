"""Contact sheets: photographs in a grid, to look through cut-outs and masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.config import DataConfig
from animalclef.data.decode import UnreadableImageError, decode, read_image, resize_long_side
from animalclef.data.masks import mask_paths
from animalclef.runtime.regular_files import read_regular
from animalclef.structures import WHOLE_XYWHR, ImageTable

__all__ = ["CELL", "contact_sheet", "crop_sheet", "mask_sheet", "spread_rows"]

CELL = 160  # pixels: a photograph's long side on the sheet
_LINE, _ACROSS, _CELLS = 16, 12, 96  # pixels, cells, cells

_OUTLINE = (255, 220, 0)  # RGB


def spread_rows(rows: int, most: int) -> list[int]:
    """Return at most `most` of the numbers below `rows`, evenly spread.

    >>> spread_rows(5, 3)
    [0, 2, 4]
    """
    return [int(row) for row in np.unique(np.linspace(0, rows - 1, min(most, rows)).round().astype(int))]


def contact_sheet(cells: Sequence[tuple[NDArray[np.uint8] | None, str]], across: int = _ACROSS) -> bytes:
    """Return a JPEG of photographs (h, w, 3) in RGB with their names below; `None` leaves a black cell."""
    drawn = [_cell(pixels, name) for pixels, name in cells]
    across = max(1, min(across, len(drawn)))
    drawn += [np.zeros((CELL + _LINE, CELL, 3), np.uint8)] * (-len(drawn) % across or (0 if drawn else 1))
    sheet = np.vstack([np.hstack(drawn[start : start + across]) for start in range(0, len(drawn), across)])
    return bytes(cv2.imencode(".jpg", sheet[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())


def _cell(pixels: NDArray[np.uint8] | None, name: str) -> NDArray[np.uint8]:
    cell = np.zeros((CELL + _LINE, CELL, 3), np.uint8)
    if pixels is not None:
        small = resize_long_side(pixels, CELL, enlarge=True)
        height, width = small.shape[:2]
        cell[:height, (CELL - width) // 2 :][:, :width] = small
    cv2.putText(cell, name[-20:], (2, CELL + 12), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (255, 255, 255), 1, cv2.LINE_AA)
    return cell


def crop_sheet(images: ImageTable) -> bytes:
    """Draw the boxes of at most 96 photographs, spread evenly over the table, as a JPEG with their image_id."""
    cells = []
    for row in spread_rows(len(images), _CELLS):
        try:
            pixels = read_image(images, row, DataConfig()).pixels
        except UnreadableImageError:
            pixels = None
        cells.append((pixels, str(images.image_id[row])))
    return contact_sheet(cells)


def mask_sheet(images: ImageTable, folder: Path) -> bytes:
    """Return a JPEG of at most 96 photographs, evenly taken from the table, darkened outside their masks."""
    rows = spread_rows(len(images), _CELLS)
    files = mask_paths(folder, list(images.path))
    return contact_sheet([(_darkened(images, row, files[row]), str(images.image_id[row])) for row in rows])


def _darkened(images: ImageTable, row: int, file: Path) -> NDArray[np.uint8] | None:
    try:
        content = read_regular(images.root / str(images.path[row]))
        pixels = resize_long_side(
            decode(content, WHOLE_XYWHR, CELL, DataConfig().max_pixels).pixels, CELL, enlarge=True
        )
    except (OSError, UnreadableImageError):
        return None
    stored = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    if stored is None:
        return pixels
    mask = cv2.resize(stored, pixels.shape[1::-1], interpolation=cv2.INTER_AREA) > 127
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    dark = np.ascontiguousarray(np.where(mask[..., None], pixels, pixels // 4))
    return np.asarray(cv2.drawContours(dark, outlines, -1, _OUTLINE, 1), np.uint8)
