"""Camtrap DP 1.0: a folder with media.csv, observations.csv and deployments.csv (https://camtrap-dp.tdwg.org)."""

from __future__ import annotations

import datetime
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import animalclef
from animalclef.data.answers import Answer
from animalclef.data.formats.json_file import left_out, rows_to_table, web_addresses
from animalclef.data.names import is_missing
from animalclef.data.table_file import Table, read_bytes_of_table, read_table
from animalclef.errors import DataError
from animalclef.runtime.atomic_files import write_bytes
from animalclef.runtime.regular_files import read_regular

__all__ = ["RawTable", "camtrap_table", "is_camtrap", "write_camtrap"]

_COLUMNS = ("image_id", "path", "identity", "date", "species", "encounter", "bbox")
_BOX = ("bboxX", "bboxY", "bboxWidth", "bboxHeight")
_FILES = ("datapackage.json", "deployments.csv", "media.csv")

_CELL = re.compile(r'("(?:[^"]|"")*"|[^,\r\n]*)(,|\r\n|\n|\r|$)')  # and what ends it; matches any text


def is_camtrap(path: Path) -> bool:
    """Return whether a table is the observations of a Camtrap DP package."""
    return path.name in ("observations.csv", "datapackage.json") and (path.parent / "media.csv").is_file()


def camtrap_table(path: Path) -> Table:
    """Return a row for every animal observed on a photograph; those without an `individualID` are queries.

    Observations of events hold for every photograph of the deployment between their start and end. An individual that
    an event names is also that of a photograph's only animal, where its own observation has no name. The encounter is
    the event, or else the deployment on that day.

    Raises:
        DataError: a file is not as the format says.
    """
    folder = path.parent
    observations, media = read_table(folder / "observations.csv"), read_table(folder / "media.csv")
    for table, needed in ((observations, ("observationID", "deploymentID")), (media, ("mediaID", "filePath"))):
        absent = [column for column in needed if column not in table.columns]
        if absent:
            raise DataError(f"{table.path}: the column {absent[0]} is missing. Is this Camtrap DP 1.0?")
    animals = [seen for seen in observations.rows if seen.get("observationType", "animal") in ("animal", "")]
    shown = _photographs(animals, media)
    events = _events_of_one_animal(animals, shown)
    rows = []
    for seen, photographs in zip(animals, shown, strict=True):
        for photograph in photographs:
            event, is_own = events.get(photograph["mediaID"]), _is_own(seen, photograph)
            if is_own or event is not seen:
                rows.append(_row(seen, photograph, _name(seen) or (_name(event) if is_own and event else ""), is_own))
    problems = [*observations.problems, *media.problems, *web_addresses(media.path, rows)]
    problems += left_out(path, (len(observations.rows) - len(animals), "observation", "of no animal"))
    return rows_to_table(path, _COLUMNS, rows, problems)


def write_camtrap(source: Path, out: Path, answers: Sequence[Answer]) -> int:
    """Write a copy of a package in which the answers fill `individualID` and the fields about its classification.

    Every other cell stays as it was, byte for byte. An individual that is new keeps an empty `individualID`. An event
    is named where all names on its photographs agree, with the probability of the surest.

    Returns:
        How many observations got a name.

    Raises:
        DataError: `out` is the package itself, or a file cannot be read.
        OutputError: a file cannot be written.
    """
    if out.resolve() == source.resolve():
        raise DataError(f"{out}: this is the package itself. Give --out another folder.")
    observations = RawTable.parse(read_bytes_of_table(source / "observations.csv"), source / "observations.csv")
    named = _by_observation(answers)
    filled = 0
    for row in range(len(observations)):
        found = named.get(observations.cell(row, "observationID"), [])
        given = observations.cell(row, "individualID")
        if len({answer.individual for answer in found}) != 1 or not is_missing(given, name=True):
            continue
        filled += 1
        for column, value in _classification(max(found, key=lambda one: one.probability)).items():
            observations.put(row, column, value)
    for name in _FILES:
        if (source / name).is_file():
            write_bytes(out / name, read_regular(source / name))
    write_bytes(out / "observations.csv", observations.content())
    return filled


def _classification(answer: Answer) -> Mapping[str, str]:
    return {
        "individualID": answer.individual or "",
        "classificationMethod": "machine",
        "classifiedBy": f"animalclef {animalclef.__version__}",
        "classificationProbability": f"{answer.probability:.4g}",
    }


def _by_observation(answers: Sequence[Answer]) -> Mapping[str, list[Answer]]:
    """Return the answers with a name by the id of their observation: itself, or that of an event, before a slash."""
    found: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        if answer.individual is None:
            continue
        parts = answer.image_id.split("/")
        for count in range(1, len(parts) + 1):
            found["/".join(parts[:count])].append(answer)
    return found


def _photographs(animals: Sequence[Mapping[str, str]], media: Table) -> list[list[dict[str, str]]]:
    """Return the photographs of each observation: the one that it names, or those of its event."""
    by_id = {row["mediaID"]: row for row in media.rows}
    of_deployment: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in media.rows:
        of_deployment[row.get("deploymentID", "")].append(row)
    return [
        [by_id[seen["mediaID"]]] if seen.get("mediaID") in by_id else _within(seen, of_deployment[seen["deploymentID"]])
        for seen in animals
    ]


def _events_of_one_animal(
    animals: Sequence[Mapping[str, str]], shown: Sequence[Sequence[Mapping[str, str]]]
) -> Mapping[str, Mapping[str, str]]:
    """Return, by mediaID, the event that names the animal of a photograph with one observation of its own.

    That observation has no name, or the same one.
    """
    own: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    events: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    for seen, photographs in zip(animals, shown, strict=True):
        for photograph in photographs:
            if _is_own(seen, photograph):
                own[photograph["mediaID"]].append(seen)
            elif _name(seen):
                events[photograph["mediaID"]].append(seen)
    return {
        media: named[0]
        for media, named in events.items()
        if len(named) == len(own[media]) == 1 and _name(own[media][0]) in ("", _name(named[0]))
    }


def _is_own(seen: Mapping[str, str], photograph: Mapping[str, str]) -> bool:
    return seen.get("mediaID", "") == photograph["mediaID"]


def _name(seen: Mapping[str, str]) -> str:
    name = seen.get("individualID", "")
    return "" if is_missing(name, name=True) else name


def _row(seen: Mapping[str, str], photograph: Mapping[str, str], name: str, is_own: bool) -> dict[str, str]:
    when = photograph.get("timestamp") or seen.get("eventStart", "")
    box = [seen.get(side, "") for side in _BOX]
    event = seen.get("eventID", "") or f"{seen['deploymentID']} {when[:10]}".strip()
    observation = seen["observationID"]
    return {
        "image_id": observation if is_own else f"{observation}/{photograph['mediaID']}",
        "path": photograph["filePath"],
        "identity": name,
        "date": when,
        "species": seen.get("scientificName", ""),
        "encounter": event,
        "bbox": f"[{', '.join(box)}]" if all(box) else "",
    }


def _within(seen: Mapping[str, str], photographs: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Return the photographs between the start and the end of an event."""
    start = _instant(seen.get("eventStart", ""))
    end = _instant(seen.get("eventEnd", "")) or start
    if start is None or end is None:
        return []
    times = [(one, _instant(one.get("timestamp", ""))) for one in photographs]
    return [one for one, when in times if when is not None and start <= when <= end]


def _instant(text: str) -> datetime.datetime | None:
    """Return a moment; without a time zone it is taken as UTC."""
    try:
        when = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return when if when.tzinfo is not None else when.replace(tzinfo=datetime.UTC)


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
        for match in _CELL.finditer(text, len(mark)):
            if match.start() == len(text) and not cells:
                break
            cells.append(match[1])
            if match[2] != ",":
                lines.append(cells)
                ends.append(match[2])
                cells = []
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
