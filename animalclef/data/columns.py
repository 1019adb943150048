"""The columns of the tables in this field, by any of their names, and the cells in them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence

from animalclef.data.csv_text import Problem, Table

__all__ = ["ALIASES", "NEW_INDIVIDUAL", "Group", "find_column", "parse_box", "parse_split"]

NEW_INDIVIDUAL = "new_individual"

ALIASES: dict[str, tuple[str, ...]] = {
    "image_id": ("image_id", "annot_uuid", "uuid", "id"),
    "path": ("path", "file_path", "image_path", "file_name", "filename"),
    "identity": ("identity", "name", "individual_id", "individual"),
    "viewpoint": ("orientation", "viewpoint"),
    "date": ("date", "datetime"),
    "species": ("species",),
    "split": ("split",),
    "dataset": ("dataset",),
    "encounter": ("encounter", "encounter_id", "occurrence"),
    "bbox": ("bbox",),
    "mask": ("mask", "mask_path"),
    "segmentation": ("segmentation",),
}


_GALLERY = frozenset({"database", "train", "gallery", "reference"})
_QUERY = frozenset({"query", "test"})
_ABSENT = frozenset({"", "nan"})
_NOBODY_KNOWS = frozenset({*_ABSENT, "unknown"})  # so wildlife-datasets and AnimalCLEF mark viewpoints and animals


class Group:
    """Problems of one kind, told as one with the lines they stand on."""

    def __init__(self, file: str, message: str, *, fatal: bool) -> None:
        self.file, self.message, self.fatal = file, message, fatal
        self.lines: list[int] = []

    def problem(self) -> list[Problem]:
        """One problem, or none where no line was added."""
        if not self.lines:
            return []
        first, others = self.lines[0], self.lines[1:]
        if not others:
            return [Problem(self.file, first, self.message, self.fatal)]
        shown = ", ".join(str(line) for line in others[:5])
        rest = f" and {len(others) - 5} more" if len(others) > 5 else ""
        return [
            Problem(
                self.file,
                first,
                f"{self.message} (also line{'s' if len(others) > 1 else ''} {shown}{rest})",
                self.fatal,
            )
        ]


def find_column(table: Table, name: str) -> list[str] | None:
    """Cells of the column under any of its names; `None` where the table has no such column.

    `nan` is read as empty, and so is `unknown` where a viewpoint or an identity is expected.
    """
    absent = _NOBODY_KNOWS if name in ("viewpoint", "identity") else _ABSENT
    present = {column.lower(): column for column in table.columns}
    for alias in ALIASES[name]:
        if alias in present:
            return ["" if cell.lower() in absent else cell for cell in table.column(present[alias])]
    return None


def parse_split(cell: str) -> bool | None:
    """True for a query, False for the gallery, None for neither."""
    word = cell.lower()
    return True if word in _QUERY else False if word in _GALLERY else None


def parse_box(table: Table, bad: Callable[[int], None]) -> list[Sequence[float]]:
    """Boxes (x, y, w, h, theta) from a `bbox` cell or from x, y, w, h, theta columns; NaN for the whole photograph.

    `bad` is told the number of each row whose box makes no sense.
    """
    whole = (math.nan,) * 5
    cells = find_column(table, "bbox")
    present = {column.lower(): column for column in table.columns}
    boxes: list[Sequence[float]] = []
    for number, row in enumerate(table.rows):
        texts = _box_cells(cells[number]) if cells is not None else _box_columns(row, present)
        if not any(text.strip() for text in texts):
            boxes.append(whole)
            continue
        box = _numbers(texts)
        if box is None:
            bad(number)
        boxes.append(box or whole)
    return boxes


def _box_cells(cell: str) -> list[str]:
    try:
        values = json.loads(cell.replace("(", "[").replace(")", "]")) if cell else []
    except json.JSONDecodeError:
        return [cell]
    return [str(value) for value in values] if isinstance(values, list) else [cell]


def _box_columns(row: dict[str, str], present: dict[str, str]) -> list[str]:
    if not all(side in present for side in "xywh"):
        return []
    cells = [row[present[name]] for name in ("x", "y", "w", "h", "theta") if name in present]
    return cells if any(cell.lower() not in _ABSENT for cell in cells[:4]) else []


def _numbers(texts: Sequence[str]) -> tuple[float, ...] | None:
    if len(texts) == 4:
        texts = [*texts, "0"]
    try:
        x, y, width, height, rotation = (float(text or "0") for text in texts)
    except ValueError:
        return None
    box = (x, y, width, height, rotation)
    return box if width >= 1 and height >= 1 and all(map(math.isfinite, box)) else None
