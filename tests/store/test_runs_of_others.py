"""A command keeps its work in no folder that holds a finished run of another."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import pytest

from animalclef.errors import OutputError
from animalclef.store.catalogue_places import refuse_run_around
from animalclef.store.run_folder import RunFolder


@pytest.mark.parametrize("command", ["predict", "ensemble", "cluster"])
@pytest.mark.parametrize("maker", ["predict", "ensemble", "cluster"])
def test_only_its_own_finished_run_is_made_again(command: str, maker: str, tmp_path: Path) -> None:
    (tmp_path / "finished.json").write_text(json.dumps({"made_by": maker}))
    if command == maker:
        RunFolder(tmp_path).refuse_run_of_others(command)
        return
    with pytest.raises(OutputError, match=f"finished run of {maker}, and {command} would overwrite its results. Use"):
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


@pytest.mark.parametrize("file", ["catalogue.db", "catalogue.address"])
@pytest.mark.parametrize("place", ["run", "run/earlier/season-1", "run/mine"])
def test_the_run_folder_of_a_catalogue_is_for_the_catalogue_alone(file: str, place: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    (kept / "run").mkdir(parents=True)
    (kept / file).touch()
    folder = RunFolder(kept / place)
    sentence = re.escape(f"{kept / place}: the catalogue {kept} keeps the results of its seasons here")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=sentence):
            folder.refuse_run_of_others("predict", overwrite=overwrite)
    with pytest.raises(OutputError, match=sentence), folder.claimed():
        pass
    (tmp_path / "link").symlink_to(kept / "run")
    with pytest.raises(OutputError, match="keeps the results of its seasons here"):
        RunFolder(tmp_path / "link").refuse_run_of_others("cluster")
    assert list((kept / "run").iterdir()) == []
    RunFolder(tmp_path / "run").refuse_run_of_others("predict")  # beside it
    with RunFolder(kept / "run").claimed(by_catalogue=True):
        pass


def test_a_folder_that_holds_a_catalogue_is_not_emptied(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "a-run")
    folder.path.mkdir()
    folder.open(overwrite=False)
    (folder.path / "cat").mkdir()
    (folder.path / "cat" / "catalogue.db").touch()
    for call in (folder.open, partial(folder.refuse_run_of_others, "predict")):
        with pytest.raises(
            OutputError, match=r"overwriting would remove the catalogue .*cat\. Move the catalogue first"
        ):
            call(overwrite=True)
    folder.open(overwrite=False)
    assert (folder.path / "cat" / "catalogue.db").exists()


def test_no_catalogue_is_begun_in_a_run_folder(tmp_path: Path) -> None:
    run = tmp_path / "a-run"
    run.mkdir()
    RunFolder(run).open(overwrite=False)
    with pytest.raises(OutputError, match=r"a-run: this is a run folder, whose files the next run may remove\. Give"):
        refuse_run_around(run)
    with pytest.raises(OutputError, match=r"cat: it lies in the run folder .*a-run, whose files"):
        refuse_run_around(run / "deep" / "cat")
    refuse_run_around(tmp_path / "cat")
