"""A command keeps its work in no folder that holds a finished run of another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from animalclef.errors import OutputError
from animalclef.store.run_folder import RunFolder


@pytest.mark.parametrize("command", ["predict", "ensemble", "cluster"])
@pytest.mark.parametrize("maker", ["predict", "ensemble", "cluster"])
def test_only_its_own_finished_run_is_made_again(command: str, maker: str, tmp_path: Path) -> None:
    (tmp_path / "finished.json").write_text(json.dumps({"made_by": maker}))
    if command == maker:
        RunFolder(tmp_path).refuse_run_of_others(command)
        return
    with pytest.raises(OutputError, match=f"finished run of {maker}, and {command} would overwrite its results. Give"):
        RunFolder(tmp_path).refuse_run_of_others(command)


def test_a_folder_without_a_whole_run_is_used(tmp_path: Path) -> None:
    for content in (None, "{", "[]", "{}"):
        if content is not None:
            (tmp_path / "finished.json").write_text(content)
        RunFolder(tmp_path).refuse_run_of_others("predict")


def test_an_ensemble_of_an_earlier_version_is_known_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "finished.json").write_text(json.dumps({"config": {"name": "ensemble"}}))
    RunFolder(tmp_path).refuse_run_of_others("ensemble")
    with pytest.raises(OutputError, match="finished run of ensemble, and predict would overwrite"):
        RunFolder(tmp_path).refuse_run_of_others("predict")
