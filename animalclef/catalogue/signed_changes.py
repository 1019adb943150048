"""Signed, reversible changes: an event holds every cell that it changed, before and after."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from animalclef.catalogue.schema import changes, events, individuals, next_id, photographs
from animalclef.errors import DataError
from animalclef.runtime.wording import now

__all__ = ["Change", "Event", "apply_event", "history", "last_to_undo", "undo_event"]

_TABLES = {"photographs": photographs, "individuals": individuals}
_ROWS = 500  # of one statement


@dataclass(frozen=True)
class Change:
    """One cell, before and after."""

    table: str
    row: int
    column: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Event:
    """One signed change of the catalogue."""

    id: int
    when: str
    who: str
    why: str
    kind: str
    told: str
    undoes: int | None
    undone_by: int | None


def apply_event(
    connection: sa.Connection, who: str, why: str, kind: str, told: str, cells: Sequence[Change],
    *, undoes: int | None = None,
) -> int:  # fmt: skip
    """Change the cells and note who did it and why; return the event's number.

    Raises:
        DataError: a cell does not hold what the change expects.
    """
    event = next_id(connection, events)
    values = {"id": event, "when": now(), "who": who, "why": why, "kind": kind, "told": told, "undoes": undoes}
    connection.execute(sa.insert(events).values(**values))
    alike: dict[tuple[str, str, Any, Any], list[int]] = defaultdict(list)
    for one in cells:
        alike[one.table, one.column, one.before, one.after].append(one.row)
    for cell, rows in alike.items():
        _set(connection, *cell, rows)
    if cells:
        connection.execute(sa.insert(changes), [{"event": event, **vars(one)} for one in cells])
    return event


def undo_event(connection: sa.Connection, event: int, who: str, why: str) -> Event:
    """Set every cell of an event back, as an event of its own; return the event that was undone.

    Raises:
        DataError: there is no such event, it was undone already, a later one changed the same cells, or photographs
            that stay show an individual that it made.
    """
    found = {one.id: one for one in history(connection)}
    if event not in found:
        raise DataError(f"event {event}: there is none of this number. See `animalclef catalogue history`.")
    undone = found[event]
    if undone.undone_by is not None:
        raise DataError(f"event {event}: undone already, by event {undone.undone_by}.")
    cells = [
        Change(row.table, row.row, row.column, row.after, row.before)
        for row in connection.execute(sa.select(changes).where(changes.c.event == event).order_by(changes.c.id.desc()))
    ]
    holding = {one.id for one in found.values() if one.undone_by is None and one.kind != "undo"}
    blocked = _later(connection, event, cells, holding)
    if blocked is not None:
        raise DataError(f"event {event}: event {blocked} changed the same later. Undo event {blocked} first.")
    apply_event(connection, who, why, "undo", f"undid event {event}: {undone.told}", cells, undoes=event)
    stray = connection.execute(
        sa.select(photographs.c.id, photographs.c.image_id)
        .join(individuals, photographs.c.individual == individuals.c.id)
        .where(photographs.c.present == 1, individuals.c.state.is_distinct_from("active"))
        .order_by(photographs.c.id)
    ).first()
    if stray is not None:
        of_stray = (changes.c.table == "photographs") & (changes.c.row == stray.id) & (changes.c.event.in_(holding))
        by = connection.execute(sa.select(sa.func.max(changes.c.event)).where(of_stray)).scalar()
        first = "later events" if by is None else f"event {by}"
        raise DataError(
            f"event {event}: other photographs show its individuals (first: {stray.image_id}). Undo {first} first."
        )
    return undone


def history(connection: sa.Connection) -> list[Event]:
    """Return all events, oldest first."""
    rows = connection.execute(sa.select(events).order_by(events.c.id)).all()
    undone: dict[int, int] = {}  # an event and the one that undid it; an undo that was undone counts no more
    for row in reversed(rows):
        if row.undoes is not None and row.id not in undone:
            undone[row.undoes] = row.id
    return [Event(**row._mapping, undone_by=undone.get(row.id)) for row in rows]


def last_to_undo(connection: sa.Connection) -> int:
    """Return the number of the last event that still holds and is no undo.

    Raises:
        DataError: there is none, or it added a whole season, which is only undone by its number.
    """
    standing = [one for one in history(connection) if one.undone_by is None and one.kind != "undo"]
    if not standing:
        raise DataError("There is nothing to undo in this catalogue.")
    last = standing[-1]
    if last.kind == "add":
        raise DataError(
            f"The last change {last.told}. To undo a whole season, give the number of this event: {last.id}."
        )
    return last.id


def _set(connection: sa.Connection, name: str, column: str, before: Any, after: Any, rows: Sequence[int]) -> None:
    table = _TABLES[name]
    cell = table.c[column]
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        statement = sa.update(table).where(table.c.id.in_(some), cell.is_not_distinct_from(before))
        if connection.execute(statement.values({column: after})).rowcount != len(some):
            raise DataError(f"{name}: {column} was changed meanwhile. Look at `animalclef catalogue history` again.")


def _later(connection: sa.Connection, event: int, cells: Sequence[Change], holding: set[int]) -> int | None:
    """Return the first later event that still holds and changed one of the cells."""
    mine = {(one.table, one.row, one.column) for one in cells}
    later = sa.select(changes).where(changes.c.event > event).order_by(changes.c.id)
    hits = (row.event for row in connection.execute(later) if (row.table, row.row, row.column) in mine)
    return next((one for one in hits if one in holding), None)
