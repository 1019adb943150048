"""Open the table of a data set, whichever program wrote it."""

from __future__ import annotations

from animalclef.data.columns import with_columns
from animalclef.data.csv_text import Table
from animalclef.data.formats.recognise import read_any_table
from animalclef.data.sources import Source
from animalclef.errors import DataError

__all__ = ["open_table"]


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
