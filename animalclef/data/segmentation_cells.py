"""Segmentations in a table's cells: COCO run lengths and polygons. They are parsed; nothing in a cell is evaluated."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from animalclef.data.columns import find_column, path_in_folder
from animalclef.data.table_file import Problem, Table, grouped
from animalclef.structures.arrays import BoolArray

__all__ = ["draw_segmentation", "is_segmentation", "mask_column", "parse_segmentation"]

_MOST_PIXELS = 178_000_000  # of a mask, as of a photograph
_FURTHEST = 1e7  # pixels: a polygon beyond this is no polygon on a photograph
_MOST_DIGITS = 50_000_000  # characters of a cell

Segmentation = dict[str, Any] | list[list[float]]


def mask_column(table: Table, root: Path) -> tuple[list[str] | None, list[Problem]]:
    """Return per row the path of a mask or a segmentation as JSON, "" for neither; `None` without such columns."""
    paths, cells = find_column(table, "mask"), find_column(table, "segmentation")
    if paths is None and cells is None:
        return None, []
    name = table.path.name
    masks, outside, strange = [], [], []
    for row, line in enumerate(table.lines):
        path = (paths[row] if paths else "").replace("\\", "/")
        text = path if is_segmentation(path) else ""
        if path and not text:
            inside = path_in_folder(path, root)
            if inside is None:
                outside.append(line)
            masks.append(inside or "")
            continue
        cell = (cells[row] if cells else "") or text
        parsed = parse_segmentation(cell) if cell else None
        if cell and parsed is None:
            strange.append(line)
        masks.append("" if parsed is None else json.dumps(parsed, separators=(",", ":")))
    return masks, [
        *grouped(name, "mask: leaves the data folder; expected a path relative to the table", outside, fatal=True),
        *grouped(name, "segmentation: neither COCO run lengths nor polygons; it is left out", strange),
    ]


def is_segmentation(cell: str) -> bool:
    """Return whether a cell holds a segmentation rather than a path."""
    return cell.lstrip()[:1] in ("{", "[")


def parse_segmentation(cell: str) -> Segmentation | None:
    """Parse run lengths `{"size": [h, w], "counts": ...}` or polygons `[[x, y, x, y, ...], ...]`; `None` for others.

    Cells as Python prints them (single quotes, b'...') are read too: no counts contain a quote.
    """
    if len(cell) > _MOST_DIGITS:
        return None
    for text in (cell, re.sub(r"\bb(?=['\"])", "", cell).replace("'", '"').replace("(", "[").replace(")", "]")):
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            continue
        return _run_lengths(content) if isinstance(content, dict) else _polygons(content)
    return None


def draw_segmentation(segmentation: Segmentation, size_wh: tuple[int, int]) -> BoolArray:
    """Return (H, W), true on the animal.

    Run lengths have their own size; a polygon's (0, 0) is the photograph's corner. Polygons with no number above 1 are
    shares of the photograph.
    """
    if isinstance(segmentation, dict):
        height, width = map(int, segmentation["size"])
        counts = segmentation["counts"]
        lengths = _expand(counts) if isinstance(counts, str) else counts
        values = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
        return values.reshape(width, height).T  # COCO counts down the columns
    canvas = np.zeros((size_wh[1], size_wh[0]), np.uint8)
    scale = size_wh if max(map(max, segmentation)) <= 1 else (1, 1)  # shares of the photograph, or pixels
    for polygon in segmentation:
        corners = np.array(polygon, dtype=np.float64).reshape(-1, 2) * scale - 0.5  # OpenCV's pixel centres
        part = np.zeros_like(canvas)
        cv2.fillPoly(part, [np.round(corners * 16).astype(np.int32)], 1, shift=4)
        canvas |= part
    return canvas > 0


def _run_lengths(content: dict[str, Any]) -> Segmentation | None:
    size, counts = content.get("size"), content.get("counts")
    if not (isinstance(size, list) and len(size) == 2 and all(isinstance(side, int) and side > 0 for side in size)):
        return None
    if isinstance(counts, str):
        lengths = _expand(counts)
    elif isinstance(counts, list) and all(isinstance(count, int) for count in counts):
        lengths = counts
    else:
        return None
    if size[0] * size[1] > _MOST_PIXELS:
        return None
    fits = all(count >= 0 for count in lengths) and sum(lengths) == size[0] * size[1]
    return {"size": size, "counts": counts} if fits else None


def _expand(counts: str) -> list[int]:
    """Expand COCO's compressed run lengths: five bits a character, from the third on as differences."""
    lengths: list[int] = []
    value = shift = 0
    for character in counts:
        bits = ord(character) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if shift > 60:
            return [-1]  # no length of a mask has so many bits
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    return lengths


def _polygons(content: object) -> Segmentation | None:
    """Parse one polygon or several; flat (x, y, x, y) or in pairs."""
    if not isinstance(content, list) or not content:
        return None
    several = content if _is_nested(content) else [content]
    polygons = []
    for polygon in several:
        if not isinstance(polygon, list):
            return None
        flat = [side for corner in polygon for side in (corner if isinstance(corner, list) else [corner])]
        if len(flat) < 6 or len(flat) % 2 or not all(_is_number(side) for side in flat):
            return None
        polygons.append([float(side) for side in flat])
    return polygons


def _is_nested(content: list[object]) -> bool:
    """Return whether this is a list of polygons, not one polygon in pairs."""
    first = content[0]
    return isinstance(first, list) and bool(first) and (isinstance(first[0], list) or len(first) >= 6)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _FURTHEST
