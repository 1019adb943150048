"""Recognise which program wrote a file, and read its rows."""

from __future__ import annotations

from pathlib import Path

from animalclef.data.csv_text import Table, read_table
from animalclef.data.formats.camtrap_dp import camtrap_table, is_camtrap
from animalclef.data.formats.coco import coco_table, is_coco
from animalclef.data.formats.json_file import read_json
from animalclef.data.formats.megadetector import is_megadetector, megadetector_table
from animalclef.data.formats.wildbook import is_wildbook, wildbook_table
from animalclef.errors import DataError

__all__ = ["read_any_table"]


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
