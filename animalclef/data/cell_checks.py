"""The columns that need a second look: names, dates and viewpoints, with what is odd in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from animalclef.data.columns import ALIASES, NEW_INDIVIDUAL, Group, column_of, find_column
from animalclef.data.csv_text import Problem, Table, control_character
from animalclef.data.dates import DateOrder, day_of, parse_dates
from animalclef.data.names import Spellings, looks_missing, one_spelling, viewpoint_name
from animalclef.structures import FloatArray

__all__ = [
    "control_problems",
    "date_column",
    "gallery_names",
    "merged_problem",
    "two_names_problems",
    "viewpoint_column",
]

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
    """Return the identity of every gallery row, "" for no name; where they `merge`, with one spelling each."""
    pairs = zip(identity, is_query, strict=True)
    given = ["" if query or who == NEW_INDIVIDUAL else who for who, query in pairs]
    spelled = one_spelling(given, dataset, merge=merge)
    problems = _merged(table.path.name, spelled)
    suspects = sorted({who for who in spelled.names if who and looks_missing(who)})
    for who in suspects[:_MOST_PAIRS]:
        sentence = f"identity {who!r} looks like a missing value, but is read as a name. Empty those cells if it is."
        problems.append(Problem(table.path.name, table.lines[spelled.names.index(who)], sentence, fatal=False))
    return spelled, problems


def merged_problem(file: str, pair: tuple[str, str]) -> Problem:
    """Return the sentence for a spelling that is read as another one."""
    sentence = f"identity {pair[0]!a} and {pair[1]!a} differ by case, spaces or accents only; both are read as the last"
    return Problem(file, None, f"{sentence}.", fatal=False)


def two_names_problems(
    table: Table, paths: Sequence[str], boxes: FloatArray, names: Sequence[str | None]
) -> list[Problem]:
    """Return a warning for each photograph (or box of it) that stands under two identities."""
    first: dict[tuple[str, bytes], int] = {}
    problems = []
    for row, (path, box, who) in enumerate(zip(paths, boxes, names, strict=True)):
        if who is None:
            continue
        earlier = first.setdefault((path, np.asarray(box).tobytes()), row)
        if names[earlier] != who:
            sentence = f"{path} stands under two identities: {names[earlier]} (line {table.lines[earlier]}) and {who}."
            problems.append(Problem(table.path.name, table.lines[row], sentence, fatal=False))
    return problems[:_MOST_PAIRS] + _more(table.path.name, len(problems), "photographs under two identities")


def date_column(table: Table, order: DateOrder | None) -> tuple[list[str], list[Problem]]:
    """Return the dates as ISO 8601, "" where there is none, and what was not plain in them."""
    cells = find_column(table, "date")
    if cells is None:
        return [""] * len(table.rows), []
    parsed = parse_dates(cells, order)
    name = table.path.name
    problems = []
    if parsed.unreadable:
        group = Group(
            name, f"date: not read, so it counts as absent: {cells[parsed.unreadable[0]][:40]!a}", fatal=False
        )
        group.lines = [table.lines[row] for row in parsed.unreadable]
        problems += group.problem()
    if parsed.ambiguous:
        shown = cells[parsed.ambiguous[0]][:40]
        sentence = f"date: {shown!a} may be {' or '.join(parsed.possible)}, and no date of the column settles it; read "
        sentence += f"as {parsed.possible[0]}. Say which with --columns date_order={parsed.possible[0]} or "
        sentence += f"date_order={parsed.possible[1]}"
        group = Group(name, sentence, fatal=False)
        group.lines = [table.lines[row] for row in parsed.ambiguous]
        problems += group.problem()
    vague = [row for row, text in enumerate(parsed.iso) if text and day_of(text) is None]
    if vague:
        group = Group(name, "date: a year or a month without a day, so it settles no encounter", fatal=False)
        group.lines = [table.lines[row] for row in vague]
        problems += group.problem()
    return parsed.iso, problems


def viewpoint_column(table: Table) -> tuple[list[str], list[Problem]]:
    """Return the viewpoints in one spelling each, and which spellings were brought together."""
    cells = find_column(table, "viewpoint")
    if cells is None:
        return [""] * len(table.rows), []
    views = [viewpoint_name(cell) if cell else "" for cell in cells]
    changed = sorted({(cell, view) for cell, view in zip(cells, views, strict=True) if cell != view})
    several = {
        view for _, view in changed if len({cell for cell, one in zip(cells, views, strict=True) if one == view}) > 1
    }
    shown = [f"{cell!a} as {view}" for cell, view in changed if view in several]
    if not shown:
        return views, []
    more = f" and {len(shown) - _MOST_PAIRS} more" if len(shown) > _MOST_PAIRS else ""
    sentence = f"viewpoints in several spellings: {', '.join(shown[:_MOST_PAIRS])}{more} are read."
    return views, [Problem(table.path.name, None, sentence, fatal=False)]


def _merged(file: str, spelled: Spellings) -> list[Problem]:
    problems = [merged_problem(file, pair) for pair in spelled.merged[:_MOST_PAIRS]]
    return problems + _more(file, len(spelled.merged), "spellings that are read as another one")


def _more(file: str, count: int, what: str) -> list[Problem]:
    if count <= _MOST_PAIRS:
        return []
    return [Problem(file, None, f"and {count - _MOST_PAIRS} more {what}.", fatal=False)]
