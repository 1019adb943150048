"""A PostgreSQL server of the tests' own, on a free port of this machine."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

__all__ = ["PASSWORD", "PostgresServer", "postgres_server", "program", "why_no_postgres"]

PASSWORD = "s3cret:p@ss/word"
_SETTINGS = ("fsync=off", "listen_addresses=127.0.0.1", "unix_socket_directories=", "shared_buffers=16MB")


@dataclass(frozen=True)
class PostgresServer:
    """A running server; its superuser is `ada`."""

    port: int
    _numbers: Iterator[int]

    @cached_property
    def _admin(self) -> Any:
        import psycopg

        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="ada", password=PASSWORD, dbname="postgres", autocommit=True
        )

    def execute(self, statement: str) -> list[Any]:
        """Run a statement as the superuser; return its rows."""
        cursor = self._admin.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []

    def address(self, more: str = "") -> str:
        """Make a database; return its address without the password."""
        name = f"newts_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0 {more}")
        return f"postgresql://ada@127.0.0.1:{self.port}/{name}"


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
        running = PostgresServer(port, count(1))
        _wait(running, server)
        yield running
    finally:
        if server is not None:
            server.send_signal(2)  # a fast shutdown: sessions are ended
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
