"""The columns of the tables in this field, by any of their names, and the cells in them."""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath

from animalclef.data.names import is_missing
from animalclef.data.table_file import Problem, Table
from animalclef.errors import DataError

__all__ = [
    "ALIASES",
    "NEW_INDIVIDUAL",
    "cells_of",
    "column_of",
    "find_column",
    "image_ids",
    "leaves_folder",
    "numbered",
    "parse_split",
    "path_in_folder",
    "read_columns",
    "taken_columns",
    "with_columns",
]

NEW_INDIVIDUAL = "new_individual"

# The first name of each subject is the one that tables of the competition have.
ALIASES: dict[str, tuple[str, ...]] = {
    "image_id": ("image_id", "annot_uuid", "uuid", "id", "annotation_id", "photo_id", "photograph_id"),
    "path": (
        "path", "file_path", "image_path", "file_name", "filename", "relative_path", "photo_path", "image_file",
        "image_name", "photograph", "photo", "image", "file", "source_file",
    ),
    "identity": (
        "identity", "name", "individual_id", "individual", "individual_name", "animal_id", "animal_name", "animal",
        "id_individual", "marked_individual",
    ),
    "viewpoint": ("orientation", "viewpoint", "position", "side", "flank", "view"),
    "date": (
        "date", "datetime", "date_time", "date_taken", "date_captured", "capture_date", "date_time_original",
        "timestamp", "event_date", "photo_date", "image_date", "sighting_date", "encounter_date", "observed_on",
        "create_date", "time",
    ),
    "species": ("species", "scientific_name"),
    "split": ("split",),
    "dataset": ("dataset", "data_set"),
    "encounter": ("encounter", "encounter_id", "occurrence", "occurrence_id", "event_id", "sequence_id", "seq_id"),
    "bbox": ("bbox", "bounding_box", "bbox_relative", "bbox_percent"),
    "mask": ("mask", "mask_path"),
    "segmentation": ("segmentation",),
}  # fmt: skip
_AS_THEY_ARE = {"viewpoint": ("orientation", "viewpoint")}  # names that need no sentence besides the first

_GALLERY = frozenset({"database", "train", "gallery", "reference", "training", "references"})
_QUERY = frozenset({"query", "test", "queries", "testing", "probe"})

_real = lru_cache(maxsize=4096)(os.path.realpath)


def with_columns(table: Table, names: Mapping[str, str]) -> Table:
    """Return the table with the columns that the user named for its subjects (`{"path": "filename"}`).

    Raises:
        DataError: a subject or a column does not exist.
    """
    present = {column.lower(): column for column in table.columns}
    known = {alias: subject for subject, aliases in ALIASES.items() for alias in (subject, aliases[0])}
    chosen = {}
    for subject, column in names.items():
        if subject not in known:
            raise DataError(f"columns: {subject}={column}: no such subject; there are {', '.join(ALIASES)}.")
        if column.lower() not in present:
            have = ", ".join(table.columns)
            raise DataError(f"{table.path.name}: columns: {subject}={column}: no such column; there are {have}.")
        chosen[known[subject]] = present[column.lower()]
    return replace(table, names=chosen) if chosen else table


def column_of(table: Table, subject: str) -> str | None:
    """Return the name of the table's column about a subject: the one that the user named, or the first known name.

    Upper and lower case, spaces, hyphens, dots and underscores make no difference; of two such columns one with cells
    comes before an empty one.
    """
    if subject in table.names:
        return table.names[subject]
    columns = [column for column in table.filled_first if column not in table.names.values()]
    for spelled in (str.lower, _plain):
        present = {spelled(column): column for column in reversed(columns)}  # the first of one spelling
        for alias in ALIASES[subject]:
            if spelled(alias) in present:
                return present[spelled(alias)]
    return None


def find_column(table: Table, name: str) -> list[str] | None:
    """Return the cells of the column under any of its names; `None` where the table has no such column.

    Missing values in any spelling are read as empty; so are words such as `unknown` where a viewpoint, an encounter or
    an identity is expected.
    """
    column = column_of(table, name)
    if column is None:
        return None
    nobody = name in ("viewpoint", "identity", "encounter")
    return ["" if is_missing(cell, name=nobody) else cell for cell in table.column(column)]


def cells_of(table: Table, name: str) -> list[str]:
    """Return what `find_column` does; where the table has no such column, an empty cell for every row."""
    return find_column(table, name) or [""] * len(table.rows)


def image_ids(table: Table) -> list[str]:
    """Return the id of every row: its `image_id`, or without such a column its path.

    Further rows of one path (several animals in a photograph) get `#2`, `#3` and so on behind it.
    """
    given = find_column(table, "image_id")
    if given is not None and ("image_id" in table.names or not _is_another_id(table, given)):
        return given
    return numbered(path.replace("\\", "/") for path in cells_of(table, "path"))


def numbered(ids: Iterable[str]) -> list[str]:
    """Return ids that are unique: further ones of a name get `#2`, `#3` and so on behind it.

    >>> numbered(["a", "b", "a"])
    ['a', 'b', 'a#2']
    """
    seen: Counter[str] = Counter()
    unique = []
    for one in ids:
        seen[one] += 1
        unique.append(one if seen[one] == 1 else f"{one}#{seen[one]}")
    return unique


def read_columns(table: Table) -> set[str]:
    """Return the columns that are read as a subject."""
    found = {subject: column for subject in ALIASES if (column := column_of(table, subject)) is not None}
    if "image_id" not in table.names and _is_another_id(table, cells_of(table, "image_id")):
        del found["image_id"]
    return set(found.values())


def taken_columns(table: Table) -> list[Problem]:
    """Return a sentence for every column that is read under another name than its own, or that has a rival."""
    problems = []
    for subject, aliases in ALIASES.items():
        column = column_of(table, subject)
        if column is None:
            continue
        problems += _rivals(table, column)
        is_plain = subject in table.names or column.lower() in _AS_THEY_ARE.get(subject, aliases[:1])
        if not is_plain and not (subject == "image_id" and _is_another_id(table, cells_of(table, subject))):
            sentence = f"the column {column} is read as {aliases[0]}."
            problems.append(Problem(table.path.name, 1, sentence, fatal=False))
    return problems


def _rivals(table: Table, column: str) -> list[Problem]:
    """Return a problem for each column that is called alike but for case, and says something else in a row."""
    problems = []
    for rival in table.columns:
        if rival == column or rival.lower() != column.lower():
            continue
        pairs = zip(table.lines, table.column(column), table.column(rival), strict=True)
        line = next((line for line, one, other in pairs if one and other and one != other), None)
        if line is not None:
            differ = f"the columns {column} and {rival} differ"
            sentence = f"{differ}; remove one, or name the right one (--columns; in Python columns)."
            problems.append(Problem(table.path.name, line, sentence))
    return problems


def parse_split(cell: str) -> bool | None:
    """Return True for a query, False for the gallery, None for neither."""
    word = cell.lower()
    return True if word in _QUERY else False if word in _GALLERY else None


def leaves_folder(cell: str) -> bool:
    """Return whether a path in a cell leads out of the data folder, here or on Windows.

    >>> leaves_folder("Ada/1.jpg"), leaves_folder("../1.jpg"), leaves_folder("C:\\\\1.jpg")
    (False, True, True)
    """
    path = PurePosixPath(cell.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or bool(PureWindowsPath(cell).drive)


def path_in_folder(cell: str, root: Path) -> str | None:
    """Return a path in a cell as it starts at the data folder; `None` where it leads out of it.

    A path that leaves a folder and comes back is straightened. An absolute one may reach the data folder through a
    symbolic link.

    >>> path_in_folder("Ada/../Bo/1.jpg", Path("data")), path_in_folder("../1.jpg", Path("data"))
    ('Bo/1.jpg', None)
    """
    text = cell.replace("\\", "/")
    path = PurePosixPath(posixpath.normpath(text) if ".." in PurePosixPath(text).parts else text)
    if path.is_absolute():
        whole = root.absolute()
        if not path.is_relative_to(whole):
            real = _real(whole)
            whole = next((Path(above) for above in path.parents if _real(above) == real), whole)
        path = path.relative_to(whole) if path.is_relative_to(whole) else path
    return None if leaves_folder(str(path)) else str(path)


def _is_another_id(table: Table, cells: list[str]) -> bool:
    """Return whether a column called `id` repeats itself, so that it is about something else than photographs."""
    return (column_of(table, "image_id") or "").lower() == "id" and len(set(cells)) < len(cells)


def _plain(column: str) -> str:
    return "".join(one for one in column.lower() if one.isalnum())
