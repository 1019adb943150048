"""CSV files as people make them: byte-order marks, semicolons, repeated headers."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

from animalclef.errors import DataError

__all__ = ["Problem", "Table", "parse_table", "read_table"]


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


@dataclass(frozen=True)
class Table:
    """Rows of a CSV file as text, with the line each came from."""

    path: Path
    columns: tuple[str, ...]
    rows: list[dict[str, str]]
    lines: list[int]
    problems: list[Problem] = field(default_factory=list)

    def column(self, name: str) -> list[str]:
        """Values of one column, empty strings where the file has no such column."""
        return [row.get(name, "") for row in self.rows]


def read_table(path: Path) -> Table:
    """Read a CSV file; every cell stays text.

    Raises:
        DataError: the file is absent, empty, or not text.
    """
    return parse_table(_read_text(path), path)


def parse_table(text: str, path: Path) -> Table:
    """Read a CSV text as if it stood in `path`.

    Raises:
        DataError: it has no header line, or is no CSV.
    """
    header = text.lstrip().partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(header), strict=True)
    problems: list[Problem] = []
    rows: list[dict[str, str]] = []
    lines: list[int] = []
    try:
        first = next((cells for cells in reader if any(cell.strip() for cell in cells)), None)
        if first is None:
            raise DataError(f"{path}: there is no header line with the names of the columns.")
        columns = [name.strip() for name in first]
        start = reader.line_num + 1
        for cells in reader:
            line, start = start, reader.line_num + 1
            row = _row(path, columns, cells, line, problems)
            if row is not None:
                rows.append(row)
                lines.append(line)
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}: not a CSV row ({error}). Check the quotes on that line."
        ) from error
    problems.extend(_repeated_columns(path, columns))
    return Table(path, tuple(dict.fromkeys(columns)), rows, lines, problems)


def _read_text(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8. Save the table as CSV (UTF-8).") from error
    if "\x00" in text:
        raise DataError(f"{path}: not a text file. Save the table as CSV (UTF-8).")
    if not text.strip():
        raise DataError(f"{path}: the file is empty; expected a header line and rows.")
    return text


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)


def _row(path: Path, columns: list[str], cells: list[str], line: int, problems: list[Problem]) -> dict[str, str] | None:
    if not any(cell.strip() for cell in cells):
        return None
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


def _repeated_columns(path: Path, columns: list[str]) -> list[Problem]:
    repeated = sorted({name for name in columns if name and columns.count(name) > 1})
    return [
        Problem(path.name, 1, f"the column {name} stands twice; the first is used.", fatal=False) for name in repeated
    ]
