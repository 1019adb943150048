"""Matches are found again with the run's matcher, from the folder of weights that is given; without it none are."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_run import copy_run
from typer.testing import CliRunner

from animalclef.cli import app
from animalclef.config import load_config
from animalclef.report import draw_query, load_run
from animalclef.report import match_view as matches
from animalclef.report.match_view import Matches, matcher_of
from animalclef.structures import Correspondences


def superglue_run(run: Path, to: Path) -> Path:
    """A copy of a run whose settings say that SuperGlue matched it."""
    copy_run(run, to)
    told = json.loads((to / "finished.json").read_text())
    told["config"]["keypoints"]["extractor"] = "superpoint"
    told["config"]["rerank"]["matcher"] = "superglue"
    (to / "finished.json").write_text(json.dumps(told))
    return to


def weights_in(folder: Path) -> Path:
    folder.mkdir()
    save_file({"bin_score": torch.zeros(1)}, folder / "superglue-outdoor.safetensors")
    return folder


def test_without_transformers_the_picture_appears_without_lines_and_with_a_warning(
    tiny_run: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    run = load_run(superglue_run(tiny_run[1], tmp_path / "run"))
    drawn = draw_query(run, str(run.images.queries.image_id[0]), 1, weights=weights_in(tmp_path / "weights"))
    assert drawn.std() > 0
    assert "Matches cannot be drawn: rerank.matcher superglue needs transformers" in caplog.text
    assert not Matches(run, weights=tmp_path / "weights").are_there


def test_the_folder_of_weights_is_looked_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    config = load_config(None, ["keypoints.extractor=superpoint", "rerank.matcher=superglue"])
    assert matcher_of(config, tmp_path / "empty") is None
    assert "transformers" not in caplog.text  # the file was not found
    assert matcher_of(config, weights_in(tmp_path / "weights")) is None
    assert "needs transformers" in caplog.text  # it was


class _Nothing:
    def correspondences(self, query: Any, candidate: Any) -> Correspondences:
        none = np.zeros((0, 2), np.float32)
        return Correspondences(none, none, np.zeros(0, np.float32), np.zeros(0, bool))


@pytest.mark.parametrize("command", ["show", "report", "evaluate"])
def test_each_command_hands_its_weights_to_the_matcher(
    command: str, tiny_run: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path | None] = []

    def open_matcher(config: object, device: str, weights: Path | None) -> _Nothing:
        asked.append(weights)
        return _Nothing()

    monkeypatch.setattr(matches, "open_matcher", open_matcher)
    (data, run), given = tiny_run, tmp_path / "weights"
    query = str(load_run(run).images.queries.image_id[0])
    words = {
        "show": ["show", query, "--run", str(run), "--out", str(tmp_path / "a.png")],
        "report": ["report", str(run), "--out", str(tmp_path / "a.html"), "--candidates", "1"],
        "evaluate": ["evaluate", "--run", str(run), "--truth", str(data / "truth.csv"), "--data", str(data)],
    }[command]
    given.mkdir()
    CliRunner().invoke(app, [*words, "--weights", str(given)])
    assert asked == [given]
