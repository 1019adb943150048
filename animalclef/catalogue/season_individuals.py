"""Find the individuals that a season's photographs show; those that are not there yet are made."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from animalclef.catalogue.former_names import Name, former_names, last_merged
from animalclef.catalogue.individual_lookup import new_individual
from animalclef.catalogue.schema import individuals
from animalclef.catalogue.signed_changes import Change

__all__ = ["Answer", "SeasonIndividuals"]

logger = logging.getLogger(__name__)


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
