"""A catalogue of photographs in a bucket, opened where there are no copies of them, or no bucket."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from buckets import NO_ANSWER, command, copies, forget, no_answer, remove_copies
from tiny import TINY_SETTINGS, make_tiny_data

import animalclef
from animalclef.catalogue.catalogue_check import check_catalogue
from animalclef.catalogue.catalogue_folder import Catalogue
from animalclef.runtime.remote_files import copies_folder


@pytest.fixture
def kept(store: Any, tmp_path: Path) -> Path:
    """A catalogue of photographs in the bucket; its copies are gone."""
    data = make_tiny_data(tmp_path / "data", datasets=("NewtID",), individuals=4, unknown=1)
    store.put(f"{data}/", "wild/newts/", recursive=True)
    forget()
    config = animalclef.load_config(None, *TINY_SETTINGS)
    animalclef.create_catalogue(tmp_path / "kept", "s3://wild/newts", config=config, device="cpu")
    remove_copies(tmp_path)
    return tmp_path / "kept"


def test_a_catalogue_finds_its_photographs_after_it_or_its_copies_are_gone(
    kept: Path, store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = kept.rename(tmp_path / "moved")
    assert "Changed" not in command("report", moved / "run", "--out", tmp_path / "report.html")
    assert len(copies(tmp_path)) > 1
    remove_copies(tmp_path)
    catalogue = Catalogue(moved)
    assert catalogue.roots() == {1: "s3://wild/newts"}
    assert "missing" not in {one.kind for one in check_catalogue(catalogue)}
    assert copies(tmp_path) == set()
    store.rm(f"wild/newts/{catalogue.table().path[0].removeprefix('photographs/1/')}")
    [missing] = [one for one in check_catalogue(catalogue) if one.kind == "missing"]
    assert missing.sentence.startswith("moved or removed: 1 photograph (first:")
    no_answer(monkeypatch)
    said = command("catalogue", "check", moved)
    assert said.count(NO_ANSWER) == 1
    assert "moved or removed" not in said
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another-machine"))
    shutil.rmtree(moved / "photographs")
    shutil.rmtree(tmp_path / "cache")
    Catalogue(moved)
    assert (moved / "photographs" / "1").resolve() == copies_folder("s3://wild/newts", "photographs").resolve()


def test_a_link_that_was_led_to_another_folder_is_left_alone(kept: Path, tmp_path: Path) -> None:
    link = kept / "photographs" / "1"
    link.unlink()
    link.symlink_to(tmp_path / "data")
    Catalogue(kept)
    assert link.resolve() == (tmp_path / "data").resolve()
    assert not (tmp_path / "cache").exists()
