"""The run folder: who works in it and what it will not touch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rows import Row, image_table, strings
from tiny import read_csv

from animalclef.data.encounters import Encounters
from animalclef.errors import RunInUseError, StaleArtefactError
from animalclef.store.run_folder import RunFolder
from animalclef.structures import RankedCandidates, Skipped

HOLD = """
import sys
from pathlib import Path
from animalclef.store.run_folder import RunFolder
with RunFolder(Path(sys.argv[1])).claimed():
    print("held", flush=True)
    sys.stdin.read()
"""


def opened(path: Path, *, overwrite: bool = False) -> RunFolder:
    folder = RunFolder(path)
    with folder.claimed():
        folder.open(overwrite=overwrite)
    return folder


def test_a_second_process_is_kept_out_until_the_first_is_gone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        sentence = r"another process is working in this run. Wait, or use another run folder"
        with pytest.raises(RunInUseError, match=sentence), RunFolder(tmp_path / "run").claimed():
            pass
        holder.kill()
        holder.wait(timeout=20)
    with RunFolder(tmp_path / "run").claimed():
        pass


def test_a_claim_ends_with_an_error_inside(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), RunFolder(tmp_path).claimed():
        raise ZeroDivisionError
    with RunFolder(tmp_path).claimed():
        pass


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / ".draft.part").write_text("more of it")
    with pytest.raises(StaleArtefactError, match=r"not a run folder \(it holds .*Use another folder"):
        opened(tmp_path, overwrite=overwrite)
    assert {path.name for path in tmp_path.iterdir()} - {".lock"} == {"thesis.tex", ".draft.part"}


def test_a_run_is_opened_again_with_what_it_holds(tmp_path: Path) -> None:
    opened(tmp_path / "run")
    (tmp_path / "run" / "pairs").mkdir()
    opened(tmp_path / "run")
    assert (tmp_path / "run" / "pairs").is_dir()


def test_overwrite_empties_a_run(tmp_path: Path) -> None:
    opened(tmp_path / "run")
    (tmp_path / "run" / "pairs").mkdir()
    (tmp_path / "run" / "pairs" / "a.log").write_text("x")
    (tmp_path / "run" / "candidates.csv").write_text("x")
    opened(tmp_path / "run", overwrite=True)
    assert {path.name for path in (tmp_path / "run").iterdir()} - {".lock"} == {"animalclef-run.json"}


def test_overwrite_removes_a_link_and_leaves_the_folder_that_it_leads_to(tmp_path: Path) -> None:
    opened(tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept.safetensors").write_text("keypoints on another disk")
    (tmp_path / "run" / "keypoints").symlink_to(tmp_path / "elsewhere")
    opened(tmp_path / "run", overwrite=True)
    assert not (tmp_path / "run" / "keypoints").is_symlink()
    assert (tmp_path / "elsewhere" / "kept.safetensors").is_file()


def test_what_a_kill_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / ".animalclef-run.json.77.part").write_text("{")  # killed before the run was even marked
    opened(run)
    (run / "keypoints").mkdir()
    (run / "keypoints" / ".x.safetensors.77.part").write_text("half")
    opened(run)
    assert not list(run.rglob("*.part"))


def test_tables_are_written_with_their_columns(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    folder.write_set_aside([Skipped("7", "a,b.jpg", "query", 'not "readable"')])
    assert read_csv(tmp_path / "set_aside.csv") == [
        {"image_id": "7", "path": "a,b.jpg", "split": "query", "reason": 'not "readable"'}
    ]
    folder.write_encounters(Encounters({"2": "e", "1": "e"}, (("1", "2", 0.9),)))
    assert [row["image_id"] for row in read_csv(tmp_path / "encounters.csv")] == ["1", "2"]
    images = image_table([Row("q"), Row("g", "Zoë", "left")])
    folder.write_table(images, used=images.gallery)
    table = read_csv(folder.table)
    assert [row["used"] for row in table] == ["0", "1"]
    assert [(row["image_id"], row["identity"], row["split"]) for row in table] == [
        ("q", "", "query"),
        ("g", "Zoë", "gallery"),
    ]
    ranked = RankedCandidates(
        strings("q"), strings("g"), strings("Zoë"), strings("lynx"), np.array([1 / 3]),
        {"inliers": np.array([np.nan], np.float32)},
    )  # fmt: skip
    folder.write_candidates(ranked)
    row = read_csv(folder.candidates)[0]
    assert (row["identity"], row["probability"], row["inliers"]) == ("Zoë", "0.333333", "")
