"""Camtrap DP 1.0: a folder with media.csv, observations.csv and deployments.csv (https://camtrap-dp.tdwg.org)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import animalclef
from animalclef.data.answers import Answer
from animalclef.data.csv_text import Problem, Table, read_bytes_of_table, read_table
from animalclef.data.formats.json_file import rows_to_table
from animalclef.data.formats.raw_csv import RawTable
from animalclef.errors import DataError
from animalclef.runtime.atomic_files import write_bytes
from animalclef.runtime.regular_files import read_regular

__all__ = ["camtrap_table", "is_camtrap", "write_camtrap"]

_COLUMNS = ("image_id", "path", "identity", "date", "species", "encounter", "bbox")
_BOX = ("bboxX", "bboxY", "bboxWidth", "bboxHeight")
_FILES = ("datapackage.json", "deployments.csv", "media.csv")


def is_camtrap(path: Path) -> bool:
    """Return whether a table is the observations of a Camtrap DP package."""
    return path.name in ("observations.csv", "datapackage.json") and (path.parent / "media.csv").is_file()


def camtrap_table(path: Path) -> Table:
    """Return a row for every animal observed on a photograph; those without an `individualID` are queries.

    Observations of events hold for every photograph of the deployment between their start and end. The encounter is the
    event, or else the deployment on that day.

    Raises:
        DataError: a file is not as the format says.
    """
    folder = path.parent
    observations, media = read_table(folder / "observations.csv"), read_table(folder / "media.csv")
    for table, needed in ((observations, ("observationID", "deploymentID")), (media, ("mediaID", "filePath"))):
        absent = [column for column in needed if column not in table.columns]
        if absent:
            raise DataError(f"{table.path}: the column {absent[0]} is missing. Is this Camtrap DP 1.0?")
    by_id = {row["mediaID"]: row for row in media.rows}
    of_deployment: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in media.rows:
        of_deployment[row.get("deploymentID", "")].append(row)
    rows, others, remote = [], 0, 0
    for seen in observations.rows:
        if seen.get("observationType", "animal") not in ("animal", ""):
            others += 1
            continue
        single = by_id.get(seen.get("mediaID", ""))
        shown = [single] if single is not None else _within(seen, of_deployment[seen["deploymentID"]])
        for photograph in shown:
            remote += photograph["filePath"].startswith(("http:", "https:"))
            rows.append(_row(seen, photograph, is_single=single is not None))
    problems = [*observations.problems, *media.problems]
    if others:
        problems.append(Problem(path.name, None, f"{others} observations of no animal are left out.", fatal=False))
    if remote:
        sentence = f"{remote} photographs are web addresses; download them and put their paths into filePath."
        problems.append(Problem("media.csv", None, sentence, fatal=False))
    return rows_to_table(path, _COLUMNS, rows, problems)


def write_camtrap(source: Path, out: Path, answers: Sequence[Answer]) -> int:
    """Write a copy of a package in which the answers fill `individualID` and the fields about its classification.

    Every other cell stays as it was, byte for byte. An individual that is new keeps an empty `individualID`.

    Returns:
        How many observations got a name.

    Raises:
        DataError: `out` is the package itself, or a file cannot be read.
        OutputError: a file cannot be written.
    """
    if out.resolve() == source.resolve():
        raise DataError(f"{out}: this is the package itself. Give --out another folder.")
    observations = RawTable.parse(read_bytes_of_table(source / "observations.csv"), source / "observations.csv")
    named = {answer.image_id: answer for answer in answers if answer.individual is not None}
    filled = 0
    for row in range(len(observations)):
        answer = named.get(observations.cell(row, "observationID"))
        if answer is None or observations.cell(row, "individualID"):
            continue
        filled += 1
        for column, value in _classification(answer).items():
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


def _row(seen: Mapping[str, str], photograph: Mapping[str, str], *, is_single: bool) -> dict[str, str]:
    when = photograph.get("timestamp") or seen.get("eventStart", "")
    box = [seen.get(side, "") for side in _BOX]
    event = seen.get("eventID", "") or f"{seen['deploymentID']} {when[:10]}".strip()
    observation = seen["observationID"]
    return {
        "image_id": observation if is_single else f"{observation}/{photograph['mediaID']}",
        "path": photograph["filePath"],
        "identity": seen.get("individualID", ""),
        "date": when,
        "species": seen.get("scientificName", ""),
        "encounter": event,
        "bbox": f"[{', '.join(box)}]" if all(box) else "",
    }


def _within(seen: Mapping[str, str], photographs: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Return the photographs of an event; ISO times compare as text."""
    start, end = seen.get("eventStart", ""), seen.get("eventEnd", "") or seen.get("eventStart", "")
    return [one for one in photographs if start and start <= one.get("timestamp", "") <= end]
