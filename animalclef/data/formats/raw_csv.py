"""CSV files whose untouched cells keep their bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from animalclef.errors import DataError

__all__ = ["RawTable"]

_CELL = re.compile(r'("(?:[^"]|"")*"|[^,\r\n]*)(,|\r\n|\n|\r|$)')


@dataclass
class RawTable:
    """Cells as they are written, quotes and all, with the line end of every row."""

    header: list[str]
    rows: list[list[str]]
    ends: list[str]  # of the header, then of every row
    mark: str  # a byte-order mark, or ""

    @classmethod
    def parse(cls, content: bytes, path: Path) -> RawTable:
        """Split a comma-separated UTF-8 file into its cells.

        Raises:
            DataError: it is no such file, or a row has another number of cells than the header.
        """
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not a text file in UTF-8.") from error
        mark = "\ufeff" if text.startswith("\ufeff") else ""
        lines: list[list[str]] = []
        ends: list[str] = []
        cells: list[str] = []
        at = len(mark)
        while at < len(text):
            match = _CELL.match(text, at)
            if match is None:
                raise DataError(f"{path}, row {len(lines) + 1}: not a CSV row. Check the quotes on that line.")
            cells.append(match[1])
            at = match.end()
            if match[2] != ",":
                lines.append(cells)
                ends.append(match[2])
                cells = []
        if cells:
            lines.append([*cells, ""])
            ends.append("")
        if not lines:
            raise DataError(f"{path}: there is no header line with the names of the columns.")
        for number, line in enumerate(lines, start=1):
            if len(line) != len(lines[0]) and line != [""]:
                raise DataError(f"{path}, row {number}: expected {len(lines[0])} cells, got {len(line)}.")
        return cls(lines[0], lines[1:], ends, mark)

    def __len__(self) -> int:
        return len(self.rows)

    def cell(self, row: int, column: str) -> str:
        """Return the text of a cell, "" where there is no such column."""
        names = [_text(name) for name in self.header]
        cells = self.rows[row]
        place = names.index(column) if column in names else len(cells)
        return _text(cells[place]).strip() if place < len(cells) else ""

    def put(self, row: int, column: str, value: str) -> None:
        """Write a cell; a column that is not there is added at the end."""
        names = [_text(name) for name in self.header]
        if column not in names:
            self.header.append(column)
            for cells in self.rows:
                if cells != [""]:
                    cells.append("")
            names.append(column)
        self.rows[row][names.index(column)] = _quoted(value)

    def content(self) -> bytes:
        """Return the bytes of the file."""
        lines = [",".join(cells) + end for cells, end in zip([self.header, *self.rows], self.ends, strict=True)]
        return (self.mark + "".join(lines)).encode()


def _text(cell: str) -> str:
    return cell[1:-1].replace('""', '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell


def _quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"' if any(sign in value for sign in ',"\r\n') else value
