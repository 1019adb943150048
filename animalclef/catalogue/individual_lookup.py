"""Find individuals by their id or name, and make new ones."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from animalclef.catalogue.schema import individuals
from animalclef.catalogue.signed_changes import Change
from animalclef.errors import DataError

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
    made = new_individual(connection, dataset, name)
    return made, [Change("individuals", made.id, "state", None, "active")]


def new_individual(connection: sa.Connection, dataset: str, name: str | None) -> Individual:
    """Add an individual that an event has yet to make active; without a name it is called after its id."""
    if name is not None:
        check_name(name)
    key = connection.execute(sa.insert(individuals).values(dataset=dataset, name=name or "")).inserted_primary_key
    number = int(key[0]) if key is not None else 0
    if name is None:
        name = f"new_{number}"
        connection.execute(sa.update(individuals).where(individuals.c.id == number).values(name=name))
    return Individual(number, dataset, name)


def find_individual(connection: sa.Connection, text: str) -> Individual:
    """Return the individual of an id (I12) or a name; a merged one leads to the one it was merged into.

    Raises:
        DataError: there is none, or several have the name.
    """
    number = int(text[1:]) if text[:1] in "Ii" and text[1:].isdecimal() else None
    rows = connection.execute(
        sa.select(individuals).where(individuals.c.id == number if number is not None else individuals.c.name == text)
    ).all()
    rows = [row for row in rows if number is not None or row.state == "active"]
    while len(rows) == 1 and rows[0].state == "merged":
        rows = list(connection.execute(sa.select(individuals).where(individuals.c.id == rows[0].into)).all())
    rows = [row for row in rows if row.state == "active"]
    if not rows:
        raise DataError(
            f"{text}: the catalogue has no such individual. `animalclef catalogue who` and `check` list ids."
        )
    if len(rows) > 1:
        ids = ", ".join(f"I{row.id} ({row.dataset})" for row in rows)
        raise DataError(f"{text}: several individuals have this name: {ids}. Give the id.")
    return Individual(rows[0].id, rows[0].dataset, rows[0].name)


def named_individual(connection: sa.Connection, dataset: str, name: str) -> Individual | None:
    """Return the active individual of a name in a data set, `None` where there is none."""
    query = sa.select(individuals).where(
        individuals.c.dataset == dataset, individuals.c.name == name, individuals.c.state == "active"
    )
    row = connection.execute(query).first()
    return None if row is None else Individual(row.id, row.dataset, row.name)


def check_name(name: str) -> None:
    """Refuse what cannot be a name.

    Raises:
        DataError: it is empty, reserved, or has spaces around or control characters.
    """
    if not name.strip() or name != name.strip() or not name.isprintable() or name == "new_individual":
        raise DataError(f"{name!r}: no name for an individual; expected printable characters without spaces around.")


def shown(one: Individual) -> str:
    """Return an individual as sentences name it.

    >>> shown(Individual(12, "NewtID", "Ada"))
    'Ada (I12)'
    """
    return f"{one.name} (I{one.id})"
