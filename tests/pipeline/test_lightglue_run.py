"""A whole `predict` with LightGlue: to its end, killed and gone on, and refused where it does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lightglue_cases import SIFT, random_model, save_ours
from tiny import make_tiny_data
from typer.testing import CliRunner
from whole_run import artefacts, command_line, predict

from animalclef.cli import app
from animalclef.errors import ConfigError, StaleArtefactError, WeightsError
from animalclef.store.pair_log import PairLog


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_data(tmp_path_factory.mktemp("data") / "tiny", individuals=3, unknown=1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_ours(tmp_path_factory.mktemp("weights") / "compact.safetensors", random_model(SIFT))


def settings(weights: Path) -> tuple[str, ...]:
    return ("rerank.matcher=lightglue", f"rerank.weights={weights}", "rerank.batch_size=8",
            "decide.scores=[similarity,confidence_sum]")  # fmt: skip


def logged(run: Path) -> bytes:
    return next((run / "pairs").glob("*.log")).read_bytes()


def test_a_run_ends_the_same_however_often_it_was_killed(
    data: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = predict(data, tmp_path / "whole", *settings(weights))
    header = (tmp_path / "whole" / "candidates.csv").read_text().splitlines()[0]
    assert "similarity,matches,confidence_sum,matches_0.2,matches_0.5,matches_0.8,inliers,inlier_ratio" in header
    append = PairLog.append
    for frames in (1, 4):
        left = [frames]

        def dying(self: PairLog, *arguments: Any, left: list[int] = left) -> None:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            append(self, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(PairLog, "append", dying)
            with pytest.raises(KeyboardInterrupt):
                predict(data, tmp_path / "killed", *settings(weights))
    log = next((tmp_path / "killed" / "pairs").glob("*.log"))
    log.write_bytes(log.read_bytes()[:-5])  # and the last frame was torn
    assert predict(data, tmp_path / "killed", *settings(weights), workers=1) == whole
    assert artefacts(tmp_path / "killed") == artefacts(tmp_path / "whole")
    assert logged(tmp_path / "killed") == logged(tmp_path / "whole")


def test_other_weights_have_another_log_and_no_old_decision(data: Path, weights: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    predict(data, run, *settings(weights))
    decision = tmp_path / "decision.json"
    decision.write_bytes((run / "decision.json").read_bytes())
    other = save_ours(tmp_path / "other.safetensors", random_model(SIFT, seed=1))
    with pytest.raises(StaleArtefactError):
        predict(data, run, *settings(other), decision=decision)
    predict(data, run, *settings(other))
    assert len(list((run / "pairs").glob("*.log"))) == 2
    moved = tmp_path / "elsewhere" / "renamed.safetensors"
    moved.parent.mkdir()
    moved.write_bytes(weights.read_bytes())
    predict(data, run, *settings(moved), decision=decision)  # the same weights, wherever they lie
    assert len(list((run / "pairs").glob("*.log"))) == 2


def test_weights_that_are_absent_or_for_other_features_are_told(data: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"absent\.pth: no such file"):
        predict(data, tmp_path / "run", "rerank.matcher=lightglue", "rerank.weights=absent.pth")
    other = save_ours(tmp_path / "aliked.safetensors", random_model())
    with pytest.raises(ConfigError, match=r"a matcher for aliked; keypoints\.extractor gives sift"):
        predict(data, tmp_path / "run", "rerank.matcher=lightglue", f"rerank.weights={other}")
    assert not list((tmp_path / "run").rglob("*.log"))


def test_for_sift_the_matcher_that_ships_is_taken(data: Path, tmp_path: Path) -> None:
    """By the command, which looks for weights before any work."""
    done = CliRunner().invoke(
        app, command_line(data, tmp_path / "run", tmp_path / "out.csv", "rerank.matcher=lightglue")[3:]
    )
    assert done.exit_code == 0, done.output
    header = (tmp_path / "run" / "candidates.csv").read_text().splitlines()[0]
    assert "confidence_sum" in header
