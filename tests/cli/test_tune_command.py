"""`tune` on a finished run, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny import make_tiny_data
from typer.testing import CliRunner
from whole_run import predict

import animalclef
from animalclef.cli import app
from animalclef.config import Config, load_config
from animalclef.decision.decision_model import load_decision
from animalclef.errors import ConfigError, DataError, OutputError, StaleArtefactError
from animalclef.pipeline.tune import check_decide_alone, tune_run
from animalclef.runtime.progress import Silent
from animalclef.store.finished_run import load_run
from animalclef.store.pseudo_query_file import Stamp, read_pseudo_queries, write_pseudo_queries
from animalclef.store.run_folder import RunFolder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_data(tmp_path_factory.mktemp("tuned"), datasets=("NewtID",))


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("run")
    predict(data, folder)
    return RunFolder(folder)


def changed(run: RunFolder, *assignments: str) -> Config:
    """The settings of a run with these changes, once they are accepted."""
    finished = load_run(run.path)
    config = load_config(None, assignments, base=finished.config)
    check_decide_alone(finished, config)
    return config


def test_a_tuned_decision_is_applied_by_predict(data: Path, run: RunFolder, tmp_path: Path) -> None:
    config = changed(run, "decide.trials=6", "decide.aggregations=[max, top2]")
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    decision = tune_run(run, config, url, 1, Silent())
    assert decision.datasets.keys() == {"NewtID"}
    path = tmp_path / "tuned.json"
    path.write_text(decision.model_dump_json(indent=1), encoding="utf-8")
    submission = predict(data, run.path, decision=path).decode().splitlines()
    assert len(submission) == 8
    assert load_decision(run.decision) == decision
    assert tune_run(run, config, url, 1, Silent()) == decision  # the studies are done; nothing is searched again
    other = changed(run, "decide.trials=6", "seed=5")
    with pytest.raises(StaleArtefactError, match="was made with settings"):
        tune_run(run, other, url, 1, Silent())


def test_tune_says_whether_its_decision_is_better(run: RunFolder, tmp_path: Path) -> None:
    options = ["tune", "--run", str(run.path), "--trials", "2", "--no-ledger"]
    options += ["--storage", f"sqlite:///{tmp_path / 'studies.db'}", "--out", str(tmp_path / "tuned.json")]
    result = CliRunner().invoke(app, options, catch_exceptions=False)
    before, now = (load_decision(path).summary for path in (run.decision, tmp_path / "tuned.json"))
    assert before is not None
    assert now is not None
    told = f"The decision in the run folder has a validation score of {before.nested:.3f}"
    assert f"{told}{': keep it.' if before.nested > now.nested else '.'}\n" in result.output


def test_a_tuned_decision_knows_how_its_photographs_were_prepared(data: Path, tmp_path: Path) -> None:
    chosen_by_the_run = ("keypoints.max_keypoints=null", "prepare.mode=auto")
    folder = RunFolder(tmp_path / "run")
    predict(data, folder.path, *chosen_by_the_run)
    config = changed(folder, "decide.trials=2")
    decision = tune_run(folder, config, f"sqlite:///{tmp_path / 'studies.db'}", 1, Silent())
    path = tmp_path / "tuned.json"
    path.write_text(decision.model_dump_json(indent=1), encoding="utf-8")
    assert len(predict(data, folder.path, *chosen_by_the_run, decision=path).splitlines()) == 8


@pytest.mark.parametrize("assignment", ["retrieve.top_k=3", "decide.splits=3", "data.max_missing=0.5"])
def test_settings_that_shape_scores_or_pseudo_queries_are_refused(run: RunFolder, assignment: str) -> None:
    with pytest.raises(ConfigError, match="as they are"):
        changed(run, assignment)


def test_a_run_that_is_not_finished_or_keeps_no_pseudo_queries_is_refused(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no finished run"):
        changed(RunFolder(tmp_path))
    for file in run.path.iterdir():
        if file.suffix in (".json", ".csv"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    assert json.loads(run.finished.read_text())["config"]["decide"]["trials"] == 4
    config = changed(RunFolder(tmp_path))
    with pytest.raises(StaleArtefactError, match="predict"):
        tune_run(RunFolder(tmp_path), config, f"sqlite:///{tmp_path / 's.db'}", 1, Silent())


def test_the_run_of_a_catalogue_is_not_tuned(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "catalogue.db").touch()
    shutil.copytree(run.path, tmp_path / "kept" / "run")
    before = sorted((tmp_path / "kept").rglob("*"))
    with pytest.raises(OutputError, match=r"the catalogue .*kept keeps .* by `catalogue add --retune`"):
        animalclef.tune_decision(tmp_path / "kept" / "run", trials=1)
    told = CliRunner().invoke(app, ["tune", "--run", str(tmp_path / "kept" / "run"), "--trials", "1", "--no-ledger"])
    assert isinstance(told.exception, OutputError)
    assert sorted((tmp_path / "kept").rglob("*")) == before


def test_a_threshold_that_is_set_is_told(run: RunFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    for threshold in ("0.2", "null"):
        caplog.clear()
        config = changed(run, f"decide.threshold={threshold}")
        animalclef.tune_decision(run.path, trials=1, config=config, storage=url if threshold == "0.2" else f"{url}2")
        told = "decide.threshold=0.2 is set, so the threshold is not tuned. Set decide.threshold=null to tune it, too."
        assert (told in caplog.text) == (threshold == "0.2")


def test_a_study_does_not_go_on_with_other_pseudo_queries(run: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(Path(shutil.copytree(run.path, tmp_path / "run")))
    config, url = changed(copy, "decide.trials=3"), f"sqlite:///{tmp_path / 'studies.db'}"
    tune_run(copy, config, url, 1, Silent())
    fewer = {name: part.select(np.arange(len(part) - 1)) for name, part in read_pseudo_queries(copy).items()}
    write_pseudo_queries(copy, fewer, Stamp("by hand", load_decision(copy.decision).scores, copy.data_digest))
    with pytest.raises(StaleArtefactError, match="was made with settings"):
        tune_run(copy, config, url, 1, Silent())
