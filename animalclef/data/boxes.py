"""Boxes in tables, in pixels, as shares of the photograph or in per cent, to x, y, width, height and rotation."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Container, Sequence
from pathlib import Path

import numpy as np

from animalclef.data.columns import column_of, find_column
from animalclef.data.decode import UnreadableImageError, upright_size_wh
from animalclef.data.names import is_missing
from animalclef.data.table_file import Problem, Table, grouped
from animalclef.structures import FloatArray

__all__ = ["box_columns", "box_numbers", "parse_boxes"]

_WHOLE = (math.nan,) * 5
_FURTHEST = 1e7  # pixels; no photograph is larger, and float32 holds such numbers to one pixel
_RELATIVE = 2.0  # shares of the photograph are below, where a box sticks out too; no animal is so few pixels
_LOOKED_AT = 50  # photographs of boxes that may be corners
_LONGEST = 10_000  # characters of a cell with a box
_PERCENT = re.compile(r"%|percent(?:age)?|pct", re.IGNORECASE)  # in a header
_SIZES = (("w", "h"), ("width", "height"))
_SIDES = tuple(
    tuple(f"{bbox}{side}" for side in sides)
    for bbox in ("", "bbox")
    for sides in (
        *(("x", "y", *size) for size in _SIZES),
        ("xmin", "ymin", "xmax", "ymax"),  # before a width and a height, which may be the photograph's beside corners
        ("x1", "y1", "x2", "y2"),
        ("left", "top", "right", "bottom"),
        *((*origin, *size) for origin in (("xmin", "ymin"), ("left", "top")) for size in _SIZES),
        *((f"x{middle}", f"y{middle}", *size) for middle in ("center", "centre") for size in _SIZES),
    )
)  # columns of a box, of its corners, or of its centre and size, in lower case and without underscores

Box = tuple[float, float, float, float, float]


def parse_boxes(table: Table, root: Path, paths: Sequence[str]) -> tuple[FloatArray, list[Problem]]:
    """Return (n, 5) boxes x, y, width, height in pixels and a rotation in radians; NaN for the whole photograph.

    They stand in a `bbox` cell, or in columns x, y, w, h (also `bbox_x`, `xmin`, `xmax`, `left`, `x_center` and so on);
    theta stands in either. Boxes whose numbers are all below 2 are shares of the photograph, as MegaDetector, YOLO and
    Camtrap DP write them: the size is read from the photograph's head. Where the header or a cell says per cent they
    are shares of a hundred. A column whose boxes often reach beyond their photographs, and would not if they were x1,
    y1, x2, y2, holds corners. A column with rotations beyond a full turn, or of whole numbers alone, is in degrees.
    Decimal commas are read. A row whose box makes no sense keeps the whole photograph.
    """
    name = table.path.name
    texts, shape = _texts(table)
    boxes = [_numbers(row) for row in texts]
    problems = []
    if shape:
        boxes = [box and (_of_corners(box) if shape == "corners" else _of_centre(box)) for box in boxes]
    elif _are_corners([box if box and _has_area(box) else None for box in boxes], root, paths):
        boxes = [box and _of_corners(box) for box in boxes]
        sentence = "boxes reach beyond their photographs, so the column is read as x1, y1, x2, y2."
        problems.append(Problem(name, None, sentence, fatal=False))
    boxes = [box if box and _has_area(box) else None for box in boxes]
    pairs = zip(texts, boxes, table.lines, strict=True)
    bad = [line for row, box, line in pairs if box is None and not all(map(is_missing, row))]
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
    refused = grouped(name, "the box is not x, y, width, height (and theta); the whole photograph is used", bad)
    return np.array(rows, dtype=np.float32).reshape(-1, 5), refused + problems


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


def box_columns(table: Table) -> set[str]:
    """Return the columns that boxes are read from, besides `bbox`: sides or corners, and the rotation."""
    cells, present = find_column(table, "bbox"), _present(table)
    sides = None if cells is not None and any(cells) else _sides(present)
    return {present[side] for side in ("theta", *(sides or ())) if side in present}


def _present(table: Table) -> dict[str, str]:
    """Return the columns by their plain names; of two columns of a name the one that is not in per cent."""
    return {_side(column): column for column in sorted(table.columns, key=lambda one: not _PERCENT.search(one))}


def _sides(present: Container[str]) -> tuple[str, ...] | None:
    return next((sides for sides in _SIDES if all(side in present for side in sides)), None)


def _side(column: str) -> str:
    return "".join(filter(str.isalnum, _PERCENT.sub("", column.lower())))


def _texts(table: Table) -> tuple[list[list[str]], str]:
    """Return the numbers of each row's box, and how they are meant: "corners", "centre" and size, or ""."""
    present = _present(table)
    theta = [""] * len(table.rows) if "theta" not in present else table.column(present["theta"])
    cells = find_column(table, "bbox")
    if cells is not None and any(cells):
        sign = _sign(column_of(table, "bbox") or "")
        rows = [[*(text + sign for text in row[:4]), *row[4:]] for row in map(box_numbers, cells)]
        return [[*row, turn] if len(row) == 4 and turn else row for row, turn in zip(rows, theta, strict=True)], ""
    sides = _sides(present)
    if sides is None:
        return [[] for _ in table.rows], ""
    columns = [present[side] for side in sides]
    pairs = zip(table.rows, theta, strict=True)
    whole = [[] if all(is_missing(row[column]) for column in columns)
             else [*(row[column] + _sign(column) for column in columns), turn] for row, turn in pairs]  # fmt: skip
    if sides[2].endswith(("max", "x2", "right")):
        return whole, "corners"
    return whole, "centre" if sides[0].endswith(("center", "centre")) else ""


def _sign(column: str) -> str:
    return "%" if _PERCENT.search(column) else ""


def _of_corners(box: Box) -> Box:
    return (box[0], box[1], box[2] - box[0], box[3] - box[1], box[4])


def _of_centre(box: Box) -> Box:
    x, y, width, height, rotation = box
    return (x - width / 2, y - height / 2, width, height, rotation)


def _has_area(box: Box) -> bool:
    """Return whether a box has at least one pixel, or as shares of the photograph any width and height."""
    return min(box[2:4]) > 0 if _is_relative(box) else min(box[2:4]) >= 1


def _are_corners(boxes: Sequence[Box | None], root: Path, paths: Sequence[str]) -> bool:
    """Return whether a quarter of the first boxes reach beyond their photograph, and none would as corners."""
    reaching, fitting = 0, 0
    given = ((box, path) for box, path in zip(boxes, paths, strict=True) if box is not None)
    for box, path in itertools.islice(given, _LOOKED_AT):
        x, y, right, bottom, rotation = box
        if rotation or right <= x or bottom <= y:
            return False
        try:
            width, height = (1, 1) if _is_relative(box) else upright_size_wh(root / path)
        except UnreadableImageError:
            continue
        if right > 1.01 * width or bottom > 1.01 * height:
            return False
        reaching += x + right > 1.1 * width or y + bottom > 1.1 * height
        fitting += 1
    return 0 < fitting <= 4 * reaching


def _numbers(texts: Sequence[str]) -> Box | None:
    if len(texts) == 4:
        texts = [*texts, "0"]
    try:
        *sides, turn = texts
        unit = 0.01 if any("%" in text for text in sides) else 1
        x, y, width, height = (unit * float(text.replace("%", "").replace(",", ".")) for text in sides)
        rotation = 0.0 if is_missing(turn) else float(turn.replace(",", "."))
    except (ValueError, OverflowError):
        return None
    box = (x, y, width, height, rotation)
    is_box = all(math.isfinite(side) and abs(side) <= _FURTHEST for side in box) and (unit == 1 or _is_relative(box))
    return box if is_box else None


def _is_relative(box: Box) -> bool:
    return all(-1 < side < _RELATIVE for side in box[:4])


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
