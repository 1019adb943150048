"""Fixtures for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import why_no_browser
from buckets import gs_endpoint, s3_endpoint, store
from hypothesis import settings
from postgres import PostgresServer, postgres_server, why_no_postgres
from shared_folder import SHARED
from tiny import make_tiny_data, read_csv

__all__ = ["gs_endpoint", "s3_endpoint", "store"]  # fixtures of another file

settings.register_profile("same-cases-everywhere", derandomize=True)
settings.load_profile("same-cases-everywhere")


@pytest.fixture
def tiny_data(tmp_path: Path) -> Path:
    """A folder with two drawn data sets of five known and two unknown animals; see `tiny.make_tiny_data`."""
    return make_tiny_data(tmp_path / "tiny")


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The data and the run of `tiny_run.make_tiny_run`, to be looked at and not changed."""
    from tiny_run import make_tiny_run

    return make_tiny_run(tmp_path_factory.mktemp("tiny-run"))


@pytest.fixture
def unknown_image(tiny_run: tuple[Path, Path]) -> str:
    """The query that could not be read: it has no candidates."""
    return read_csv(tiny_run[0] / "truth.csv")[-1]["image_id"]


@pytest.fixture
def shared(request: pytest.FixtureRequest) -> Path:
    """Return the folder with real photographs and weights; fail a test that asks for it without the marker."""
    if request.node.get_closest_marker("shared") is None:
        pytest.fail(f"{request.node.nodeid} asks for `shared` without @pytest.mark.shared")
    return SHARED


@pytest.fixture(scope="session")
def published_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of random weights in the published layouts; see `published_layouts.fill_bundle`."""
    from published_layouts import fill_bundle

    return fill_bundle(tmp_path_factory.mktemp("published") / "my-weights")


@pytest.fixture(scope="session")
def running_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server of the tests' own."""
    with postgres_server() as running:
        yield running


@pytest.fixture
def server(running_server: PostgresServer) -> Iterator[PostgresServer]:
    """The same, without what earlier tests left in it."""
    yield running_server
    running_server.empty()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `shared`, `browser` or `postgres` where the shared folder or the programs are absent."""
    absent = {
        "shared": "" if SHARED.is_dir() else f"needs {SHARED}, which is not here",
        "browser": why_no_browser(),
        "postgres": why_no_postgres(),
    }
    for item in items:
        for marker, reason in absent.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
