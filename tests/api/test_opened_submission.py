"""A run that was opened writes beside its submission what the run in its own process writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import TINY_SETTINGS, make_tiny_data, read_csv

import animalclef as ac
from animalclef.data.answers import read_answers

ENDINGS = (".csv", ".answers.csv", ".config.yaml", ".decision.json", ".manifest.json", ".metrics.json")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ac.Run:
    folder = tmp_path_factory.mktemp("opened")
    data = make_tiny_data(folder / "data", datasets=("NewtID",), individuals=4, gallery_images=4, unknown=2)
    path = next(row["path"] for row in read_csv(data / "metadata.csv") if row["split"] == "query")
    (data / path).write_bytes(b"no photograph")
    return ac.predict(data, config=ac.load_config(None, *TINY_SETTINGS), run_dir=folder / "run", workers=1)


def test_answers_with_groups_and_decision_are_the_same(made: ac.Run, tmp_path: Path) -> None:
    made.to_submission(tmp_path / "made.csv")
    ac.load_run(made.path).to_submission(tmp_path / "opened.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{name}{ending}" for name in ("made", "opened") for ending in ENDINGS
    )
    for ending in (".csv", ".answers.csv", ".decision.json"):
        assert (tmp_path / f"opened{ending}").read_bytes() == (tmp_path / f"made{ending}").read_bytes()
    answers = read_answers(tmp_path / "opened.answers.csv")  # which compares it with the manifest
    assert sum(bool(one.skipped) for one in answers) == 1
    assert any(one.group.startswith("new_") for one in answers)


def test_what_the_folder_does_not_hold_is_left_out(made: ac.Run, tmp_path: Path) -> None:
    made.to_submission(tmp_path / "made.csv")
    ac.load_run(made.path).to_submission(tmp_path / "opened.csv")
    for ending, unknown in (
        (".manifest.json", {"weights_sha256", "matcher_weights_sha256", "device"}),
        (".metrics.json", {"warnings"}),
    ):
        whole, known = (json.loads((tmp_path / f"{name}{ending}").read_bytes()) for name in ("made", "opened"))
        assert set(whole) - set(known) == unknown


def test_an_earlier_submission_is_replaced_with_its_answers(made: ac.Run, tmp_path: Path) -> None:
    made.to_submission(tmp_path / "submission.csv")
    (tmp_path / "answers.csv").write_text("path,answer,probability,threshold,of another run\n")
    ac.load_run(made.path).to_submission(tmp_path / "submission.csv")
    assert len(read_answers(tmp_path / "answers.csv")) == len(made.predictions)


def test_a_run_of_cluster_keeps_its_groups(made: ac.Run, tmp_path: Path) -> None:
    data = made.path.parent / "data"
    clusters = ac.cluster(data, config=ac.load_config(None, *TINY_SETTINGS), run_dir=tmp_path / "run", workers=1)
    ac.load_run(tmp_path / "run").to_submission(tmp_path / "who.csv")
    assert {one.image_id: one.group for one in read_answers(tmp_path / "who.answers.csv") if one.group} == (
        clusters.new_names
    )
