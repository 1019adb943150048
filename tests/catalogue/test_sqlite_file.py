"""The SQLite file of a catalogue: two processes, copies, a full disk."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import sqlite3
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from grown import START, empty_catalogue, grow, names_of, two_seasons

from animalclef.catalogue import sqlite_file
from animalclef.catalogue.catalogue_folder import Catalogue
from animalclef.catalogue.sqlite_file import SqliteFile
from animalclef.errors import DataError, OutputError


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return two_seasons(empty_catalogue(tmp_path / "kept"))


def test_what_is_no_catalogue_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no catalogue \(catalogue.db is not there\)"):
        Catalogue(tmp_path)
    (tmp_path / "catalogue.db").write_bytes(b"no database at all, but long enough to be one" * 100)
    with pytest.raises(DataError, match="this is no catalogue, or it is damaged"):
        Catalogue(tmp_path)
    (tmp_path / "catalogue.db").unlink()
    sqlite3.connect(tmp_path / "catalogue.db").close()
    with pytest.raises(DataError, match="this is no catalogue"):
        Catalogue(tmp_path)
    with sqlite3.connect(tmp_path / "catalogue.db") as other:
        other.execute("CREATE TABLE birds (name TEXT)")
    with pytest.raises(DataError, match="this is another program's database"):
        Catalogue(tmp_path, create=True)


def test_a_catalogue_is_begun_again_until_it_has_a_season(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "catalogue.db").close()  # as a process leaves it that ends at once
    kept = Catalogue(tmp_path, create=True)
    Catalogue(tmp_path, create=True)
    grow(kept, 1, [("a", "Luna", "")])
    kept.undo(1, "Ada", "")
    with pytest.raises(DataError, match="there is a catalogue already"):
        Catalogue(tmp_path, create=True)


def _rename_often(folder: Path, individual: str) -> None:
    catalogue = Catalogue(folder)
    for number in range(8):
        catalogue.rename(individual, f"{individual} {number}", "Bob", "")


def test_two_processes_change_one_catalogue_while_it_is_copied(catalogue: Catalogue, tmp_path: Path) -> None:
    catalogue.rename("Luna", "Stella", "Ada", "")
    context = multiprocessing.get_context("fork")
    catalogue.database.engine.dispose()
    both = [context.Process(target=_rename_often, args=(catalogue.folder, one)) for one in ("I1", "I2")]
    for one in both:
        one.start()
    copies = []
    while any(one.is_alive() for one in both):
        copies.append(tmp_path / f"{len(copies)}.db")
        shutil.copyfile(catalogue.folder / "catalogue.backup.db", copies[-1])
        time.sleep(0.01)
    assert [one.exitcode for one in both] == [0, 0]
    events = catalogue.history()
    assert [one.id for one in events] == list(range(1, 3 + 1 + 16))
    for copy in copies:
        with sqlite3.connect(copy) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert database.execute("SELECT count(*) FROM photographs").fetchone() == (5,)
    assert copies


def test_a_backup_is_the_whole_catalogue(catalogue: Catalogue, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    shutil.copyfile(catalogue.folder / "catalogue.backup.db", tmp_path / "other" / "catalogue.db")
    assert names_of(Catalogue(tmp_path / "other")) == START


def test_a_locked_catalogue_is_one_sentence(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    from animalclef.runtime import file_lock

    monkeypatch.setattr(sqlite_file, "locked", lambda path, option: file_lock.locked(path, option, seconds=0.05))
    with (
        file_lock.locked(catalogue.folder / "catalogue.db", ""),
        pytest.raises(OutputError, match="another process has locked it"),
    ):
        catalogue.rename("Luna", "Stella", "Ada", "")


def test_a_full_disk_changes_nothing(catalogue: Catalogue) -> None:
    def half() -> None:
        with catalogue.changing() as connection:
            connection.execute(sa.text("update individuals set name='Half' where id=1"))
            raise sa.exc.OperationalError("insert", {}, sqlite3.OperationalError("database or disk is full"))

    with pytest.raises(OutputError, match="the disk is full; nothing was changed"):
        half()
    assert names_of(catalogue) == START


def test_a_season_that_fills_the_disk_changes_nothing(catalogue: Catalogue) -> None:
    with catalogue.reading() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()

    def small(connection: sqlite3.Connection, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")  # what SQLite takes for the end of the disk

    sa.event.listen(catalogue.database.engine, "connect", small)
    catalogue.database.engine.dispose()
    with pytest.raises(OutputError, match="the disk is full; nothing was changed"):
        grow(catalogue, 3, [(f"x{number}", "Stella", "") for number in range(2_000)])
    sa.event.remove(catalogue.database.engine, "connect", small)
    catalogue.database.engine.dispose()
    assert names_of(catalogue) == START
    assert len(catalogue.history()) == 2
    grow(catalogue, 3, [("x", "Stella", "")])
    assert names_of(catalogue) == START | {"3/x": "Stella"}


def test_details_of_the_database_are_as_documented(catalogue: Catalogue) -> None:
    with SqliteFile(catalogue.folder / "catalogue.db").transaction() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000
        stored = connection.exec_driver_sql("SELECT value FROM meta WHERE name = 'config'").scalar()
    assert json.loads(str(stored))["name"] == "offline"


def test_ten_thousand_photographs_of_one_animal(tmp_path: Path) -> None:
    kept = empty_catalogue(tmp_path / "kept")
    grow(kept, 1, [(str(number), "Luna", "") for number in range(10_000)])
    grow(kept, 2, [("x", "Tara", "")])
    kept.merge("Tara", "Luna", "Ada", "")
    assert set(kept.table().identity) == {"Tara"}
    kept.undo(None, "Ada", "")
    assert len([one for one in kept.table().identity if one == "Luna"]) == 10_000
