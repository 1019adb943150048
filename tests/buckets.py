"""Buckets on a real S3 server and on an emulator of Google's, both in this process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from animalclef.cli.app import app
from animalclef.runtime.bucket import bucket_of
from animalclef.runtime.remote_files import _failed, _remote_of

__all__ = [
    "NO_ANSWER", "command", "copies", "forget", "gs_endpoint", "no_answer", "remove_copies", "s3_endpoint", "store",
]  # fmt: skip

NO_ANSWER = "s3://wild/newts: the store gives no answer"


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """The address of an S3 server."""
    server = pytest.importorskip("moto.server", reason="needs moto's server, of the extra dev")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture(scope="module")
def gs_endpoint() -> Iterator[str]:
    """The address of an emulator of Google's storage."""
    emulator = pytest.importorskip("gcp_storage_emulator.server", reason="needs gcp-storage-emulator, of the extra dev")
    running = emulator.create_server("127.0.0.1", 0, in_memory=True)
    running.start()
    yield f"http://127.0.0.1:{running._api._httpd.server_port}"
    running.stop()


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty bucket called `wild`, and no copies of it; an S3 server's where a test asks for no other."""
    fsspec = pytest.importorskip("fsspec")
    pytest.importorskip("s3fs", reason="needs pip install 'animalclef[s3]'")
    scheme = getattr(request, "param", "s3")
    endpoint = request.getfixturevalue(f"{scheme}_endpoint")
    for name in list(os.environ):
        if name.startswith(("AWS_", "GOOGLE_")):
            monkeypatch.delenv(name)
    settings = {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "secret",
                "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": str(tmp_path / "none"),
                "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"), "NO_PROXY": "*",
                "XDG_CACHE_HOME": str(tmp_path / "cache")}  # fmt: skip
    if scheme == "gs":  # the emulator has neither accounts nor folders (hierarchical namespaces)
        settings |= {"STORAGE_EMULATOR_HOST": endpoint, "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}
        monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    forget()
    system = fsspec.filesystem(scheme, use_listings_cache=False)
    system.mkdir("wild")
    yield system
    system.rm("wild", recursive=True)


def forget() -> None:
    """Forget connections and folders of copies, as another process has none."""
    import fsspec

    bucket_of.cache_clear()
    _remote_of.cache_clear()
    _failed.clear()
    for system in fsspec.registry.values():
        system.clear_instance_cache()


def no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the S3 server give no answer from now on."""
    forget()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")


def copies(tmp_path: Path) -> set[str]:
    """Return the names of the photographs that have copies."""
    return {path.name for path in (tmp_path / "cache").rglob("*.jpg")}


def remove_copies(tmp_path: Path) -> None:
    """Remove all copies, as on a machine that never had any."""
    shutil.rmtree(tmp_path / "cache")
    forget()


def command(*arguments: object) -> str:
    """Run a command that succeeds; return what it prints, in one line."""
    result = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())
