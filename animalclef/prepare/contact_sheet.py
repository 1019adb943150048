"""Draw many small photographs on one sheet, to check them by eye."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.data.decode import resize_long_side

__all__ = ["CELL", "contact_sheet", "spread_rows"]

CELL = 160  # pixels: a photograph's long side on the sheet
_LINE, _ACROSS = 16, 12  # pixels, cells


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
