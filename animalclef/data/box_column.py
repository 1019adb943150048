"""A table with the photographs' boxes, written beside what was given."""

from __future__ import annotations

import json
import math
from pathlib import Path

from animalclef.artefacts import FloatArray
from animalclef.data.columns import ALIASES, find_column
from animalclef.data.images import LoadedTable
from animalclef.data.text import read_table
from animalclef.store.files import write_csv

__all__ = ["write_boxes"]


def write_boxes(loaded: LoadedTable, out: Path, bbox_xywhr: FloatArray) -> None:
    """Write the table, all other cells as they were, with a column `bbox`: [x, y, width, height, theta], or empty.

    A folder per individual becomes a table: `image_id, path, identity, dataset, split`. `bbox_xywhr` is (n, 5) in the
    order of the loaded photographs.
    """
    cells = dict(zip(loaded.images.image_id, map(_cell, bbox_xywhr.tolist()), strict=True))
    if loaded.source.table is None:
        columns, rows = _of_folders(loaded)
        write_csv(out, [*columns, "bbox"], [[*row, cells[row[0]]] for row in rows])
        return
    source = read_table(loaded.source.table)
    column = next((name for name in source.columns if name.lower() in ALIASES["bbox"]), "bbox")
    columns = list(dict.fromkeys([*source.columns, column]))
    both = zip(find_column(source, "image_id") or [], source.rows, strict=True)
    boxed = [{**row, column: cells[image_id]} for image_id, row in both]
    write_csv(out, columns, [[row.get(name, "") for name in columns] for row in boxed])


def _of_folders(loaded: LoadedTable) -> tuple[list[str], list[list[str]]]:
    images = loaded.images
    rows = zip(images.image_id, images.path, images.identity, images.dataset, images.is_query, strict=True)
    return ["image_id", "path", "identity", "dataset", "split"], [
        [image_id, path, who or "", dataset, "query" if query else "database"]
        for image_id, path, who, dataset, query in rows
    ]


def _cell(box: list[float]) -> str:
    if not all(map(math.isfinite, box)):
        return ""
    return json.dumps([*(round(side, 2) for side in box[:4]), round(box[4], 5)])
