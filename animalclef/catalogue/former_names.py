"""Find the names that individuals had before they were renamed or merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from animalclef.catalogue.individual_lookup import Individual
from animalclef.catalogue.schema import changes, events, individuals
from animalclef.catalogue.signed_changes import history

__all__ = ["Name", "former_names", "last_merged", "names_given_again"]

Name = tuple[str, str]  # data set and name of an individual


def former_names(connection: sa.Connection, rows: Sequence[sa.Row[Any]]) -> dict[Name, int]:
    """Return the former names with the ids of the active individuals that had them; `rows` are all individuals.

    A renaming that was undone gave no name.
    """
    of, standing = {row.id: row.dataset for row in rows}, _standing(connection)
    into = {row.id: row.into for row in rows if row.state == "merged"}
    active = {row.id for row in rows if row.state == "active"}
    former = [
        ((of[row.row], row.before), row.row) for row in _renamed(connection) if row.row in of and row.event in standing
    ]
    former += [((row.dataset, row.name), row.id) for row in rows if row.state == "merged"]
    return {name: number for name, earlier in former if (number := last_merged(earlier, into)) in active}


def names_given_again(connection: sa.Connection) -> list[tuple[Individual, Individual]]:
    """Return the individuals that a season brought under a former name of another one, each with that other one."""
    rows = connection.execute(sa.select(individuals).order_by(individuals.c.id)).all()
    former, renamed = former_names(connection, rows), {row.row for row in _renamed(connection)}
    made = sa.select(changes.c.row).join(events, changes.c.event == events.c.id).where(
        changes.c.table == "individuals", changes.c.column == "state", events.c.kind == "add"
    )  # fmt: skip
    brought = set(connection.execute(made).scalars())
    one = {row.id: Individual(row.id, row.dataset, row.name) for row in rows if row.state == "active"}
    return [
        (again, one[former[again.dataset, again.name]])
        for again in one.values()
        if again.id in brought - renamed and former.get((again.dataset, again.name), again.id) != again.id
    ]


def last_merged(number: int, into: Mapping[int, int]) -> int:
    """Return the id that an individual was merged into in the end; its own if it was not.

    >>> last_merged(3, {3: 2, 2: 1}), last_merged(1, {3: 2, 2: 1})
    (1, 1)
    """
    while number in into:
        number = into[number]
    return number


def _renamed(connection: sa.Connection) -> Sequence[sa.Row[Any]]:
    """Return every change of a name that there was."""
    names = (changes.c.table == "individuals") & (changes.c.column == "name") & changes.c.before.is_not(None)
    return connection.execute(sa.select(changes).where(names).order_by(changes.c.id)).all()


def _standing(connection: sa.Connection) -> set[int]:
    return {one.id for one in history(connection) if one.undone_by is None and one.kind != "undo"}
