"""Find individuals by their id or name, and make new ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import count

import sqlalchemy as sa

from animalclef.catalogue.schema import individuals, next_id
from animalclef.catalogue.signed_changes import Change
from animalclef.data.names import comparable, is_missing
from animalclef.errors import DataError, nearest

__all__ = ["Individual", "check_name", "find_individual", "goal_of", "named_individual", "new_individual", "shown"]


@dataclass(frozen=True)
class Individual:
    """One individual; `id` never changes, and is shown as I12."""

    id: int
    dataset: str
    name: str


def goal_of(connection: sa.Connection, dataset: str, name: str | None) -> tuple[Individual, list[Change]]:
    """Return the individual of a name, or a new one with the change that makes it active."""
    there = None if name is None else named_individual(connection, dataset, name)
    if there is not None:
        return there, []
    made, change = new_individual(connection, dataset, name)
    return made, [change]


def new_individual(connection: sa.Connection, dataset: str, name: str | None) -> tuple[Individual, Change]:
    """Add an individual, with the change that makes it active; without a name it is called after its id."""
    if name is not None:
        check_name(name)
    number = next_id(connection, individuals)
    name = _free_name(connection, dataset, number) if name is None else name
    connection.execute(sa.insert(individuals).values(id=number, dataset=dataset, name=name))
    return Individual(number, dataset, name), Change("individuals", number, "state", None, "active")


def _free_name(connection: sa.Connection, dataset: str, number: int) -> str:
    """Return new_NUMBER, or new_NUMBER_2 and so on where an individual has, had or is about to have this name."""
    held = sa.select(individuals.c.name).where(individuals.c.dataset == dataset)
    start = f"new_{number}"
    taken = set(connection.execute(held.where(individuals.c.name.startswith(start, autoescape=True))).scalars())
    free = (f"{start}_{more}" for more in count(2) if f"{start}_{more}" not in taken)
    return start if start not in taken else next(free)


def find_individual(connection: sa.Connection, text: str) -> Individual:
    """Return the individual of an id (I12 or #12) or a name; a merged one leads to the one it was merged into.

    Raises:
        DataError: there is none, or the text is the id or the name of several.
    """
    named = sa.select(individuals).where(individuals.c.name == text, individuals.c.state == "active")
    found = {row.id: row for row in connection.execute(named.order_by(individuals.c.id))}
    if re.fullmatch("[Ii#]0*[0-9]{1,9}", text):
        row = connection.execute(sa.select(individuals).where(individuals.c.id == int(text[1:]))).first()
        while row is not None and row.state == "merged":
            row = connection.execute(sa.select(individuals).where(individuals.c.id == row.into)).first()
        if row is not None and row.state == "active":
            found[row.id] = row
    if not found:
        raise DataError(f"{text}: the catalogue has no such individual. {_advice(connection, text)}")
    if len(found) > 1:
        mark = "I" if text.startswith("#") else "#"
        ids = ", ".join(f"{mark}{row.id} ({row.name}, {row.dataset})" for row in found.values())
        raise DataError(f"{text}: several individuals have this id or name: {ids}. Give the id as it stands here.")
    [row] = found.values()
    return Individual(row.id, row.dataset, row.name)


def _advice(connection: sa.Connection, text: str) -> str:
    """Return the active individuals that are called nearly so, as a question; else the command that lists all."""
    names = connection.execute(sa.select(individuals.c.name).where(individuals.c.state == "active")).scalars()
    close = nearest(text, names, 3)
    return f"Did you mean {' or '.join(close)}?" if close else "`animalclef catalogue list` lists them."


def named_individual(connection: sa.Connection, dataset: str, name: str) -> Individual | None:
    """Return the active individual of a name in a data set, in any spelling; `None` where there is none."""
    query = sa.select(individuals).where(individuals.c.dataset == dataset, individuals.c.state == "active")
    row = connection.execute(query.where(individuals.c.name == name)).first()
    if row is None:
        sought = comparable(name)
        row = next(
            (one for one in connection.execute(query.order_by(individuals.c.id)) if comparable(one.name) == sought),
            None,
        )
    return None if row is None else Individual(row.id, row.dataset, row.name)


def check_name(name: str) -> None:
    """Refuse what cannot be a name.

    Raises:
        DataError: it is empty, a word for an individual without a name, or has spaces around or control characters.
    """
    if name != name.strip() or not name.isprintable() or name == "new_individual" or is_missing(name, name=True):
        raise DataError(
            f"{name!r}: no name for an individual; expected printable characters without spaces around, and no word "
            "for a missing name."
        )


def shown(one: Individual) -> str:
    """Return an individual as sentences name it.

    >>> shown(Individual(12, "NewtID", "Ada"))
    'Ada (I12)'
    """
    return f"{one.name} (I{one.id})"
