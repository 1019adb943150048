"""A whole run from a bundle, without network: the weights are random, everything else is as in the competition."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
import torch
from tiny import TINY_SETTINGS, make_tiny_data, read_csv
from typer.testing import CliRunner

from animalclef.cli import app
from animalclef.errors import WeightsError

SMALL = ("embed.image_size=64", "embed.batch_size=8", "retrieve.top_k=4", "decide.pseudo_queries=12")


@pytest.fixture(autouse=True)
def without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection can be made, and the caches are empty."""

    def refused(*_: object) -> None:
        raise OSError("this test has no network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    torch.set_num_threads(1)


@pytest.fixture
def competition(tmp_path: Path) -> Path:
    return make_tiny_data(tmp_path / "data", datasets=("NewtID",), individuals=4, gallery_images=2, unknown=1)


def predict(data: Path, out: Path, *more: str) -> None:
    settings = [part for one in (*TINY_SETTINGS, *SMALL) for part in ("--set", one)]
    places = ["--data", str(data), "--run", str(out / "run"), "--out", str(out / "submission.csv"), "--workers", "1"]
    result = CliRunner().invoke(app, ["predict", *places, *settings, *more], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def test_miewid_from_a_bundle(competition: Path, published_bundle: Path, tmp_path: Path) -> None:
    settings = ("--set", "embed.model=miewid-msv3", "--weights", str(published_bundle))
    predict(competition, tmp_path / "one", *settings)
    rows = read_csv(tmp_path / "one" / "submission.csv")
    assert len(rows) == 5
    assert len(json.loads((tmp_path / "one" / "submission.manifest.json").read_text())["weights_sha256"]) == 64


def test_the_mission_s_own_pipeline_runs_from_a_bundle(
    competition: Path, published_bundle: Path, tmp_path: Path
) -> None:
    config = ("--config", "animalclef2025", "--weights", str(published_bundle))
    small = [f"keypoints.{one}" for one in ("long_side=96", "least_long_side=64", "max_keypoints=64")]
    predict(competition, tmp_path / "out", *config, *[part for one in small for part in ("--set", one)])
    assert len(read_csv(tmp_path / "out" / "submission.csv")) == 5


def test_without_weights_one_sentence_names_the_ways(competition: Path, tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"miewid-msv3\.safetensors is not.*weights pull.*weights bundle.*config offline"
    ):
        predict(competition, tmp_path / "out", "--set", "embed.model=miewid-msv3")
    assert not (tmp_path / "out" / "run").exists()
