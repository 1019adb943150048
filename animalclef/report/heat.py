"""Draw the regions that an embedding matched over photographs, for pictures and for the report."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.explain.pairx import Agreement, heat_of
from animalclef.structures import FloatArray

__all__ = ["cosine_text", "draw_agreement", "overlay_of", "packed_agreement"]

Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]  # left, top, width and height in pixels

_RAMP = np.array([(88, 16, 110), (222, 73, 55), (252, 205, 60)], dtype=np.float64)  # little to much
_COVERS = 0.72  # the most that a photograph is covered
_LINE = (255, 255, 255)


def draw_agreement(canvas: Pixels, first: Box, second: Box, agreed: Agreement) -> Pixels:
    """Draw both maps and the matched places over a copy of two photographs faded to grey."""
    drawn = canvas.copy()
    for cells, (left, top, width, height) in ((agreed.query_map, first), (agreed.gallery_map, second)):
        x, y, w, h = round(left), round(top), round(width), round(height)
        colours = _coloured(heat_of(cells, (w, h)))
        part = drawn[y : y + h, x : x + w]
        grey = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)[:, :, None]
        cover = colours[:, :, 3:].astype(np.float64) / 255
        part[:] = np.round(grey * (1 - cover) + colours[:, :, :3] * cover)
    inked = drawn.copy()
    for start, end in zip(agreed.query_xy, agreed.gallery_xy, strict=True):
        _join(inked, _placed(start, first), _placed(end, second))
    return np.asarray(cv2.addWeighted(inked, 0.75, drawn, 0.25, 0), dtype=np.uint8)


def overlay_of(cells: FloatArray, long_side: int = 96) -> bytes:
    """Return a map as a PNG with transparency, to be stretched over the photograph."""
    scale = long_side / max(cells.shape)
    size_wh = max(1, round(cells.shape[1] * scale)), max(1, round(cells.shape[0] * scale))
    inked = _coloured(heat_of(cells, size_wh))
    return cv2.imencode(".png", inked[:, :, [2, 1, 0, 3]], [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()


def cosine_text(agreed: Agreement) -> str:
    """Return the cosine similarity as text."""
    return f"cosine {agreed.cosine:.2f}" + (f" {agreed.note}" if agreed.note else "")


def packed_agreement(agreed: Agreement) -> Any:
    """Return the report's data: the cosine, two overlays, and five numbers for each pair of matched places.

    These are x and y in the query and in the candidate in thousandths of the sides, and the weight in hundredths.
    """
    places = np.concatenate([agreed.query_xy * 1000, agreed.gallery_xy * 1000, agreed.weight[:, None] * 100], axis=1)
    overlays = [overlay_of(cells) for cells in (agreed.query_map, agreed.gallery_map)]
    return {
        "cosine": cosine_text(agreed),
        "overlays": [f"data:image/png;base64,{base64.b64encode(one).decode()}" for one in overlays],
        "places": [int(value) for value in np.round(places).ravel()],
    }


def _coloured(heat: FloatArray) -> Pixels:
    """Return (H, W, 4) RGBA; larger values are brighter and less transparent."""
    channels = [np.interp(2 * heat, [0, 1, 2], _RAMP[:, channel]) for channel in range(3)]
    return np.stack([*channels, 255 * _COVERS * heat], axis=2).round().astype(np.uint8)


def _placed(share: FloatArray, box: Box) -> tuple[int, int]:
    return round(box[0] + float(share[0]) * box[2]), round(box[1] + float(share[1]) * box[3])


def _join(pixels: Pixels, start: tuple[int, int], end: tuple[int, int]) -> None:
    cv2.line(pixels, start, end, (0, 0, 0), 2, cv2.LINE_AA)
    cv2.line(pixels, start, end, _LINE, 1, cv2.LINE_AA)
    for point in (start, end):
        cv2.circle(pixels, point, 4, (0, 0, 0), -1, cv2.LINE_AA)
        cv2.circle(pixels, point, 3, _LINE, -1, cv2.LINE_AA)
