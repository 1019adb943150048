"""A table with viewpoints filled in, written beside what was given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from animalclef.data.columns import column_of, image_ids
from animalclef.data.open_table import open_table
from animalclef.data.sources import Source
from animalclef.runtime.atomic_files import write_csv
from animalclef.structures import ImageTable

__all__ = ["CONFIDENCE", "without_filled", "write_viewpoints"]

CONFIDENCE = "orientation_confidence"


def without_filled(images: ImageTable, source: Source) -> ImageTable:
    """The photographs with the viewpoints that people gave: one that has a confidence was filled in before."""
    rows = open_table(source)
    filled = {one for one, cell in zip(image_ids(rows), rows.column(CONFIDENCE), strict=True) if cell}
    viewpoint = [("" if one in filled else view) for one, view in zip(images.image_id, images.viewpoint, strict=True)]
    return images.with_columns(viewpoint=np.array(viewpoint, dtype=object).reshape(len(images)))


def write_viewpoints(source: Source, out: Path, filled: Mapping[str, tuple[str, float]]) -> None:
    """Write the table, all other cells as they were, with the viewpoints and confidences of `filled`, by id.

    A viewpoint "" says that the confidence is not enough: the cell is left as it was, or emptied where it had been
    filled before. The confidence stands in a column `orientation_confidence`, empty where the viewpoint was given.
    """
    table = open_table(source)
    column = column_of(table, "viewpoint") or "orientation"
    columns = list(dict.fromkeys([*table.columns, column, CONFIDENCE]))
    cells = []
    for image_id, row in zip(image_ids(table), table.rows, strict=True):
        view, sure = filled.get(image_id, ("", None))
        new = {**row, CONFIDENCE: "" if sure is None else f"{sure:.3f}"}
        if view or row.get(CONFIDENCE):
            new[column] = view
        cells.append([new.get(name, "") for name in columns])
    write_csv(out, columns, cells)
