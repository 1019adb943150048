"""A catalogue's tables in an SQLite file, `catalogue.db`, beside a copy that may be copied at any time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import InterfaceError, ProgrammingError, SQLAlchemyError

from animalclef.catalogue.schema import Database
from animalclef.errors import DataError, OutputError
from animalclef.runtime.file_lock import locked

__all__ = ["SqliteFile"]

_BUSY_MS = 30_000


class SqliteFile(Database):
    """An SQLite file; locks are files beside it."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self._path = path
        engine = sa.create_engine(f"sqlite:///{path.resolve()}")
        sa.event.listen(engine, "connect", _prepare)
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        super().__init__(str(path), engine, create=create, elsewhere="Choose another folder.")

    @contextmanager
    def changing(self) -> Iterator[sa.Connection]:
        """Hold the file for one change: all of it is written, or nothing.

        Raises:
            OutputError: another process has held it for 30 seconds, or the disk is full.
        """
        with locked(self._path, "the catalogue"):
            with self.transaction() as connection:
                yield connection
            _snapshot(self._path, self._path.with_name("catalogue.backup.db"))

    def adding(self) -> AbstractContextManager[None]:
        """Hold what one process at a time does: computing a season."""
        return locked(self._path.with_name("season"), "the catalogue", seconds=0.0)

    def _hold(self, connection: sa.Connection) -> None:
        """Do nothing: the transaction holds the file since it began."""

    def _is_bug(self, error: SQLAlchemyError) -> bool:
        """Return whether the file was asked wrongly; it calls neither damage nor a lock so."""
        return super()._is_bug(error) or isinstance(error, ProgrammingError | InterfaceError)

    def _sentence(self, error: SQLAlchemyError, cause: str) -> DataError | OutputError:
        if "full" in cause:
            return OutputError(
                f"{self.shown}: the disk is full; nothing was changed. Free some space and run it again."
            )
        if "locked" in cause or "readonly" in cause or "unable to open" in cause:
            return OutputError(f"{self.shown}: cannot be written ({cause}). Run the same command again later.")
        return DataError(
            f"{self.shown}: this is no catalogue, or it is damaged ({cause}). Restore catalogue.backup.db."
        )


def _snapshot(database: Path, to: Path) -> None:
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


def _prepare(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions are begun by the listener above
    for pragma in ("journal_mode=WAL", f"busy_timeout={_BUSY_MS}", "foreign_keys=ON", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
