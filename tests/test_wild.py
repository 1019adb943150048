"""Real photographs in the competition layout; their truth is read after every choice is made."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from tiny import read_csv, write_csv
from typer.testing import CliRunner

from animalclef.cli import app
from animalclef.evaluation.evaluate import evaluate_run, score_files
from animalclef.store.finished_run import load_run

# A classical vote with thresholds chosen by the truth (the data's own README); to be beaten without the truth.
BASELINE = {"HolsteinID": 0.526, "LabNewtID": 0.687, "NyalaID": 0.077, "RibbedNewtID": 0.801}

pytestmark = pytest.mark.shared


def call(*arguments: str) -> None:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output


def newts_only(wild: Path, folder: Path) -> Path:
    """The two newt data sets of `wild`, with its photographs linked in."""
    folder.mkdir()
    (folder / "images").symlink_to(wild / "images")
    with (wild / "metadata.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if "Newt" in row["dataset"]]
    wanted = {row["image_id"] for row in rows}
    write_csv(folder / "metadata.csv", list(rows[0]), [list(row.values()) for row in rows])
    truth = [row for row in read_csv(wild / "truth.csv") if row["image_id"] in wanted]
    write_csv(folder / "truth.csv", list(truth[0]), [list(row.values()) for row in truth])
    return folder


@pytest.mark.slow
def test_newts_from_photographs_to_score(shared: Path, tmp_path: Path) -> None:
    data = newts_only(shared / "data" / "wild", tmp_path / "newts")
    submission, run = tmp_path / "out" / "submission.csv", tmp_path / "run"
    call("predict", "--data", str(data), "--out", str(submission), "--run", str(run))
    call("validate", str(submission), "--data", str(data))
    score = score_files(data / "truth.csv", submission)
    assert score.datasets["RibbedNewtID"].score > BASELINE["RibbedNewtID"]
    assert score.datasets["LabNewtID"].score > 0.6  # 31 known queries: one of them is 0.03 of BAKS
    metrics = json.loads(submission.with_suffix(".metrics.json").read_text())
    assert metrics["queries"] == 191
    ranks = {
        group.dataset: group.measures["rank-1"].mean for group in evaluate_run(load_run(run), data / "truth.csv").groups
    }
    assert ranks["RibbedNewtID"] > 0.774
    assert ranks["LabNewtID"] > 0.613


@pytest.mark.slow
def test_newts_are_cut_out_and_found_more_often(shared: Path, tmp_path: Path) -> None:
    data = newts_only(shared / "data" / "wild", tmp_path / "newts")
    boxed = data / "boxed.csv"
    call("boxes", "--data", str(data), "--out", str(boxed), "--along-body", "LabNewtID", "--along-body", "RibbedNewtID")
    assert all(row["bbox"] for row in read_csv(boxed))
    rank_1 = {}
    for table in (data / "metadata.csv", boxed):
        arguments = ["evaluate-embedder", "--data", str(table), "--run", str(tmp_path / "run"), "--json"]
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        rank_1[table] = json.loads(result.stdout)["mean"]["rank-1"]  # of database photographs alone
    assert rank_1[boxed] > rank_1[data / "metadata.csv"] + 0.15


@pytest.mark.slow
def test_a_network_from_timm_embeds_newts(shared: Path, tmp_path: Path) -> None:
    data = newts_only(shared / "data" / "wild", tmp_path / "newts")
    weights = shared / "weights" / "mobilenetv2_100_imagenet.safetensors"
    settings = [
        "embed.model=timm:mobilenetv2_100", f"embed.weights={weights}", "embed.model_options={pad_type: same}",
        "embed.mean=[0.5, 0.5, 0.5]", "embed.std=[0.5, 0.5, 0.5]", "rerank.matcher=none", "decide.trials=20",
    ]  # fmt: skip
    run = tmp_path / "run"
    arguments = [part for setting in settings for part in ("--set", setting)]
    call("predict", "--data", str(data), "--out", str(tmp_path / "s.csv"), "--run", str(run), *arguments)
    ranks = {
        group.dataset: group.measures["rank-5"].mean for group in evaluate_run(load_run(run), data / "truth.csv").groups
    }
    assert ranks["RibbedNewtID"] > 5 / 19
    assert np.isfinite(list(ranks.values())).all()


@pytest.mark.slow
def test_wild_beats_the_classical_vote_blind(shared: Path, tmp_path: Path) -> None:
    wild, submission = shared / "data" / "wild", tmp_path / "submission.csv"
    call("predict", "--data", str(wild), "--out", str(submission), "--run", str(tmp_path / "run"))
    score = score_files(wild / "truth.csv", submission)
    assert score.overall > 0.523
    assert {name: part.score for name, part in score.datasets.items() if part.score <= BASELINE[name]} == {}


def test_the_real_competition_tables_are_read(shared: Path) -> None:
    for year, task in (("2025", "identification"), ("2026", "clustering")):
        result = CliRunner().invoke(app, ["inspect", "--data", str(shared / "data" / f"animalclef{year}"), "--json"])
        assert result.exit_code == 0
        assert json.loads(result.stdout)["task"] == task


def test_the_real_sample_submissions_are_valid(shared: Path) -> None:
    for year in ("2025", "2026"):
        folder = shared / "data" / f"animalclef{year}"
        call("validate", str(folder / "sample_submission.csv"), "--data", str(folder))
