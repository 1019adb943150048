"""A table with the photographs' boxes, written beside what was given."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from animalclef.data.columns import column_of, image_ids
from animalclef.data.open_table import open_table
from animalclef.data.table import LoadedTable
from animalclef.runtime.atomic_files import write_csv
from animalclef.structures import FloatArray

__all__ = ["write_boxes"]


def write_boxes(loaded: LoadedTable, out: Path, bbox_xywhr: FloatArray) -> None:
    """Write the table, all other cells as they were, with a column `bbox`: [x, y, width, height, theta], or empty.

    A folder per individual becomes a table: `image_id, path, identity, dataset, split`. `bbox_xywhr` is (n, 5) in the
    order of the loaded photographs; a box that the table gives stays as it is written there.
    """
    cells = dict(zip(loaded.images.image_id, map(_cell, bbox_xywhr), strict=True))
    given = dict(zip(loaded.images.image_id, np.isfinite(loaded.images.bbox_xywhr[:, 0]), strict=True))
    if loaded.source.table is None:
        columns, rows = _of_folders(loaded)
        write_csv(out, [*columns, "bbox"], [[*row, cells[row[0]]] for row in rows])
        return
    table = open_table(loaded.source)
    column = column_of(table, "bbox") or "bbox"
    columns = list(dict.fromkeys([*table.columns, column]))
    both = zip(image_ids(table), table.rows, strict=True)
    boxed = [row if given[image_id] and row.get(column) else {**row, column: cells[image_id]} for image_id, row in both]
    write_csv(out, columns, [[row.get(name, "") for name in columns] for row in boxed])


def _of_folders(loaded: LoadedTable) -> tuple[list[str], list[list[str]]]:
    images = loaded.images
    rows = zip(images.image_id, images.path, images.identity, images.dataset, images.is_query, strict=True)
    return ["image_id", "path", "identity", "dataset", "split"], [
        [image_id, path, who or "", dataset, "query" if query else "database"]
        for image_id, path, who, dataset, query in rows
    ]


def _cell(box: FloatArray) -> str:
    """Digits enough to be read as the same box again."""
    return json.dumps([float(str(side)) for side in box]) if np.isfinite(box).all() else ""
