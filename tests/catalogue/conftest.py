"""Catalogues in either kind of database."""

from __future__ import annotations

from pathlib import Path

import pytest
from grown import Begin, empty_catalogue, two_seasons
from postgres import PASSWORD

from animalclef.catalogue.catalogue_folder import Catalogue


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def begin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Begin:
    """A function that makes an empty catalogue in a folder."""

    def begin_in(folder: Path) -> Catalogue:
        if request.param == "sqlite":
            return empty_catalogue(folder)
        monkeypatch.setenv("PGPASSWORD", PASSWORD)
        return empty_catalogue(folder, request.getfixturevalue("server").address())

    return begin_in


@pytest.fixture
def catalogue(begin: Begin, tmp_path: Path) -> Catalogue:
    """Luna (2 photographs) and Tara in season 1; in season 2 one recognised as Luna and one new."""
    return two_seasons(begin(tmp_path / "kept"))
