"""A PostgreSQL server of the tests' own, on a free port of this machine."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["PASSWORD", "PostgresServer", "postgres_server", "program", "why_no_postgres"]

PASSWORD = "s3cret:p@ss/word"
_SETTINGS = ("fsync=off", "listen_addresses=127.0.0.1", "unix_socket_directories=", "shared_buffers=16MB")


@dataclass
class PostgresServer:
    """A running server; its superuser is `ada`."""

    port: int
    _free: list[str] = field(default_factory=list)
    _used: list[str] = field(default_factory=list)

    def execute(self, *statements: str, database: str = "postgres") -> list[Any]:
        """Run statements as the superuser; return the rows of the last."""
        import psycopg

        login = {"host": "127.0.0.1", "port": self.port, "user": "ada", "password": PASSWORD}
        with psycopg.connect(**login, dbname=database, autocommit=True) as connection:
            cursors = [connection.execute(one) for one in statements]
            return list(cursors[-1].fetchall()) if cursors[-1].description else []

    def address(self) -> str:
        """Return the address of an empty database, without the password."""
        if not self._free:
            self._free.append(f"newts_{len(self._used)}")
            self.execute(f"CREATE DATABASE {self._free[-1]} TEMPLATE template0")
        self._used.append(self._free.pop())
        return f"postgresql://ada@127.0.0.1:{self.port}/{self._used[-1]}"

    def empty(self) -> None:
        """Empty the databases whose addresses were given, for the next test."""
        for name in self._used:
            sessions = f"FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
            self.execute(
                f"SELECT pg_terminate_backend(pid) {sessions}", "DROP SCHEMA public CASCADE", "CREATE SCHEMA public",
                "GRANT USAGE ON SCHEMA public TO public",
                database=name,
            )  # fmt: skip
        self._free += self._used
        self._used.clear()


def why_no_postgres() -> str:
    """What is missing; empty where a server can be started."""
    if find_spec("psycopg") is None:
        return "needs psycopg, which is not installed"
    return "" if program("initdb") else "needs PostgreSQL's programs (Debian: apt-get install postgresql)"


def program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs; empty where it is not here."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name) or next((found for one in folders if (found := shutil.which(name, path=one))), "")


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Start a server in a folder of its own; it is stopped and removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="animalclef-postgres-"))
    secret, data = folder / "password", folder / "data"
    secret.write_text(PASSWORD)
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        someone = next(one for one in pwd.getpwall() if one.pw_name in ("postgres", "nobody"))
        as_user = {"user": someone.pw_uid, "group": someone.pw_gid}
        for path in (folder, secret):
            os.chown(path, someone.pw_uid, someone.pw_gid)
    quiet: dict[str, Any] = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, **as_user}
    first = [program("initdb"), "--pgdata", data, "--username=ada", "--auth=scram-sha-256", f"--pwfile={secret}"]
    server = None
    try:
        subprocess.run([*first, "--encoding=UTF8", "--locale=C", "--no-sync"], check=True, **quiet)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = [part for one in _SETTINGS for part in ("-c", one)]
        server = subprocess.Popen([program("postgres"), "-D", data, "-p", str(port), *settings], **quiet)
        running = PostgresServer(port)
        _wait(running, server)
        yield running
    finally:
        if server is not None:
            server.send_signal(signal.SIGQUIT)  # at once: nothing is kept
            server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(running: PostgresServer, server: subprocess.Popen[bytes]) -> None:
    import psycopg

    for _ in range(300):
        try:
            running.execute("SELECT 1")
        except psycopg.OperationalError:
            assert server.poll() is None, "the server ended as it started"
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("the server does not answer")
