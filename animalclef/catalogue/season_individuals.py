"""Find the individuals that a season's photographs show, by the names that they have or had; new ones are made."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from animalclef.catalogue.individual_lookup import Individual, new_individual
from animalclef.catalogue.schema import changes, events, individuals
from animalclef.catalogue.signed_changes import Change, history

__all__ = ["Answer", "Name", "SeasonIndividuals", "former_names", "last_merged", "names_given_again"]

logger = logging.getLogger(__name__)

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


@dataclass(frozen=True)
class Answer:
    """What the program says of one photograph: a name or `None`, its probability, and the group of a new individual."""

    name: str | None
    probability: float
    group: str


class SeasonIndividuals:
    """The individuals that a season's photographs show; those that are not there yet are made."""

    def __init__(self, connection: sa.Connection, before: Mapping[Name, int]) -> None:
        rows = connection.execute(sa.select(individuals)).all()
        self._connection, self.made = connection, list[Change]()
        self._groups: dict[Name, int] = {}
        into = {row.id: row.into for row in rows if row.state == "merged"}
        self._name_of = {row.id: row.name for row in rows}
        self._now: dict[Name, int] = {(row.dataset, row.name): row.id for row in rows if row.state == "active"}
        active = set(self._now.values())

        def still_active(named: Iterable[tuple[Name, int]]) -> dict[Name, int]:
            return {name: number for name, earlier in named if (number := last_merged(earlier, into)) in active}

        self._before = self._now | still_active(before.items())
        self._former = former_names(connection, rows)

    def named(self, dataset: str, name: str) -> int:
        """Return the id of a name as it is now; an individual that had the name before is told."""
        if (dataset, name) in self._now:
            return self._now[dataset, name]
        if (dataset, name) in self._former:
            now_called = self._name_of[self._former[dataset, name]]
            told = (
                "The catalogue's earlier %s is now %s (renamed or merged), so the %s of this season was added as a new "
            )
            told += "individual. If they are the same animal: animalclef catalogue merge CATALOGUE %s %s."
            logger.warning(told, name, now_called, name, now_called, name)
        return self._made(dataset, name)

    def answered(self, dataset: str, answer: Answer) -> int:
        """Return the id of an answer's name as it was; for a new individual that of its group."""
        if answer.name is not None and (dataset, answer.name) in self._before:
            return self._before[dataset, answer.name]
        group = (dataset, answer.group)
        if group not in self._groups:
            self._groups[group] = self._made(dataset, None)
        return self._groups[group]

    def _made(self, dataset: str, name: str | None) -> int:
        one, change = new_individual(self._connection, dataset, name)
        self.made.append(change)
        self._now[dataset, one.name] = one.id
        self._before.setdefault((dataset, one.name), one.id)
        return one.id
