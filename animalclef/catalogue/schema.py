"""The tables of a catalogue, their versions, and what any database of them does."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from animalclef.errors import DataError, OutputError

__all__ = [
    "SCHEMA", "Database", "changes", "events", "individuals", "meta", "next_id", "photographs", "put_meta", "seasons",
]  # fmt: skip

_tables = sa.MetaData()

meta = sa.Table("meta", _tables, sa.Column("name", sa.Text, primary_key=True), sa.Column("value", sa.Text))
"""`schema` (version of these tables), `config` and `decision` (JSON)."""

seasons = sa.Table(
    "seasons", _tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("root", sa.Text, nullable=False),  # where the photographs' paths start: a folder, or its address
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
    sqlite_where=individuals.c.state == "active", postgresql_where=individuals.c.state == "active",
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
    sa.Column("extra", sa.Text, nullable=False, server_default=""),  # JSON: cells of the table's further columns
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


def _second(connection: sa.Connection) -> None:
    """Version 2: `retrieve.same_viewpoint` that may be chosen is `auto`; it was `false` before."""
    config = json.loads(connection.execute(sa.select(meta.c.value).where(meta.c.name == "config")).scalar() or "{}")
    if config.get("retrieve", {}).get("same_viewpoint") is False:
        config["retrieve"]["same_viewpoint"] = "auto"
        put_meta(connection, "config", json.dumps(config))


def _third(connection: sa.Connection) -> None:
    """Version 3: photographs keep the further columns of their table; a catalogue that is begun has the column."""
    if "extra" not in {column["name"] for column in sa.inspect(connection).get_columns("photographs")}:
        connection.exec_driver_sql("ALTER TABLE photographs ADD COLUMN extra TEXT NOT NULL DEFAULT ''")


_MIGRATIONS: tuple[Callable[[sa.Connection], None], ...] = (_first, _second, _third)
"""Each brings a database from the version of its place to the next; none is ever changed or removed."""

SCHEMA = len(_MIGRATIONS)


class Database(ABC):
    """Where the tables of a catalogue are.

    Raises:
        DataError: it holds no catalogue, is damaged, or a newer version made it.
        OutputError: it cannot be opened.
    """

    def __init__(self, shown: str, engine: sa.Engine, *, create: bool, elsewhere: str) -> None:
        self.shown, self.engine = shown, engine
        with self.transaction() as connection:
            if _version(connection) != SCHEMA:
                self._hold(connection)
                self._bring_up(connection, create=create, elsewhere=elsewhere)

    @abstractmethod
    def changing(self) -> AbstractContextManager[sa.Connection]:
        """Hold the database for one change: all of it is written, or nothing."""

    @abstractmethod
    def adding(self) -> AbstractContextManager[None]:
        """Hold what one process at a time does: computing a season."""

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Open a transaction; an error of the database is one sentence."""
        with self._sentences(), self.engine.begin() as connection:
            yield connection

    @abstractmethod
    def _hold(self, connection: sa.Connection) -> None:
        """Keep others from changing the database until this transaction ends."""

    @abstractmethod
    def _sentence(self, error: SQLAlchemyError, cause: str) -> DataError | OutputError:
        """Return one sentence for an error of the database."""

    def _is_bug(self, error: SQLAlchemyError) -> bool:
        """Return whether the database was asked wrongly, by this program or by who called it."""
        return not isinstance(error, DBAPIError | sa.exc.TimeoutError)

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            if self._is_bug(error):
                raise
            cause = " ".join((str(getattr(error, "orig", None) or error).splitlines() or [""])[0].split())
            if isinstance(error, IntegrityError) and "seasons" in cause:
                raise OutputError(f"{self.shown}: another process added this season. Run it again.") from error
            if isinstance(error, IntegrityError):
                if not _is_second(error, cause):  # such as no text where one is needed
                    raise
                sentence = "another individual has this name now. Rename one of them first."
                raise DataError(f"{self.shown}: {sentence}") from error
            raise self._sentence(error, cause) from error
        except UnicodeEncodeError as error:
            raise DataError(f"{error.object!a}: this is no Unicode text, and cannot be kept.") from error

    def _bring_up(self, connection: sa.Connection, *, create: bool, elsewhere: str) -> None:
        """Make the tables, or bring older ones to the present version."""
        version = _version(connection)
        if version is None and not create:
            raise DataError(f"{self.shown}: this is no catalogue. `animalclef catalogue create` makes one.")
        if version is None and sa.inspect(connection).get_table_names():
            raise DataError(f"{self.shown}: this is another program's database. {elsewhere}")
        if version is not None and version > SCHEMA:
            raise DataError(f"{self.shown}: made by a newer version of animalclef (tables {version}). Update this one.")
        for number in range(version or 0, SCHEMA):
            _MIGRATIONS[number](connection)
            put_meta(connection, "schema", str(number + 1))


def put_meta(connection: sa.Connection, name: str, value: str) -> None:
    """Set one of the catalogue's own settings."""
    connection.execute(sa.delete(meta).where(meta.c.name == name))
    connection.execute(sa.insert(meta).values(name=name, value=value))


def next_id(connection: sa.Connection, table: sa.Table) -> int:
    """Return the id of the next row, one above the highest; no row is ever removed."""
    return (connection.execute(sa.select(sa.func.max(table.c.id))).scalar() or 0) + 1


def _is_second(error: IntegrityError, cause: str) -> bool:
    """Return whether a value is there already, where it may stand once."""
    return getattr(error.orig, "sqlstate", None) == "23505" or "UNIQUE" in cause


def _version(connection: sa.Connection) -> int | None:
    """Return the version of the tables; `None` where they are not a catalogue's."""
    if not sa.inspect(connection).has_table("meta"):
        return None
    value = connection.execute(sa.select(meta.c.value).where(meta.c.name == "schema")).scalar()
    return int(value) if value is not None and value.isdecimal() else None
