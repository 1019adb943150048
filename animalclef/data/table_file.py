"""CSV files and .xlsx workbooks as people make them: byte-order marks, semicolons, repeated headers."""

from __future__ import annotations

import csv
import datetime
import io
import re
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, takewhile
from pathlib import Path

from animalclef.errors import DataError
from animalclef.runtime.wording import first_line

__all__ = ["Problem", "Table", "control_character", "grouped", "parse_table", "read_bytes_of_table", "read_table"]

_MOST_BYTES = 2 << 30  # of one table
_MOST_UNPACKED = 1 << 30  # bytes of all the parts of a workbook
_MOST_COLUMNS = 2_000
_LONGEST_CELL = 1 << 28  # characters; Python's own limit is 131,072, less than one detailed polygon
_SEPARATOR = re.compile(r"\s*\"?sep=([,;\t|])\"?[,;\t|]*\r?\n", re.IGNORECASE)
_ALLOWED_CONTROLS = "\n\t"  # a CSV file can hold them and give them back


@dataclass(frozen=True)
class Problem:
    """Something wrong with one line of one file; `fatal` ones stop the run."""

    file: str
    line: int | None  # as an editor counts, the header is line 1
    message: str
    fatal: bool = True

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}, line {self.line}"
        return f"{where}: {self.message}"


def grouped(file: str, message: str, lines: Sequence[int], *, fatal: bool = False) -> list[Problem]:
    """Return problems of one kind as one that names the lines they stand on; none where there is no line.

    >>> print(*grouped("metadata.csv", "path: empty", [2, 5, 7]))
    metadata.csv, line 2: path: empty (also lines 5, 7)
    """
    if not lines:
        return []
    others = lines[1:]
    shown = f"{', '.join(map(str, others[:5]))}{f' and {len(others) - 5} more' if len(others) > 5 else ''}"
    also = f" (also line{'s' if len(others) > 1 else ''} {shown})" if others else ""
    return [Problem(file, lines[0], f"{message}{also}", fatal)]


@dataclass(frozen=True)
class Table:
    """Rows of a table as text, with the line each came from.

    `names` maps a subject (`path`, `identity`, ...) to the column that the user named for it.
    """

    path: Path
    columns: tuple[str, ...]
    rows: list[dict[str, str]]
    lines: list[int]
    problems: list[Problem] = field(default_factory=list)
    names: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def filled_first(self) -> list[str]:
        """The columns, those without any cell last."""
        return sorted(self.columns, key=lambda one: not any(row.get(one) for row in self.rows))

    def column(self, name: str) -> list[str]:
        """Return the values of one column, empty strings where the file has no such column."""
        return [row.get(name, "") for row in self.rows]


def read_table(path: Path) -> Table:
    """Read a CSV file, or the first sheet of an .xlsx workbook; every cell becomes text.

    Raises:
        DataError: the file is absent, empty, or no table.
    """
    content = read_bytes_of_table(path)
    if zipfile.is_zipfile(io.BytesIO(content)):
        return _table_of_rows(_rows_of_workbook(content, path), path)
    return parse_table(_decoded(content, path), path)


def parse_table(text: str, path: Path) -> Table:
    """Parse a CSV text as if it stood in `path`.

    Raises:
        DataError: it has no header line, or is no CSV.
    """
    mark = _SEPARATOR.match(text)  # Excel's own first line
    if mark is not None:
        text = "\n" * mark[0].count("\n") + text[mark.end() :]  # lines count from 1 as before
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_sign(text, mark and mark[1]), strict=True)

    def numbered() -> Iterator[tuple[int, Sequence[str]]]:
        start = 1
        for cells in reader:
            yield start, cells
            start = reader.line_num + 1

    try:
        return _table_of_rows(numbered(), path)
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}: not a CSV row ({error}). Check the quotes on that line."
        ) from error


def _sign(text: str, named: str | None) -> str:
    """Return the sign between cells: the one that Excel's own first line names, or the most frequent one of the header.

    Where the first line begins with #, it may be the header or a comment: a sign that it has, too, is preferred.
    """
    lines = (found[0] for found in re.finditer(r"\S[^\n]*", text))
    first = next(lines, "")
    header = next((line for line in lines if not line.startswith("#")), first) if first.startswith("#") else first
    if named is not None and named in header:
        return named
    signs = ",;\t" if re.search("[,;\t]", header) else "|"  # a bar may well stand in a name
    return max(signs, key=lambda sign: (min(first.count(sign), header.count(sign)), header.count(sign)))


def _without_comments(
    rows: Iterator[tuple[int, Sequence[str]]],
) -> tuple[list[int], Iterator[tuple[int, Sequence[str]]]]:
    """Return the lines of the comments before the header, and the rows from the header on.

    A row that begins with # is a comment if it has fewer cells than the first row without #, or one that is filled.
    """
    leading, after = [], []
    for line, cells in rows:
        if not cells[0].lstrip().startswith("#"):
            after = [(line, cells)]
            break
        leading.append((line, cells))
    below = after[0][1] if after else []
    comments = [line for line, cells in takewhile(lambda one: _is_comment(one[1], below), leading)]
    return comments, chain(leading[len(comments) :], after, rows)


def _is_comment(cells: Sequence[str], below: Sequence[str]) -> bool:
    return _filled(cells) < _filled(below) and (len(cells) < len(below) or _filled(cells) == 1)


def _filled(cells: Sequence[str]) -> int:
    return sum(bool(cell.strip()) for cell in cells)


def _table_of_rows(rows: Iterable[tuple[int, Sequence[str]]], path: Path) -> Table:
    """Build a table from numbered rows of cells; the first row that is not empty is the header."""
    comments, numbered = _without_comments((line, cells) for line, cells in rows if _filled(cells))
    first = next((cells for _, cells in numbered), None)
    if first is None:
        raise DataError(f"{path}: there is no header line with the names of the columns.")
    columns = [name.strip() for name in first]
    problems = grouped(path.name, "a comment before the header is skipped", comments)
    rows_found = [(line, _row(path, columns, cells, line, problems)) for line, cells in numbered]
    kept = [(line, row) for line, row in rows_found if row is not None]
    repeated = sorted({name for name in columns if name and columns.count(name) > 1})
    problems += [
        Problem(path.name, 1, f"the column {name} stands twice; the first is used.", fatal=False) for name in repeated
    ]
    return Table(path, tuple(dict.fromkeys(columns)), [row for _, row in kept], [line for line, _ in kept], problems)


def control_character(cell: str) -> str | None:
    """Return the name of the first control character that no table can carry, such as `U+000D`; `None` without one."""
    controls = (one for one in cell if unicodedata.category(one) in ("Cc", "Cs") and one not in _ALLOWED_CONTROLS)
    return next((f"U+{ord(one):04X}" for one in controls), None)


def read_bytes_of_table(path: Path) -> bytes:
    """Read the bytes of a table.

    Raises:
        DataError: the file is absent, no regular file, cannot be read, or is larger than 2 GiB.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise DataError(f"{path}: a table of {size / 1e9:.1f} GB; expected less than 2 GB.")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error


def _decoded(content: bytes, path: Path) -> str:
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8. Save the table as CSV (UTF-8).") from error
    if "\x00" in text:
        raise DataError(f"{path}: not a text file. Save the table as CSV (UTF-8).")
    if not text.strip():
        raise DataError(f"{path}: the file is empty; expected a header line and rows.")
    return text


def _row(
    path: Path, columns: list[str], cells: Sequence[str], line: int, problems: list[Problem]
) -> dict[str, str] | None:
    if [cell.strip() for cell in cells] == columns:
        problems.append(Problem(path.name, line, "the header is repeated here; this line is skipped.", fatal=False))
        return None
    if len(cells) != len(columns):
        problems.append(
            Problem(path.name, line, f"expected {len(columns)} cells, got {len(cells)}; check commas and quotes.")
        )
        return None
    row: dict[str, str] = {}
    for name, cell in zip(columns, cells, strict=True):
        if row.setdefault(name, cell.strip()) != cell.strip() and name:
            problems.append(Problem(path.name, line, f"two columns are called {name} and differ; remove one."))
    return row


def _rows_of_workbook(content: bytes, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (row number, cells) of the first sheet; trailing cells without a header are left out.

    Dates become `YYYY-MM-DD`, with ` HH:MM:SS` where they have a time; whole numbers have no decimals.
    """
    import openpyxl  # 0.3 s that a CSV table need not wait for

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as parts:
            if "[Content_Types].xml" not in parts.namelist():
                raise DataError(f"{path}: a zip archive, and no .xlsx workbook. Unpack it, or save the table as CSV.")
            size = sum(part.file_size for part in parts.infolist())
        if size > _MOST_UNPACKED:
            raise DataError(f"{path}: this workbook unpacks to {size / 1e9:.1f} GB. Save the table as CSV (UTF-8).")
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheet = book.worksheets[0]
        width = 0
        for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
            cells = [_cell_text(value) for value in row[:_MOST_COLUMNS]]
            if not width:
                width = max((place for place, cell in enumerate(cells, start=1) if cell.strip()), default=0)
            fitted = [*cells, *[""] * width][:width]
            yield number, cells if any(cells[width:]) else fitted
    except DataError:
        raise
    except Exception as error:  # a damaged workbook fails in many ways inside openpyxl
        reason = first_line(error)[:120]
        raise DataError(f"{path}: not a readable .xlsx workbook ({reason}). Save the table as CSV (UTF-8).") from error


def _cell_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime.datetime):
        has_time = (value.hour, value.minute, value.second) != (0, 0, 0)
        return value.strftime("%Y-%m-%d %H:%M:%S" if has_time else "%Y-%m-%d")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
