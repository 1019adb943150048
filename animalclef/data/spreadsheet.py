"""The first sheet of an .xlsx workbook as rows of text."""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from animalclef.errors import DataError

__all__ = ["rows_of_workbook"]

_MOST_BYTES = 1 << 30  # of all the workbook's parts, unpacked
_MOST_COLUMNS = 2_000


def rows_of_workbook(content: bytes, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (row number, cells) of the first sheet; trailing cells without a header are left out.

    Dates become `YYYY-MM-DD`, with ` HH:MM:SS` where they have a time; whole numbers have no decimals.

    Raises:
        DataError: it is no workbook, or one that unpacks to more than 1 GiB.
    """
    import openpyxl  # 0.3 s that a CSV table need not wait for

    try:
        with zipfile.ZipFile(BytesIO(content)) as parts:
            if "[Content_Types].xml" not in parts.namelist():
                raise DataError(f"{path}: a zip archive, and no .xlsx workbook. Unpack it, or save the table as CSV.")
            size = sum(part.file_size for part in parts.infolist())
        if size > _MOST_BYTES:
            raise DataError(f"{path}: this workbook unpacks to {size / 1e9:.1f} GB. Save the table as CSV (UTF-8).")
        book = openpyxl.load_workbook(BytesIO(content), read_only=True, data_only=True)
        sheet = book.worksheets[0]
        width = 0
        for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
            cells = [_text(value) for value in row[:_MOST_COLUMNS]]
            if not width:
                width = max((place for place, cell in enumerate(cells, start=1) if cell.strip()), default=0)
            fitted = [*cells, *[""] * width][:width]
            yield number, cells if any(cells[width:]) else fitted
    except DataError:
        raise
    except Exception as error:  # a damaged workbook fails in many ways inside openpyxl
        reason = (str(error).splitlines() or [""])[0][:120] or type(error).__name__
        raise DataError(f"{path}: not a readable .xlsx workbook ({reason}). Save the table as CSV (UTF-8).") from error


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime.datetime):
        has_time = (value.hour, value.minute, value.second) != (0, 0, 0)
        return value.strftime("%Y-%m-%d %H:%M:%S" if has_time else "%Y-%m-%d")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
