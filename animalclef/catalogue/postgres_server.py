"""A catalogue's tables in a PostgreSQL database, which several machines may share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from animalclef.catalogue.schema import Database
from animalclef.errors import ConfigError, DataError, OutputError
from animalclef.runtime.database_address import without_password

__all__ = ["PostgresServer", "parse_address"]

_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
_DEFAULTS = {"client_encoding": "utf8", "connect_timeout": 10, "keepalives_idle": 60, "application_name": "animalclef"}
_PATIENCE = "30s"
_CHANGE, _SEASON = 1, 2  # what is locked, as the second half of an advisory lock's key
_LOCK = 0x616E696D  # the first half
_CAUSES = {
    "53100": "the server's disk is full; nothing was changed. Free some space and run it again.",
    "55P03": "another process has locked it. Run the same command again later.",
}
_NO_WRITING = ("25006", "42501")  # a read-only server; a user without the right
_TOO_LONG = "54000"  # for an index, such as a name of some thousand letters


class PostgresServer(Database):
    """A database on a PostgreSQL server; its own locks hold for every machine."""

    def __init__(self, address: sa.URL, *, create: bool = False) -> None:
        settings = {name: value for name, value in _DEFAULTS.items() if name not in address.query}
        try:
            engine = sa.create_engine(
                address.set(drivername="postgresql+psycopg"), pool_pre_ping=True, isolation_level="READ COMMITTED",
                connect_args=settings,
            )  # fmt: skip
        except ImportError as error:
            raise ConfigError(
                f"{without_password(address)}: the driver psycopg is not installed. pip install 'animalclef[postgres]'"
            ) from error
        shown = without_password(address)
        super().__init__(shown, engine, create=create, elsewhere="Give an empty one.")

    @contextmanager
    def changing(self) -> Iterator[sa.Connection]:
        """Hold the database for one change: all of it is written, or nothing.

        Raises:
            OutputError: another process has held it for 30 seconds, or the server cannot write.
        """
        with self.transaction() as connection:
            self._hold(connection)
            yield connection

    @contextmanager
    def adding(self) -> Iterator[None]:
        """Hold what one process at a time does: computing a season. A lost connection gives it up.

        Raises:
            OutputError: another process does it, or the server cannot be reached.
        """
        with ExitStack() as stack:
            with self._sentences():
                held = stack.enter_context(self.engine.connect()).execution_options(isolation_level="AUTOCOMMIT")
                # The server frees what a lost machine held some minutes later.
                held.exec_driver_sql("SET tcp_keepalives_idle = 60")
                if not held.execute(sa.select(sa.func.pg_try_advisory_lock(_LOCK, _SEASON))).scalar():
                    raise OutputError(f"{self.shown}: {_CAUSES['55P03']}")
            try:
                yield
            finally:
                with suppress(SQLAlchemyError):  # a connection that was lost holds nothing
                    held.execute(sa.select(sa.func.pg_advisory_unlock(_LOCK, _SEASON)))

    def _hold(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_PATIENCE}'")
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK, _CHANGE)))

    def _bring_up(self, connection: sa.Connection, *, create: bool, elsewhere: str) -> None:
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
        if encoding != "UTF8":
            raise DataError(
                f"{self.shown}: its encoding is {encoding}, which cannot hold every name. Make one with "
                "createdb --encoding UTF8 --template template0."
            )
        if connection.exec_driver_sql("SELECT current_schema()").scalar() is None:
            raise OutputError(
                f"{self.shown}: this user has no right to any schema of the database. Ask the server's administrator "
                "for GRANT USAGE, CREATE ON SCHEMA public."
            )
        super()._bring_up(connection, create=create, elsewhere=elsewhere)

    def _sentence(self, error: SQLAlchemyError, cause: str) -> DataError | OutputError:
        origin: Any = getattr(error, "orig", None)
        state = getattr(origin, "sqlstate", None)
        if state in _CAUSES:
            return OutputError(f"{self.shown}: {_CAUSES[state]}")
        if state in _NO_WRITING:
            return OutputError(f"{self.shown}: may not be written ({cause}). Ask who runs the server.")
        if getattr(error, "connection_invalidated", False):
            advice = "See `animalclef catalogue history`, then run it again."
            return OutputError(f"{self.shown}: the connection was lost ({cause}). {advice}")
        if isinstance(error, sa.exc.DataError) or state == _TOO_LONG:
            return DataError(f"{self.shown}: cannot hold this text ({cause}).")
        if state is None:  # the server was never asked
            return OutputError(f"{self.shown}: cannot be reached ({cause}). {_advice(getattr(origin, 'pgconn', None))}")
        return DataError(f"{self.shown}: this is no catalogue, or it is damaged ({cause}). Restore a backup.")


def parse_address(text: str, source: str = "database") -> sa.URL:
    """Return an address of a database; no message repeats it, as it may hold a password.

    Raises:
        ConfigError: it is no address of a PostgreSQL database.
    """
    with suppress(ArgumentError, ValueError):
        address = sa.make_url(text.strip())
        if address.drivername in _SCHEMES and address.database and "@" not in (address.host or ""):
            return address.set(drivername="postgresql")
    raise ConfigError(
        f"{source}: not the address of a PostgreSQL database, such as postgresql://USER@HOST/NAME. In a password "
        "write %40 for @, %3A for : and %2F for /."
    )


def _advice(attempt: Any) -> str:
    """Return what to do about a connection that was not made."""
    if getattr(attempt, "needs_password", False):
        return "Give the password in PGPASSWORD or ~/.pgpass."
    if getattr(attempt, "used_password", False):
        return "Check the user, the password (PGPASSWORD or ~/.pgpass) and the name of the database."
    return "Check the address, and that the server runs."
