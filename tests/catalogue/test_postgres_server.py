"""A catalogue in a PostgreSQL database: its address, locks of several machines, a sentence for each error."""

from __future__ import annotations

import multiprocessing
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from grown import START, empty_catalogue, find, grow, names_of, two_seasons
from postgres import PASSWORD, PostgresServer, program
from tiny import TINY_SETTINGS, make_tiny_data, read_csv, write_csv
from typer.testing import CliRunner

from animalclef.catalogue import postgres_server
from animalclef.catalogue.catalogue_folder import Catalogue
from animalclef.catalogue.postgres_server import parse_address
from animalclef.catalogue.schema import changes, events, individuals, photographs, seasons
from animalclef.cli import app
from animalclef.errors import AnimalClefError, DataError
from animalclef.runtime.database_address import without_password
from animalclef.store.catalogue_places import is_catalogue

pytestmark = pytest.mark.postgres
QUOTED = "s3cret%3Ap%40ss%2Fword"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "seasons.md"


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The password as it is used where an address has none; no other file of passwords is read."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))


@pytest.fixture
def catalogue(server: PostgresServer, tmp_path: Path) -> Catalogue:
    return two_seasons(empty_catalogue(tmp_path / "kept", server.address()))


def on_another_machine(catalogue: Catalogue, folder: Path) -> Catalogue:
    """The same database from a folder that shares nothing else."""
    folder.mkdir()
    shutil.copyfile(catalogue.folder / "catalogue.address", folder / "catalogue.address")
    return Catalogue(folder)


def refused(action: Callable[[], object]) -> str:
    """Return the sentence of an error, which never has the password in it."""
    with pytest.raises(AnimalClefError) as told:
        action()
    assert not {PASSWORD, QUOTED, "s3cret", "wrong-one"} & set(re.split(r"[\s@:/]", str(told.value)))
    assert not re.search("s3cret|wrong-one", str(told.value))
    return f"{type(told.value).__name__}: {told.value}"


def with_password(address: str, text: str = QUOTED) -> str:
    return address.replace("ada@", f"ada:{text}@")


def test_the_address_is_kept_without_its_password(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGPASSWORD")
    address = server.address()
    kept = two_seasons(empty_catalogue(tmp_path / "kept", with_password(address)))
    assert (tmp_path / "kept" / "catalogue.address").read_text() == f"{address}\n"
    assert sorted(one.name for one in (tmp_path / "kept").iterdir()) == ["catalogue.address"]
    assert is_catalogue(tmp_path / "kept")
    kept.database.engine.dispose()
    told = refused(lambda: Catalogue(tmp_path / "kept"))
    assert told.startswith(f"OutputError: {address}: cannot be reached (")
    assert told.endswith("Give the password in PGPASSWORD or ~/.pgpass.")
    monkeypatch.setenv("PGPASSWORD", "wrong-one")
    assert refused(lambda: Catalogue(tmp_path / "kept")).endswith(
        'failed: FATAL: password authentication failed for user "ada"). '
        "Check the user, the password (PGPASSWORD or ~/.pgpass) and the name of the database."
    )
    monkeypatch.delenv("PGPASSWORD")
    (tmp_path / "pgpass").write_text("*:*:*:ada:" + PASSWORD.replace(":", "\\:") + "\n")
    (tmp_path / "pgpass").chmod(0o600)
    assert names_of(Catalogue(tmp_path / "kept")) == START


def test_ids_and_sentences_are_those_of_a_file_also_after_changes_that_were_refused(
    server: PostgresServer, tmp_path: Path
) -> None:
    rows = []
    for name, address in (("file", None), ("server", server.address())):
        kept = two_seasons(empty_catalogue(tmp_path / name, address))
        kept.merge("Luna", "Tara", "Ada", "same spots")
        kept.rename("new_3", "Tara", "Ada", "")
        for _ in range(2):
            with pytest.raises(DataError, match="another individual has this name now"):
                kept.undo(3, "Ada", "")
        with pytest.raises(DataError, match="no name for an individual"):
            kept.split(["1/b"], "N/A", "Ada", "")
        kept.split(["1/b"], None, "Ada", "another tail")
        kept.undo(None, "Bob", "")
        grow(kept, 3, [("x", "Öykü", ""), ("y", None, "")], {"y": (None, 0.1)})
        with pytest.raises(DataError, match="no such individual"):
            find(kept, "I" + "9" * 15)
        kept.confirm(["3/y"], "Ada", "")
        with kept.reading() as connection:
            own = [individuals, photographs, changes, events.c.id, events.c.who, events.c.told, events.c.undoes]
            rows.append([connection.execute(sa.select(one).order_by(sa.text("id"))).all() for one in own[:3]])
            rows[-1].append(connection.execute(sa.select(*own[3:]).order_by(events.c.id)).all())
            rows[-1].append(connection.execute(sa.select(seasons.c.id).order_by(seasons.c.id)).all())
    assert rows[0] == rows[1]
    assert [row.name for row in rows[1][0]] == ["Luna", "Tara", "Tara", "new_4", "Öykü", "new_6"]


@pytest.mark.parametrize(
    "text",
    ["", "newts.db", "sqlite:///newts.db", "mysql://ada:s3cret@host/newts", "postgresql://ada:s3cret@host",
     "postgresql://ada:s3cret@host:port/newts", "postgresql://ada:wrong@s3cret@host/newts"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str, tmp_path: Path) -> None:
    told = refused(lambda: Catalogue(tmp_path / "kept", create=True, address=text))
    assert told.startswith("ConfigError: database: not the address of a PostgreSQL database, such as postgresql://")
    assert not (tmp_path / "kept").exists()


def test_secrets_of_the_query_are_not_kept() -> None:
    address = "postgres://ada:s3cret@[::1]:5433/newts?password=s3cret&sslpassword=s3cret&sslmode=require"
    assert without_password(parse_address(address)) == "postgresql://ada@[::1]:5433/newts?sslmode=require"
    assert without_password(parse_address("postgresql:///newts")) == "postgresql:///newts"


def test_a_server_that_is_not_there_a_driver_and_a_database_that_is_not_there(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(address: str) -> str:
        return refused(lambda: Catalogue(tmp_path / "kept", create=True, address=with_password(address)))

    told = begin("postgresql://ada@127.0.0.1:1/newts")
    assert told.startswith("OutputError: postgresql://ada@127.0.0.1:1/newts: cannot be reached (connection failed")
    assert told.endswith("Check the address, and that the server runs.")
    told = begin(f"postgresql://ada@127.0.0.1:{server.port}/toads")
    assert 'database "toads" does not exist). Check the user, the password' in told
    told = begin(f"postgresql://ada@127.0.0.1:{server.port}/newts?sslmod=require")
    assert 'cannot be reached (invalid connection option "sslmod"). Check the address' in told
    assert not is_catalogue(tmp_path / "kept")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    told = begin("postgresql://ada@127.0.0.1/newts")
    assert told == (
        "ConfigError: postgresql://ada@127.0.0.1/newts: the driver psycopg is not installed. "
        "pip install 'animalclef[postgres]'"
    )


def test_a_database_that_holds_something_else_is_refused(server: PostgresServer, tmp_path: Path) -> None:
    def tables(address: str, *statements: str) -> None:
        server.execute(*statements, database=address.rpartition("/")[2])

    def begin(address: str) -> str:
        return refused(lambda: Catalogue(tmp_path / "kept", create=True, address=address))

    birds, empty = server.address(), server.address()
    server.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1'")
    tables(birds, "CREATE TABLE birds (name TEXT)")
    assert begin(birds) == f"DataError: {birds}: this is another program's database. Give an empty one."
    tables(birds, "CREATE TABLE meta (name TEXT, value TEXT)", "INSERT INTO meta VALUES ('schema', 'first')")
    assert "this is another program's database" in begin(birds)
    tables(birds, "ALTER TABLE meta DROP COLUMN value")
    assert "this is no catalogue, or it is damaged (column meta.value does not exist" in begin(birds)
    told = begin(birds.rpartition("/")[0] + "/latin")
    assert "its encoding is LATIN1, which cannot hold every name. Make one with createdb --encoding UTF8" in told
    assert not is_catalogue(tmp_path / "kept")
    (tmp_path / "kept" / "catalogue.address").write_text(empty)
    assert f"{empty}: this is no catalogue. `animalclef" in refused(lambda: Catalogue(tmp_path / "kept"))
    (tmp_path / "kept" / "catalogue.address").write_text("somewhere\n")
    told = refused(lambda: Catalogue(tmp_path / "kept"))
    assert told.startswith(f"ConfigError: {tmp_path}/kept/catalogue.address: not the address of a PostgreSQL database")


def test_a_catalogue_is_begun_again_in_the_same_place_until_it_has_a_season(
    server: PostgresServer, tmp_path: Path
) -> None:
    address, other = server.address(), server.address()
    kept = Catalogue(tmp_path / "kept", create=True, address=address)
    assert "a catalogue was begun elsewhere" in refused(
        lambda: Catalogue(tmp_path / "kept", create=True, address=other)
    )
    again = Catalogue(tmp_path / "kept", create=True)  # the address is that of the folder
    assert again.database.shown == address
    grow(kept, 1, [("a", "Luna", "")])
    for folder in ("kept", "second"):
        told = refused(lambda folder=folder: Catalogue(tmp_path / folder, create=True, address=address))
        assert "there is a catalogue already" in told
    empty_catalogue(tmp_path / "file")
    told = refused(lambda: Catalogue(tmp_path / "file", create=True, address=other))
    assert told.endswith(f"another folder, or remove {tmp_path}/file/catalogue.db.")


def test_a_user_who_may_only_read_changes_nothing(catalogue: Catalogue, server: PostgresServer, tmp_path: Path) -> None:
    server.execute(f"CREATE ROLE bob LOGIN PASSWORD '{PASSWORD}'")
    with catalogue.reading() as connection:
        connection.exec_driver_sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO bob")
    reader = on_another_machine(catalogue, tmp_path / "bob")
    (reader.folder / "catalogue.address").write_text(catalogue.database.shown.replace("ada@", "bob@"))
    reader = Catalogue(reader.folder)
    assert names_of(reader) == START
    told = refused(lambda: reader.rename("Luna", "Stella", "Bob", ""))
    assert "may not be written (permission denied for table events). Ask who runs the server." in told
    assert names_of(catalogue) == START
    with catalogue.reading() as connection:
        connection.exec_driver_sql("REVOKE USAGE ON SCHEMA public FROM public")
    told = refused(lambda: names_of(Catalogue(reader.folder)))
    assert told.endswith("Ask the server's administrator for GRANT USAGE, CREATE ON SCHEMA public.")


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("DO $$ BEGIN RAISE 'No space left on device' USING ERRCODE = '53100'; END $$",
         "the server's disk is full; nothing was changed. Free some space and run it again."),
        ("SELECT pg_terminate_backend(pg_backend_pid())",
         "terminating connection due to administrator command). See `animalclef catalogue"),
    ],
    ids=["full disk", "lost connection"],
)  # fmt: skip
def test_a_change_that_fails_changes_nothing(catalogue: Catalogue, statement: str, sentence: str) -> None:
    def half() -> None:
        with catalogue.changing() as connection:
            connection.execute(sa.text("update individuals set name='Half' where id=1"))
            connection.exec_driver_sql(statement)

    assert sentence in refused(half)
    assert names_of(catalogue) == START  # by another connection


def test_any_text_comes_back_and_what_is_none_is_one_sentence(catalogue: Catalogue) -> None:
    for name in ("Öykü", "O\u0308yku\u0308", "雪", "🦎🏽", "سحلية", "a'b\"c\\d%s;--", "𝔏𝔲𝔫𝔞"):
        catalogue.rename("I1", name, name, name)
        assert (find(catalogue, name).id, catalogue.history()[-1].why) == (1, name)
    assert "cannot hold this text (" in refused(lambda: catalogue.rename("I1", "Luna", "Ada", "a\0b"))
    long = "".join(chr(0x4E00 + letter * 7 % 20_000) for letter in range(3_000))
    assert "cannot hold this text (index row " in refused(lambda: catalogue.rename("I1", long, "Ada", ""))
    told = refused(lambda: catalogue.rename("I1", "Luna", "Ada", "\udcff"))
    assert told == "DataError: '\\udcff': this is no Unicode text, and cannot be kept."
    assert find(catalogue, "I1").name == "𝔏𝔲𝔫𝔞"


def test_a_catalogue_that_another_machine_changes_is_one_sentence(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_server, "_PATIENCE", "100ms")
    other = on_another_machine(catalogue, tmp_path / "other")
    with other.changing() as connection:
        connection.execute(sa.text("update individuals set name='Half' where id=1"))
        locked = "another process has locked it. Run the same command again later."
        assert locked in refused(lambda: catalogue.rename("Luna", "Stella", "Ada", ""))
        assert names_of(catalogue) == START  # reading waits for nobody
        assert names_of(Catalogue(catalogue.folder)) == START


def test_one_machine_at_a_time_adds_a_season(catalogue: Catalogue, tmp_path: Path) -> None:
    other = on_another_machine(catalogue, tmp_path / "other")

    def add() -> None:
        with other.database.adding():
            grow(other, 3, [("x", "Stella", "")])

    with catalogue.database.adding():
        assert "another process has locked it" in refused(add)
        catalogue.rename("Luna", "Stella", "Ada", "")  # other changes need not wait
    add()
    assert names_of(catalogue)["3/x"] == "Stella"
    told = refused(lambda: grow(catalogue, 3, [("y", "Milo", "")]))  # whose lock was lost as it computed
    assert "another process added this season. Run it again." in told
    assert [one.name for one in catalogue.individuals()] == ["Stella", "Tara", "new_3"]


def test_a_lost_lock_does_not_stop_a_season(catalogue: Catalogue, server: PostgresServer) -> None:
    with catalogue.database.adding():
        name = catalogue.database.shown.rpartition("/")[2]
        server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        grow(catalogue, 3, [("x", "Stella", "")])
    assert names_of(catalogue)["3/x"] == "Stella"


def _rename_often(folder: Path, individual: str) -> None:
    kept = Catalogue(folder)
    for number in range(8):
        kept.rename(individual, f"{individual} {number}", "Bob", "")


def _killed_as_it_adds(folder: Path) -> None:
    kept = Catalogue(folder)
    with kept.database.adding(), kept.changing() as connection:
        connection.execute(sa.insert(seasons).values(id=3, root="x", added=""))
        connection.execute(sa.text("update individuals set name='Half' where id=1"))
        os.kill(os.getpid(), signal.SIGKILL)


def test_two_machines_change_one_catalogue(catalogue: Catalogue, tmp_path: Path) -> None:
    other = on_another_machine(catalogue, tmp_path / "other")
    spawn = multiprocessing.get_context("fork")
    both = [spawn.Process(target=_rename_often, args=pair) for pair in ((catalogue.folder, "I1"), (other.folder, "I2"))]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert [one.exitcode for one in both] == [0, 0]
    assert [one.id for one in catalogue.history()] == list(range(1, 2 + 1 + 16))
    assert [one.name for one in other.individuals()] == ["I1 7", "I2 7", "new_3"]


def test_an_add_that_is_killed_leaves_nothing_and_no_lock(catalogue: Catalogue) -> None:
    killed = multiprocessing.get_context("fork").Process(target=_killed_as_it_adds, args=(catalogue.folder,))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert names_of(catalogue) == START
    grow(catalogue, 3, [("x", "Stella", "")])
    assert names_of(catalogue) == START | {"3/x": "Stella"}


def test_every_command_works_as_with_a_file(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands of the page, with the address of this server; then those that need photographs."""
    data = make_tiny_data(tmp_path / "my-photos", datasets=("NewtID",))
    rows = read_csv(data / "metadata.csv")
    queries = [row for row in rows if row["split"] == "query"]
    named = [row for row in rows if row["split"] == "database"]
    for name, part in (("metadata", [*named, queries[0]]), ("next", queries[1:3])):
        write_csv(data / f"{name}.csv", list(rows[0]), [list(row.values()) for row in part])
    monkeypatch.chdir(tmp_path)
    block = re.search(r"^```console\n(.*?)^```", PAGE.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert block is not None
    address = server.address()
    documented = "postgresql://ada@localhost/newts"
    for line in block[1].splitlines():
        name, *arguments = shlex.split(line.replace(documented, address))
        assert documented in line
        if name == "animalclef":
            run(*arguments, *[part for one in TINY_SETTINGS for part in ("--set", one)], "--device", "cpu")
        else:
            subprocess.run([program(name), *arguments], check=True)
    kept = tmp_path / "my-catalogue"
    assert "Event 2" in run("catalogue", "add", kept, "--data", data / "next.csv", "--device", "cpu")
    photograph = data / queries[0]["path"]
    assert "NewtID_" in run("catalogue", "who", kept, photograph, "--device", "cpu")
    first, second = (one.name for one in Catalogue(kept).individuals()[:2])
    run("catalogue", "merge", kept, first, second, "--why", "same spots")
    run("catalogue", "undo", kept)
    run("catalogue", "confirm", kept)
    assert "same spots" in run("catalogue", "history", kept)
    assert "sides" not in run("catalogue", "check", kept)
    run("catalogue", "export", kept, "--out", tmp_path / "table.csv")
    assert len(read_csv(tmp_path / "table.csv")) == len(named) + 3
    other = on_another_machine(Catalogue(kept), tmp_path / "other")
    assert "NewtID_" in run("catalogue", "who", other.folder, photograph, "--device", "cpu")  # linked there, too
    assert (other.folder / "photographs" / "2").resolve() == data.resolve()
    logs: list[Path] = []
    monkeypatch.setattr("animalclef.review.session.ReviewSession", lambda _, log, *__: logs.append(log.path))
    monkeypatch.setattr("animalclef.review.server.serve", lambda _, bound, __: bound.close())
    run("review", kept)
    assert logs == [kept / "season-2.review.jsonl"]


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output
