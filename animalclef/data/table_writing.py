"""Write tables: the one that was given with boxes or viewpoints filled in, or a plain one of photographs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from animalclef.data.columns import column_of, image_ids
from animalclef.data.sources import Source, open_table
from animalclef.data.table import LoadedTable
from animalclef.runtime.atomic_files import write_csv
from animalclef.structures import FloatArray, ImageTable
from animalclef.structures.arrays import text_array

__all__ = ["CONFIDENCE", "without_filled", "write_boxes", "write_plain_table", "write_viewpoints"]

CONFIDENCE = "orientation_confidence"
_COLUMNS = (
    "image_id", "identity", "path", "date", "orientation", "species", "split", "dataset", "encounter", "bbox",
    "segmentation",
)  # fmt: skip


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


def without_filled(images: ImageTable, source: Source) -> ImageTable:
    """The photographs with the viewpoints that people gave: one that has a confidence was filled in before."""
    rows = open_table(source)
    filled = {one for one, cell in zip(image_ids(rows), rows.column(CONFIDENCE), strict=True) if cell}
    viewpoint = [("" if one in filled else view) for one, view in zip(images.image_id, images.viewpoint, strict=True)]
    return images.with_columns(viewpoint=text_array(viewpoint))


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


def write_plain_table(images: ImageTable, out: Path, confirmed: Sequence[bool] | None = None) -> None:
    """Write the columns of the competition's table, with encounters, boxes in pixels and segmentations.

    `confirmed` says of each photograph whether a person gave its name. It adds the further columns of the photographs,
    and a column `confirmed`, true or false, at the end.

    Raises:
        OutputError: the file cannot be written.
    """
    mask = [""] * len(images) if images.mask is None else images.mask.tolist()
    cells = zip(
        images.image_id, [who or "" for who in images.identity], images.path, images.date, images.viewpoint,
        images.species, ["query" if query else "database" for query in images.is_query], images.dataset,
        images.encounter, map(_cell, images.bbox_xywhr), mask, strict=True,
    )  # fmt: skip
    if confirmed is None:
        write_csv(out, _COLUMNS, list(cells))
    else:
        names, extra = _extra_columns(images)
        said = ("true" if one else "false" for one in confirmed)
        rows = [(*row, *more, one) for row, more, one in zip(cells, extra, said, strict=True)]
        write_csv(out, (*_COLUMNS, *names, "confirmed"), rows)


def _extra_columns(images: ImageTable) -> tuple[list[str], list[list[str]]]:
    """Return the names of the further columns and their cells; one that is called like another gets `_2` behind it."""
    texts = [""] * len(images) if images.extra is None else images.extra.tolist()
    given: list[dict[str, str]] = [json.loads(text) if text else {} for text in texts]
    columns = list(dict.fromkeys(name for row in given for name in row))
    names: list[str] = []
    for column in columns:
        name = column
        while name.lower() in (*_COLUMNS, "confirmed") or name in names:
            name += "_2"
        names.append(name)
    return names, [[row.get(column, "") for column in columns] for row in given]
