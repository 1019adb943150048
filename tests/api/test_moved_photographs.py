"""Photographs that are no longer where the run found them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_run import copy_run

import animalclef as ac


@pytest.fixture
def moved(tiny_run: tuple[Path, Path], tmp_path: Path) -> Path:
    """A run whose photographs have moved."""
    run = copy_run(tiny_run[1], tmp_path / "run")
    settings = json.loads((run / "finished.json").read_text())
    (run / "finished.json").write_text(json.dumps(settings | {"root": str(tmp_path / "gone")}))
    return run


def test_show_warns_once_and_says_how_to_give_their_folder(
    tiny_run: tuple[Path, Path], moved: Path, unknown_image: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = ac.load_run(moved)
    query = run.predictions.image_id[0]
    run.show(query, candidates=2)
    [told] = caplog.messages
    assert told.startswith(f"3 of the 3 photographs shown are missing from {moved.parent / 'gone'}, or have ch")
    assert told.endswith("give their folder with --data (in Python: load_run(run, data=...)).")
    caplog.clear()
    run.show(unknown_image)  # which the run skipped
    ac.load_run(moved, data=tiny_run[0]).show(query, candidates=2)
    assert caplog.messages == []


def test_report_warns_once_with_their_number(moved: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ac.load_run(moved).report(tmp_path / "report.html")
    [told] = caplog.messages
    assert told.startswith("Changed or removed since the run: ")
    assert "load_run(run, data=...)" in told
