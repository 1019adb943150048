"""A `Run` whose folder was moved, or holds another run by now, is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import animalclef as ac
from animalclef.errors import RunError

LATER: dict[str, Callable[[ac.Run, Path], Any]] = {
    "clusters": lambda run, _: run.clusters,
    "show": lambda run, _: run.show(run.predictions.image_id[0]),
    "report": lambda run, to: run.report(to / "report.html"),
    "to_submission": lambda run, to: run.to_submission(to / "submission.csv"),
    "pseudo_queries": lambda run, _: run.finished.pseudo_queries,
    "raw scores": lambda run, _: run.finished.candidates,
    "sources": lambda run, _: run.finished.sources,
    "order": lambda run, _: run.finished.order,
    "encounters": lambda run, _: run.finished.encounters,
    "cluster": lambda run, _: ac.cluster(run),
    "tune_decision": lambda run, _: ac.tune_decision(run, trials=1),
    "ensemble": lambda run, _: ac.ensemble([run, run]),
}


@pytest.fixture
def opened(tiny_run: tuple[Path, Path], tmp_path: Path) -> ac.Run:
    shutil.copytree(tiny_run[1], tmp_path / "run")
    return ac.load_run(tmp_path / "run")


@pytest.mark.parametrize("what", LATER)
def test_another_run_in_the_folder_is_refused(opened: ac.Run, tmp_path: Path, what: str) -> None:
    settings = json.loads((opened.path / "finished.json").read_text())
    (opened.path / "finished.json").write_text(json.dumps(settings | {"scores": "of another run"}))
    with pytest.raises(RunError, match="run: this run was changed meanwhile"):
        LATER[what](opened, tmp_path)


@pytest.mark.parametrize("what", LATER)
def test_a_folder_that_is_gone_is_told(opened: ac.Run, tmp_path: Path, what: str) -> None:
    opened.path.rename(tmp_path / "moved")
    with pytest.raises(RunError, match="run: no such folder"):
        LATER[what](opened, tmp_path)
