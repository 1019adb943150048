"""The database of a catalogue: its tables, their versions, and how it is opened."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from animalclef.errors import DataError, OutputError

__all__ = [
    "SCHEMA", "changes", "database_error", "events", "individuals", "meta", "open_database", "photographs", "put_meta",
    "seasons", "snapshot",
]  # fmt: skip

_BUSY_MS = 30_000

_tables = sa.MetaData()

meta = sa.Table("meta", _tables, sa.Column("name", sa.Text, primary_key=True), sa.Column("value", sa.Text))
"""`schema` (version of these tables), `config` and `decision` (JSON)."""

seasons = sa.Table(
    "seasons", _tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("root", sa.Text, nullable=False),  # the folder that the photographs' paths start at
    sa.Column("added", sa.Text, nullable=False),
)  # fmt: skip

individuals = sa.Table(
    "individuals", _tables,
    sa.Column("id", sa.Integer, primary_key=True),  # never changes, and never is given again
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("state", sa.Text),  # active; merged (into `into`); null: taken back
    sa.Column("into", sa.Integer, sa.ForeignKey("individuals.id")),
    sqlite_autoincrement=True,
)  # fmt: skip
sa.Index(
    "one_name", individuals.c.dataset, individuals.c.name, unique=True,
    sqlite_where=individuals.c.state == "active",
)  # fmt: skip

photographs = sa.Table(
    "photographs", _tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("image_id", sa.Text, nullable=False, unique=True),  # SEASON/ID: never changes
    sa.Column("season", sa.Integer, sa.ForeignKey("seasons.id"), nullable=False),
    sa.Column("key", sa.Text, nullable=False, index=True),  # digest of its content
    *(sa.Column(name, sa.Text, nullable=False)
      for name in ("path", "dataset", "date", "viewpoint", "species", "encounter", "bbox", "mask")),
    sa.Column("individual", sa.Integer, sa.ForeignKey("individuals.id"), index=True),
    sa.Column("confirmed", sa.Integer, nullable=False),  # 1: a person named it; only these are compared with
    sa.Column("probability", sa.Float),  # of the program's answer; null where a person named it
    sa.Column("present", sa.Integer),  # 1; 0: its season was taken back
    sa.Column("fitted", sa.Integer, nullable=False, server_default="0"),  # 1: the embedding was fitted on it
)  # fmt: skip

events = sa.Table(
    "events", _tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("when", sa.Text, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("told", sa.Text, nullable=False),  # one sentence: what was changed
    sa.Column("undoes", sa.Integer, sa.ForeignKey("events.id")),
)  # fmt: skip

changes = sa.Table(
    "changes", _tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("event", sa.Integer, sa.ForeignKey("events.id"), nullable=False, index=True),
    sa.Column("table", sa.Text, nullable=False),
    sa.Column("row", sa.Integer, nullable=False),
    sa.Column("column", sa.Text, nullable=False),
    sa.Column("before", sa.JSON(none_as_null=True)),
    sa.Column("after", sa.JSON(none_as_null=True)),
)  # fmt: skip


def _first(connection: sa.Connection) -> None:
    """Version 1: all tables."""
    _tables.create_all(connection)


_MIGRATIONS: tuple[Callable[[sa.Connection], None], ...] = (_first,)
"""Each brings a database from the version of its place to the next; none is ever changed or removed."""

SCHEMA = len(_MIGRATIONS)


def open_database(path: Path, *, create: bool = False) -> sa.Engine:
    """Open a database, and bring an older one to the present version.

    Raises:
        DataError: it is no catalogue, is damaged, or a newer version made it.
        OutputError: it cannot be opened.
    """
    engine, shown = sa.create_engine(f"sqlite:///{path}"), str(path)
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.begin() as connection:
            version = _version(connection)
            if version is None and not create:
                raise DataError(f"{shown}: this is no catalogue. `animalclef catalogue create` makes one.")
            if version is None and sa.inspect(connection).get_table_names():
                raise DataError(f"{shown}: this is another program's database. Choose another folder.")
            if version is not None and version > SCHEMA:
                raise DataError(f"{shown}: made by a newer version of animalclef (tables {version}). Update this one.")
            for number in range(version or 0, SCHEMA):
                _MIGRATIONS[number](connection)
                put_meta(connection, "schema", str(number + 1))
    except SQLAlchemyError as error:
        raise database_error(shown, error) from error
    return engine


def put_meta(connection: sa.Connection, name: str, value: str) -> None:
    """Set one of the catalogue's own settings."""
    connection.execute(sa.delete(meta).where(meta.c.name == name))
    connection.execute(sa.insert(meta).values(name=name, value=value))


def database_error(shown: str, error: SQLAlchemyError) -> DataError | OutputError:
    """Return one sentence for an error of the database."""
    cause = str(getattr(error, "orig", None) or error).splitlines()[0]
    if "full" in cause:
        return OutputError(f"{shown}: the disk is full; nothing was changed. Free some space and run it again.")
    if "locked" in cause or "readonly" in cause or "unable to open" in cause:
        return OutputError(f"{shown}: cannot be written ({cause}). Run the same command again later.")
    return DataError(f"{shown}: this is no catalogue, or it is damaged ({cause}). Restore catalogue.backup.db.")


def snapshot(database: Path, to: Path) -> None:
    """Write a whole copy of a database under another name, which may be copied at any time."""
    part = to.with_name(f".{to.name}.part")
    part.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(database, timeout=_BUSY_MS / 1000)) as source, closing(
            sqlite3.connect(part)
        ) as target:  # fmt: skip
            source.backup(target)
        part.replace(to)
    except (sqlite3.Error, OSError) as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"{to}: the copy cannot be written ({error}). The catalogue itself is saved.") from error


def _version(connection: sa.Connection) -> int | None:
    if not sa.inspect(connection).has_table("meta"):
        return None
    value = connection.execute(sa.select(meta.c.value).where(meta.c.name == "schema")).scalar()
    return None if value is None else int(value)


def _prepare(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions are begun by the listener above
    for pragma in ("journal_mode=WAL", f"busy_timeout={_BUSY_MS}", "foreign_keys=ON", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
