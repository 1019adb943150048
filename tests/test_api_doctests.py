"""The examples of the public API run, and the documentation lists exactly the public names."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from embedder_cases import tiny_training
from grown import empty_catalogue, two_seasons
from tiny import TINY_SETTINGS, make_tiny_data, read_csv
from whole_run import predict

import animalclef
from animalclef.config import TrainMatcherConfig, load_config

ROOT = Path(__file__).resolve().parents[1]
TINY_MATCHER = {
    "name": "tiny",
    "network": {"descriptor_dim": 8, "n_layers": 2, "num_heads": 1},
    "keypoints": {"max_keypoints": 48, "long_side": 160, "least_long_side": 96},
    "points": 24,
    "batch_size": 2,
    "steps": 1,
    "validation_pairs": 6,
    "held_out": 0.3,
}
PUBLIC = [name for name in animalclef.__all__ if not name.startswith("__")]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that examples use: a drawn data set, its photographs, two finished runs, and a catalogue."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("api")
    data = make_tiny_data(folder / "data", datasets=("NewtID",), individuals=4, unknown=2)
    for run, setting in (("run", "rerank.ratio=0.9"), ("other", "rerank.ratio=0.8")):
        predict(data, folder / run, setting)
    two_seasons(empty_catalogue(folder / "catalogue"))
    database = [data / row["path"] for row in read_csv(data / "metadata.csv") if row["split"] == "database"]
    return {
        **{name: getattr(animalclef, name) for name in PUBLIC},
        "np": np,
        "pd": pd,
        "folder": folder,
        "data_folder": data,
        "photographs": database,
        "run_folder": folder / "run",
        "other_run_folder": folder / "other",
        "catalogue_folder": folder / "catalogue",
        "small_config": load_config(None, TINY_SETTINGS),
        "small_training": tiny_training(),
        "small_matcher": TrainMatcherConfig.model_validate(TINY_MATCHER),
    }


@pytest.mark.parametrize("name", PUBLIC)
def test_the_examples_of_a_public_name_run(name: str, names: dict[str, Any]) -> None:
    public = getattr(animalclef, name)
    examples = 0
    for found in doctest.DocTestFinder(recurse=True).find(public, name, globs=dict(names)):
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        report: list[str] = []
        runner.run(found, out=report.append)
        assert runner.failures == 0, "".join(report)
        examples += len(found.examples)
    assert examples or name == "Masks"


def test_every_public_name_has_a_docstring() -> None:
    for name in PUBLIC:
        public = getattr(animalclef, name)
        assert inspect.getdoc(public), name
        methods = inspect.getmembers(public, callable) if inspect.isclass(public) else []
        assert all(inspect.getdoc(one) for label, one in methods if not label.startswith("_")), name


def test_the_documentation_lists_the_public_names() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^::: animalclef\.(?:\w+\.)*(\w+)$", page, re.MULTILINE)) == sorted(PUBLIC)


def test_type_checkers_see_the_public_names() -> None:
    stub = ast.parse((ROOT / "animalclef" / "__init__.pyi").read_text(encoding="utf-8"))
    named = {alias.asname for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert named == set(PUBLIC)
    assert (ROOT / "animalclef" / "py.typed").is_file()


def test_dir_lists_public_names_and_an_unknown_one_is_an_error() -> None:
    assert set(PUBLIC) <= set(dir(animalclef))
    with pytest.raises(AttributeError, match="has no attribute 'predicts'"):
        _ = animalclef.predicts  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["competition_score", "retrieve", "load_dataset"])
def test_names_about_no_network_load_no_torch(name: str) -> None:
    code = f"import sys; from animalclef import {name}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
