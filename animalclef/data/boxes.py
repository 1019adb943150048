"""Boxes in tables, in pixels or as shares of the photograph, to x, y, width, height and rotation."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from animalclef.data.columns import Group, find_column
from animalclef.data.csv_text import Problem, Table
from animalclef.data.decode import UnreadableImageError, upright_size_wh
from animalclef.data.names import is_missing
from animalclef.structures import FloatArray

__all__ = ["box_numbers", "parse_boxes"]

_WHOLE = (math.nan,) * 5
_FURTHEST = 1e7  # pixels; no photograph is larger, and float32 holds such numbers to one pixel
_RELATIVE = 1.001  # a share of the photograph, and rounding
_LONGEST = 10_000  # characters of a cell with a box
_SIDES = tuple(
    (f"{bbox}x", f"{bbox}y", f"{bbox}{width}", f"{bbox}{height}")
    for bbox in ("", "bbox")
    for width, height in (("w", "h"), ("width", "height"))
)  # columns of a box, in lower case and without underscores

Box = tuple[float, float, float, float, float]


def parse_boxes(table: Table, root: Path, paths: Sequence[str]) -> tuple[FloatArray, list[Problem]]:
    """Return (n, 5) boxes x, y, width, height in pixels and a rotation in radians; NaN for the whole photograph.

    They stand in a `bbox` cell, or in columns x, y, w, h and theta (also `bbox_x`, `bbox_width` and the like). Boxes
    whose numbers are all at most 1 are shares of the photograph, as MegaDetector, YOLO and Camtrap DP write them: the
    size is read from the photograph's head. A column with rotations beyond a full turn, or of whole numbers alone, is
    in degrees. Decimal commas are read. A row whose box makes no sense keeps the whole photograph.
    """
    name = table.path.name
    bad = Group(name, "the box is not x, y, width, height (and theta); the whole photograph is used", fatal=False)
    boxes = [_row_box(texts, line, bad) for texts, line in zip(_texts(table), table.lines, strict=True)]
    problems = []
    turns = {line: box[4] for box, line in zip(boxes, table.lines, strict=True) if box and box[4]}
    beyond = [line for line, turn in turns.items() if abs(turn) > 2 * math.pi + 1e-6]
    if beyond or (turns and all(turn.is_integer() for turn in turns.values())):
        boxes = [box and (*box[:4], math.radians(box[4])) for box in boxes]
        why = "more than a full turn in radians" if beyond else "whole numbers alone"
        sentence = f"theta: {why}; the column is read as degrees."
        problems.append(Problem(name, next(iter(beyond or turns)), sentence, fatal=False))
    for row, box in enumerate(boxes):
        if box is not None and _is_relative(box):
            boxes[row] = _in_pixels(box, root / paths[row])
    rows = [_WHOLE if box is None else box for box in boxes]
    return np.array(rows, dtype=np.float32).reshape(-1, 5), bad.problem() + problems


def box_numbers(cell: str) -> list[str]:
    """Return the numbers of a box cell as texts: of a JSON list, or of numbers between commas, semicolons or spaces.

    >>> box_numbers("[10, 20.5, 30, 40]"), box_numbers("10,5; 20; 30; 40")
    (['10', '20.5', '30', '40'], ['10,5', '20', '30', '40'])
    """
    if len(cell) > _LONGEST:
        return [cell[:1]]
    try:
        values = json.loads(cell.replace("(", "[").replace(")", "]")) if cell else []
    except (ValueError, RecursionError):
        bare = cell.strip().strip("[]()").strip()
        parts = re.split(r"\s*;\s*" if ";" in bare else r"\s*,\s*" if "," in bare else r"\s+", bare)
        return parts if len(parts) in (4, 5) else [cell]
    return [str(value) for value in values] if isinstance(values, list) else [cell]


def _texts(table: Table) -> list[list[str]]:
    cells = find_column(table, "bbox")
    if cells is not None:
        return [box_numbers(cell) for cell in cells]
    present = {column.lower().replace("_", ""): column for column in table.columns}
    sides = next((sides for sides in _SIDES if all(side in present for side in sides)), None)
    if sides is None:
        return [[] for _ in table.rows]
    names = [present[name] for name in (*sides, "theta") if name in present]
    rows = [[row[name] for name in names] for row in table.rows]
    return [[] if all(is_missing(cell) for cell in row[:4]) else row for row in rows]


def _row_box(texts: list[str], line: int, bad: Group) -> Box | None:
    if not any(text.strip() for text in texts):
        return None
    box = _numbers(texts)
    if box is None:
        bad.lines.append(line)
    return box


def _numbers(texts: Sequence[str]) -> Box | None:
    if len(texts) == 4:
        texts = [*texts, "0"]
    try:
        x, y, width, height, rotation = (0.0 if is_missing(text) else float(text.replace(",", ".")) for text in texts)
    except (ValueError, OverflowError):
        return None
    box = (x, y, width, height, rotation)
    if not all(math.isfinite(side) and abs(side) <= _FURTHEST for side in box):
        return None
    if _is_relative(box):
        return box if width > 0 and height > 0 else None
    return box if width >= 1 and height >= 1 else None


def _is_relative(box: Box) -> bool:
    return all(-0.001 <= side <= _RELATIVE for side in box[:4])


def _in_pixels(box: Box, path: Path) -> Box | None:
    """Return a relative box in pixels; `None`, the whole photograph, where it covers it or the size is not known."""
    x, y, width, height, rotation = box
    if min(x, y) <= 0 and min(x + width, y + height) >= 0.9999 and rotation == 0 and max(x, y) <= 0:
        return None
    try:
        image_width, image_height = upright_size_wh(path)
    except UnreadableImageError:
        return None  # the photograph is skipped later, with its reason
    return (x * image_width, y * image_height, width * image_width, height * image_height, rotation)
