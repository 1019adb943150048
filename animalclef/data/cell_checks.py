"""The columns that need a second look: names, dates and viewpoints, with what is odd in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import get_args

import numpy as np

from animalclef.config.data import DateOrder
from animalclef.data.columns import ALIASES, NEW_INDIVIDUAL, cells_of, column_of
from animalclef.data.dates import day_of, parse_dates
from animalclef.data.names import (
    Spellings,
    comparable,
    is_missing,
    looks_missing,
    near_spelling,
    one_spelling,
    viewpoint_name,
)
from animalclef.data.table_file import Problem, Table, control_character, grouped
from animalclef.structures import FloatArray

__all__ = [
    "control_problems",
    "dataset_names",
    "date_column",
    "gallery_names",
    "name_problems",
    "species_names",
    "two_names_problems",
    "viewpoint_column",
]

_WHERE = "(in --columns; an argument in Python)"
_MOST_PAIRS = 10  # of spellings or photographs that are listed one by one


def control_problems(table: Table) -> list[Problem]:
    """Return a fatal problem for each column that is used and holds control characters, such as a carriage return."""
    problems = []
    for subject in ALIASES:
        column = column_of(table, subject)
        if column is None or subject in ("bbox", "segmentation"):
            continue
        for line, cell in zip(table.lines, table.column(column), strict=True):
            found = None if cell.isprintable() else control_character(cell)
            if found:
                sentence = f"{subject}: holds the control character {found}, which no table can carry. Remove it."
                problems.append(Problem(table.path.name, line, sentence))
                break
    return problems


def gallery_names(
    table: Table, identity: Sequence[str], is_query: Sequence[bool], dataset: Sequence[str], *, merge: bool
) -> tuple[Spellings, list[Problem]]:
    """Return the identity of every gallery row, "" for no name, where they `merge` with one spelling each; and warnings
    of queries with an identity, of photographs without one or with a reserved one, and of odd names.
    """
    name, rows = table.path.name, list(zip(identity, is_query, table.lines, strict=True))
    labelled = [line for who, query, line in rows if query and who]
    unnamed = [line for who, query, line in rows if not query and not who]
    reserved = [line for who, query, line in rows if not query and who == NEW_INDIVIDUAL]
    given = ["" if query or who == NEW_INDIVIDUAL else who for who, query, _ in rows]
    spelled = one_spelling(given, dataset, merge=merge)
    return spelled, [
        *grouped(name, "a query has an identity; it is ignored and never read", labelled),
        *grouped(name, "a gallery photograph has no identity; it cannot be an answer", unnamed),
        *grouped(name, f"{NEW_INDIVIDUAL} is a reserved name; it cannot be an answer", reserved),
        *name_problems(name, spelled, dataset, table.lines),
    ]


def name_problems(file: str, spelled: Spellings, dataset: Sequence[str], lines: Sequence[int | None]) -> list[Problem]:
    """Return warnings of spellings that were brought together, of names that may be none, and of names nearly alike."""
    problems = _merged(file, "identity", "spellings that are read as another one", spelled)
    first: dict[tuple[str, str], int] = {}
    for row, (home, who) in enumerate(zip(dataset, spelled.names, strict=True)):
        if who:
            first.setdefault((home, who), row)
    problems += _listed(file, "names that look like a missing value", [
        (lines[row], f"identity {who!r} looks like a missing value, but is read as a name. {_advice(lines[row])}")
        for (_, who), row in sorted(first.items())
        if looks_missing(who) and not is_missing(who, name=True)
    ])  # fmt: skip
    near: dict[tuple[str, str], str] = {}
    pairs = []
    for (home, who), row in first.items():
        other = near.setdefault((home, near_spelling(who)), who)
        if comparable(other) != comparable(who):
            pairs.append((lines[row], f"identity {other!a} and {who!a} are nearly alike, and read as two individuals."))
    return problems + _listed(file, "pairs of names that are nearly alike", pairs)


def _advice(line: int | None) -> str:
    """Say what to do with a name that may be none: one of a table's line, or of a folder."""
    return "Move its photographs to query/ if it is." if line is None else "Empty those cells if it is."


def dataset_names(
    table: Table, default: str, is_query: Sequence[bool], *, merge: bool
) -> tuple[list[str], list[Problem]]:
    """Return the data set of every row, in one spelling each, and warnings; without such a column the species is one.

    Where one data set alone is named, the rows without one belong to it, unless both have database photographs.
    """
    column = "dataset" if column_of(table, "dataset") is not None else "species"
    cells = cells_of(table, column)
    spelled = one_spelling(cells, [""] * len(cells), merge=merge)
    file, named = table.path.name, sorted({name for name in spelled.names if name})
    problems = _merged(file, column, f"spellings of the {column}", spelled)
    absent = [line for line, name in zip(table.lines, spelled.names, strict=True) if not name]
    if absent and named:
        with_gallery = {bool(name) for name, query in zip(spelled.names, is_query, strict=True) if not query}
        default = named[0] if len(named) == 1 and len(with_gallery) < 2 else default
        problems += grouped(file, f"{column}: empty; the photograph is taken for one of {default}", absent)
    return [name or default for name in spelled.names], problems


def species_names(table: Table, *, merge: bool) -> tuple[list[str], list[Problem]]:
    """Return the species of every row, "" for none, in one spelling each, and the spellings that were merged.

    Where the species are the data sets, `dataset_names` reports the spellings.
    """
    cells = cells_of(table, "species")
    spelled = one_spelling(cells, [""] * len(cells), merge=merge)
    if column_of(table, "dataset") is None:
        return spelled.names, []
    return spelled.names, _merged(table.path.name, "species", "spellings of the species", spelled)


def two_names_problems(
    table: Table, paths: Sequence[str], boxes: FloatArray, names: Sequence[str | None]
) -> list[Problem]:
    """Return a warning for each photograph (or box of it) that stands under two identities, or twice under one."""
    first: dict[tuple[str, bytes], int] = {}
    found, repeated = [], []
    for row, (path, box, who) in enumerate(zip(paths, boxes, names, strict=True)):
        if who is None:
            continue
        earlier = first.setdefault((path, np.asarray(box).tobytes()), row)
        if names[earlier] != who:
            sentence = f"{path} stands under two identities: {names[earlier]} (line {table.lines[earlier]}) and {who}."
            found.append((table.lines[row], sentence))
        elif earlier != row:
            repeated.append(table.lines[row])
    twice = "path: this photograph stands under the same identity on an earlier line; leave out one of the two"
    return [
        *_listed(table.path.name, "photographs under two identities", found),
        *grouped(table.path.name, twice, repeated),
    ]


def date_column(table: Table, order: DateOrder | None) -> tuple[list[str], list[Problem]]:
    """Return the dates as ISO 8601, "" where there is none, and what was not plain in them."""
    cells = cells_of(table, "date")
    parsed = parse_dates(cells, order)
    sentences = {}
    if parsed.unreadable:
        cell = cells[parsed.unreadable[0]]
        orders = [one for one in get_args(DateOrder) if order is None and not parse_dates([cell], one).unreadable]
        why = "; the dates of this column are written in several orders" if orders else ""
        why += f". Say which with date_order={orders[0]} {_WHERE}, or change the others" if orders else ""
        sentences[f"date: not read, so it counts as absent: {cell[:40]!a}{why}"] = parsed.unreadable
    if parsed.ambiguous:
        shown = cells[parsed.ambiguous[0]][:40]
        sentence = f"date: {shown!a} may be {' or '.join(parsed.possible)}, and no date of the column settles it; read "
        sentence += f"as {parsed.possible[0]}. Say which with date_order={parsed.possible[0]} or "
        sentence += f"date_order={parsed.possible[1]} {_WHERE}"
        sentences[sentence] = parsed.ambiguous
    vague = [row for row, text in enumerate(parsed.iso) if text and day_of(text) is None]
    sentences["date: a year or a month without a day, so it settles no encounter"] = vague
    return parsed.iso, [
        problem
        for sentence, rows in sentences.items()
        for problem in grouped(table.path.name, sentence, [table.lines[row] for row in rows])
    ]


def viewpoint_column(table: Table) -> tuple[list[str], list[Problem]]:
    """Return the viewpoints in one spelling each, and which spellings were brought together."""
    cells = cells_of(table, "viewpoint")
    views = [viewpoint_name(cell) if cell else "" for cell in cells]
    spellings: dict[str, set[str]] = defaultdict(set)
    for cell, view in zip(cells, views, strict=True):
        spellings[view].add(cell)
    several = [(cell, view) for view, spelled in spellings.items() for cell in spelled if len(spelled) > 1]
    shown = [f"{cell!a} as {view}" for cell, view in sorted(several) if cell != view]
    if not shown:
        return views, []
    more = f" and {len(shown) - _MOST_PAIRS} more" if len(shown) > _MOST_PAIRS else ""
    sentence = f"viewpoints in several spellings: {', '.join(shown[:_MOST_PAIRS])}{more} are read."
    return views, [Problem(table.path.name, None, sentence, fatal=False)]


def _merged(file: str, column: str, what: str, spelled: Spellings) -> list[Problem]:
    """Return a warning for each spelling that is read as another one."""
    sentence = "differ by case, spaces or accents only; both are read as the last."
    pairs = [(None, f"{column} {one!a} and {other!a} {sentence}") for one, other in spelled.merged]
    return _listed(file, what, pairs)


def _listed(file: str, what: str, found: Sequence[tuple[int | None, str]]) -> list[Problem]:
    """Return a warning for each of the first findings, and one that counts the others."""
    shown = [Problem(file, line, sentence, fatal=False) for line, sentence in found[:_MOST_PAIRS]]
    more = len(found) - _MOST_PAIRS
    return shown + ([Problem(file, None, f"and {more} more {what}.", fatal=False)] if more > 0 else [])
