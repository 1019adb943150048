"""Wildbook's bulk-import sheets: one row an encounter, with its photographs in Encounter.mediaAsset0, 1, 2 ...

Fields: https://wildbook.docs.wildme.org/data/bulk-import-spreadsheets.html
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from animalclef.data.answers import Answer
from animalclef.data.columns import numbered
from animalclef.data.dates import day_of
from animalclef.data.formats.json_file import rows_to_table, web_addresses
from animalclef.data.names import is_missing
from animalclef.data.table_file import Table
from animalclef.errors import DataError
from animalclef.runtime.atomic_files import write_csv
from animalclef.runtime.output_guard import check_output
from animalclef.structures import ImageTable

__all__ = ["is_wildbook", "wildbook_table", "write_wildbook"]

_MOST_ENCOUNTERS = 200  # of one sheet, as Wildbook advises
_NEW_KEYWORD = "new individual"

_COLUMNS = ("image_id", "path", "identity", "date", "orientation", "species", "encounter")
_ASSET = re.compile(r"encounter\.mediaasset\.?(\d+)(?:\.(?P<part>filename|filepath|imageurl|url))?$")  # lower case
_PARTS = (None, "filename", "filepath", "imageurl", "url")  # of a photograph's columns, the best first
_SHEET = (
    "Encounter.mediaAsset0", "Encounter.genus", "Encounter.specificEpithet", "Encounter.year", "Encounter.month",
    "Encounter.day", "Encounter.occurrenceID", "MarkedIndividual.individualID", "Encounter.mediaAsset0.keywords",
)  # fmt: skip


def is_wildbook(table: Table) -> bool:
    """Return whether a table is a bulk-import sheet, or an export in its format; case makes no difference."""
    return any(_ASSET.match(column.lower()) for column in table.columns)


def wildbook_table(sheet: Table) -> Table:
    """Return a row for every photograph of every encounter; encounters without an individual are queries."""
    assets = _assets(sheet.columns)
    rows: list[dict[str, str]] = []
    lines = []
    for line, row in zip(sheet.lines, sheet.rows, strict=True):
        cells = {column: "" if is_missing(cell) else cell for column, cell in row.items()}
        plain = {column.lower(): cell for column, cell in cells.items()}
        for name, columns in assets.items():
            path = next((cells[column] for column in columns if cells[column]), "")
            if path:
                rows.append(_row(plain, name, path, line))
                lines.append(line)
    for row, image_id in zip(rows, numbered(row["path"] for row in rows), strict=True):
        row["image_id"] = image_id
    table = rows_to_table(sheet.path, _COLUMNS, rows, [*sheet.problems, *web_addresses(sheet.path, rows)])
    return replace(table, lines=lines)


def _assets(columns: Sequence[str]) -> dict[str, list[str]]:
    """Return the columns of each photograph of an encounter, by the lower-case name of the photograph's own column."""
    found: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for column in columns:
        match = _ASSET.match(column.lower())
        if match:
            found[int(match[1])].append((_PARTS.index(match["part"]), column))
    return {f"encounter.mediaasset{number}": [name for _, name in sorted(found[number])] for number in sorted(found)}


def write_wildbook(images: ImageTable, answers: Sequence[Answer], out: Path) -> tuple[list[Path], list[str]]:
    """Write the answers as sheets of at most 200 encounters: `out`, or NAME-1.csv, NAME-2.csv and so on.

    Wildbook refuses an individual that it does not know, so a new one has no `individualID` but the keyword
    `new individual`. Photographs of one encounter with one answer share a row.

    Returns:
        The sheets, and a sentence for each kind of cell that Wildbook requires and the table does not give.

    Raises:
        OutputError: a sheet cannot be written, or another file has its name.
    """
    row_of = images.row_of
    grouped: dict[tuple[str, str], list[Answer]] = defaultdict(list)
    for answer in answers:
        if answer.skipped or answer.image_id not in row_of:
            continue
        encounter = str(images.encounter[row_of[answer.image_id]]) or answer.image_id
        who = answer.individual if answer.individual is not None else f"\0{answer.image_id}"
        grouped[encounter, who].append(answer)
    if not grouped:
        raise DataError("There are no answers to write; are they of this data set?")
    most = max(map(len, grouped.values()))
    assets = [f"Encounter.mediaAsset{place}" for place in range(most)]
    columns = [*_SHEET, *assets[1:]]
    rows = [_encounter(images, group, assets) for group in grouped.values()]
    sheets = [rows[start : start + _MOST_ENCOUNTERS] for start in range(0, len(rows), _MOST_ENCOUNTERS)]
    paths = [out.with_name(f"{out.stem}-{number}{out.suffix}") for number in range(1, len(sheets) + 1)]
    paths = paths if len(paths) > 1 else [out]
    for path in paths:
        check_output(path, "Wildbook sheet")
    for path, sheet in zip(paths, sheets, strict=True):
        write_csv(path, columns, [[row.get(column, "") for column in columns] for row in sheet])
    needed = ("Encounter.genus", "Encounter.specificEpithet", "Encounter.year")
    absent = {column: sum(not row[column] for row in rows) for column in needed}
    notes = [
        f"{count} encounters have no {column}, which Wildbook requires." for column, count in absent.items() if count
    ]
    return paths, [*notes, "The sheets have no location, which Wildbook requires: add a column Encounter.locationID."]


def _row(cells: Mapping[str, str], asset: str, path: str, line: int) -> dict[str, str]:
    """Return the row of a photograph; `cells` are by the lower-case names of the columns."""
    genus, epithet = cells.get("encounter.genus", ""), cells.get("encounter.specificepithet", "")
    keywords = cells.get(f"{asset}.keywords", "").lower()
    views = [view for view in ("left", "right", "front", "back", "up", "down") if re.search(rf"\b{view}\b", keywords)]
    return {
        "path": path,
        "identity": cells.get("markedindividual.individualid", "") or cells.get("markedindividual.nickname", ""),
        "date": _date(cells),
        "orientation": views[0] if len(views) == 1 else "",
        "species": f"{genus} {epithet}".strip(),
        "encounter": cells.get("encounter.occurrenceid", "") or f"encounter on line {line}",
    }


def _date(cells: Mapping[str, str]) -> str:
    milliseconds = cells.get("encounter.dateinmilliseconds", "")
    if milliseconds:
        return milliseconds
    year, month, day, hour, minute = (
        _whole(cells.get(f"encounter.{name}", "")) for name in ("year", "month", "day", "hour", "minutes")
    )
    if year is None or month is None:
        return "" if year is None else str(year)
    if day is None:
        return f"{year}-{month:02d}"
    return f"{year}-{month:02d}-{day:02d}" + ("" if hour is None else f" {hour:02d}:{minute or 0:02d}:00")


def _whole(cell: str) -> int | None:
    """Return a number without its decimals, as of 5, 5.0 or 30.5; `None` for another text, or a negative number."""
    match = re.match(r"(\d{1,9})(?:[.,]\d*)?$", cell)
    return None if match is None else int(match[1])


def _encounter(images: ImageTable, group: Sequence[Answer], assets: Sequence[str]) -> dict[str, str]:
    row = images.row_of[group[0].image_id]
    words = str(images.species[row]).split()
    date = str(images.date[row])
    is_day = day_of(date) is not None
    return {
        "Encounter.genus": words[0] if len(words) > 1 else "",
        "Encounter.specificEpithet": " ".join(words[1:]),
        "Encounter.year": date[:4],
        "Encounter.month": str(int(date[5:7])) if is_day else "",
        "Encounter.day": str(int(date[8:10])) if is_day else "",
        "Encounter.occurrenceID": str(images.encounter[row]),
        "MarkedIndividual.individualID": group[0].individual or "",
        "Encounter.mediaAsset0.keywords": "" if group[0].individual is not None else _NEW_KEYWORD,
        **{asset: answer.path for asset, answer in zip(assets, group, strict=False)},
    }
