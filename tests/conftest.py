"""Fixtures for every test."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings
from tiny import make_tiny_data

settings.register_profile("same-cases-everywhere", derandomize=True)
settings.load_profile("same-cases-everywhere")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def tiny_data(tmp_path: Path) -> Path:
    """A folder with two drawn data sets of five known and two unknown animals; see `tiny.make_tiny_data`."""
    return make_tiny_data(tmp_path / "tiny")


@pytest.fixture
def shared() -> Path:
    """The folder with real photographs and weights; only tests marked `shared` ask for it."""
    return SHARED


@pytest.fixture(scope="session")
def published_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of random weights in the published layouts; see `published_layouts.fill_bundle`."""
    from published_layouts import fill_bundle

    return fill_bundle(tmp_path_factory.mktemp("published") / "my-weights")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `shared` where the shared folder is absent."""
    if SHARED.is_dir():
        return
    absent = pytest.mark.skip(reason=f"needs {SHARED}, which is not here")
    for item in items:
        if item.get_closest_marker("shared"):
            item.add_marker(absent)
