"""Check a submission as the competition reads it: byte by byte, as plain CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from animalclef.data.csv_text import Problem, parse_table, read_bytes_of_table
from animalclef.data.submission import check_submission
from animalclef.data.table import LoadedTable

__all__ = ["check_submission_file"]

_MOST = 20  # problems of one kind that are listed one by one


def check_submission_file(path: Path, loaded: LoadedTable) -> list[Problem]:
    """Return everything that would make the competition refuse, or mis-score, a submission file.

    `read_table` forgives semicolons, tabs, UTF-16, spaces around cells and repeated headers. The competition does not.

    Raises:
        DataError: the file is absent or empty, or no CSV.
    """
    content, name = read_bytes_of_table(path), path.name
    if content[:4] == b"PK\x03\x04":
        return [Problem(name, None, "an .xlsx workbook; the competition reads CSV. Save it as CSV (UTF-8).")]
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return [Problem(name, None, "the file is UTF-16; the competition reads UTF-8. Save it as CSV (UTF-8).")]
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return [Problem(name, None, "not a text file in UTF-8. Save it as CSV (UTF-8).")]
    if "\x00" in text:
        return [Problem(name, None, "not a text file. Save it as CSV (UTF-8).")]
    problems = _delimiter_problems(text, name) or _cell_problems(text, name)
    if not text.strip():
        return [Problem(name, None, "the file is empty; expected a header line and a row for every query.")]
    table = parse_table(text, path)
    repeated = [
        Problem(one.file, one.line, "the header is repeated here; the competition reads it as a row. Remove the line.")
        for one in table.problems
        if "the header is repeated" in one.message
    ]
    return [*problems, *repeated, *check_submission(table, loaded)]


def _delimiter_problems(text: str, name: str) -> list[Problem]:
    header = text.partition("\n")[0]
    if header.lower().strip('" ').startswith("sep="):
        return [Problem(name, 1, "a line for Excel; the competition reads it as the header. Remove it.")]
    for sign, word in ((";", "semicolons"), ("\t", "tabs")):
        if header.count(sign) > header.count(","):
            sentence = f"the cells are separated by {word}; the competition reads commas. Save it with commas."
            return [Problem(name, 1, sentence)]
    return []


def _cell_problems(text: str, name: str) -> list[Problem]:
    """Return the lines with spaces around a cell: a name with a space is another name."""
    reader, start, problems = csv.reader(io.StringIO(text, newline="")), 1, []
    try:
        for cells in reader:
            spaced = [cell for cell in cells if cell != cell.strip()]
            if spaced and any(map(str.strip, cells)):
                sentence = f"spaces around {spaced[0][:60]!r}; the competition keeps them."
                problems.append(Problem(name, start, sentence))
            start = reader.line_num + 1
    except csv.Error:  # `parse_table` says where
        return []
    more = len(problems) - _MOST
    return problems[:_MOST] + ([Problem(name, None, f"and {more} more lines with spaces.")] if more > 0 else [])
