"""Open the table of a data set, whichever program wrote it."""

from __future__ import annotations

from pathlib import Path

from animalclef.data.columns import with_columns
from animalclef.data.formats.camtrap_dp import camtrap_table, is_camtrap
from animalclef.data.formats.coco import coco_table, is_coco
from animalclef.data.formats.json_file import read_json
from animalclef.data.formats.megadetector import is_megadetector, megadetector_table
from animalclef.data.formats.wildbook import is_wildbook, wildbook_table
from animalclef.data.sources import Source
from animalclef.data.table_file import Table, read_table
from animalclef.errors import DataError

__all__ = ["open_table", "read_any_table"]


def read_any_table(path: Path) -> Table:
    """Return the rows of a CSV or .xlsx table, or of a file that another program wrote, with this program's columns.

    Raises:
        DataError: it is none of them, or not as its format says.
    """
    if is_camtrap(path):
        return camtrap_table(path)
    if path.suffix.lower() == ".json":
        content = read_json(path)
        if is_megadetector(content):
            return megadetector_table(content, path)
        if is_coco(content):
            return coco_table(content, path)
        raise DataError(
            f"{path}: neither MegaDetector's JSON nor COCO; expected images with detections or annotations."
        )
    table = read_table(path)
    return wildbook_table(table) if is_wildbook(table) else table


def open_table(source: Source) -> Table:
    """Return the rows of a source's table as text, with the columns that the user named.

    CSV and .xlsx tables are read as they are. MegaDetector and COCO JSON files, Camtrap DP packages and Wildbook sheets
    become rows with the columns of this program.

    Raises:
        DataError: there is no table, or it cannot be read.
    """
    if source.table is None:
        raise DataError(f"{source.root}: a folder per individual has no table.")
    return with_columns(read_any_table(source.table), source.columns)
