"""Notebooks run from top to bottom on a run, and are kept without outputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from tiny import TINY_SETTINGS, make_tiny_data, read_csv

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("0*.ipynb"))  # each looks at a finished run
SUBMISSION = FOLDER / "kaggle_submission.ipynb"


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def test_there_are_five() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["01_data", "02_retrieval", "03_matches", "04_errors", "05_thresholds"]


@pytest.mark.parametrize("path", [*NOTEBOOKS, SUBMISSION], ids=lambda path: path.stem)
def test_no_outputs_are_kept(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell for cell in code if cell["outputs"] or cell["execution_count"] is not None] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_first_cell_says_how_to_look_at_another_run(path: Path) -> None:
    first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
    assert first["cell_type"] == "markdown"
    assert {"ANIMALCLEF_RUN", "ANIMALCLEF_TRUTH", "Kaggle"} <= set(
        source(first).replace("`", " ").replace(";", " ").split()
    )


def run_all(path: Path, changes: Mapping[str, str] = MappingProxyType({})) -> None:
    """In this process: a kernel of its own for each takes seconds to start; `make notebooks` does that."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    scope: dict[str, Any] = {"display": lambda shown: None}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            text = source(cell)
            for old, new in changes.items():
                text = text.replace(old, new)
            exec(compile(text, f"{path.name}:{cell['id']}", "exec"), scope)
    pyplot.close("all")


@pytest.fixture(params=[True, False], ids=["truth", "no-truth"])
def _tiny_run_in_the_environment(
    request: pytest.FixtureRequest, tiny_run: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, run = tiny_run
    monkeypatch.setenv("ANIMALCLEF_RUN", str(run))
    monkeypatch.setenv("ANIMALCLEF_TRUTH", str(data / "truth.csv" if request.param else tmp_path / "none.csv"))
    monkeypatch.delenv("ANIMALCLEF_DATA", raising=False)
    monkeypatch.delenv("ANIMALCLEF_STORAGE", raising=False)


@pytest.mark.usefixtures("_tiny_run_in_the_environment")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_from_top_to_bottom(path: Path) -> None:
    run_all(path)


@pytest.mark.usefixtures("_tiny_run_in_the_environment")
@pytest.mark.parametrize("_tiny_run_in_the_environment", [False], indirect=True)
def test_a_stored_study_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(study_name="CatID", storage=storage, direction="maximize", sampler=sampler)
    study.optimize(
        lambda trial: trial.suggest_float("threshold", 0, 1) - trial.suggest_float("weight", 0, 1), n_trials=8
    )
    monkeypatch.setenv("ANIMALCLEF_STORAGE", storage)
    run_all(FOLDER / "05_thresholds.ipynb")


def test_the_submission_notebook_submits_without_internet(
    tmp_path: Path, published_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything but the installation: the bundle of this test has no wheels, and its weights are random."""
    torch.set_num_threads(1)  # two test processes share two cores
    make_tiny_data(tmp_path / "input" / "animal-clef-2025", datasets=("NewtID",), individuals=4, gallery_images=2)
    (tmp_path / "input" / "my-weights").mkdir()
    for path in published_bundle.iterdir():
        (tmp_path / "input" / "my-weights" / path.name).symlink_to(path)
    (tmp_path / "working").mkdir()
    monkeypatch.setenv("KAGGLE_INPUT", str(tmp_path / "input"))
    monkeypatch.setenv("KAGGLE_WORKING", str(tmp_path / "working"))
    small = (*TINY_SETTINGS, "embed.image_size=64", "keypoints.long_side=96", "keypoints.least_long_side=64",
             "retrieve.top_k=4", "decide.pseudo_queries=12")  # fmt: skip
    run_all(SUBMISSION, {"SETTINGS = []": f"SETTINGS = {list(small)}"})
    rows = read_csv(tmp_path / "working" / "submission.csv")
    assert len(rows) == 4 + 2
    assert rows[0].keys() == {"image_id", "identity"}
