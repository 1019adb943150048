"""`animalclef doctor`: one table of what is used and what is missing."""

from __future__ import annotations

import importlib.util
import json
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from animalclef.cli import app
from animalclef.cli import doctor as command
from animalclef.hub.bundle import write_manifest
from animalclef.runtime import machine
from animalclef.runtime.machine import Machine, free_disk, memory_limit


@pytest.fixture(autouse=True)
def small_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    small = Machine(cores=2, cores_installed=8, memory=4_000_000_000, gpus=(("T4", 15 * 10**9),), has_bfloat16=False)
    monkeypatch.setattr(machine, "measure_machine", lambda: small)


def findings(*arguments: str) -> dict[str, tuple[str, str]]:
    result = CliRunner().invoke(app, ["doctor", "--json", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return {one["subject"]: (one["found"], one["advice"]) for one in json.loads(result.stdout)}


def test_what_is_used_and_what_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(command, "find_spec", lambda name: None if name in ("ray", "psycopg") else there(name))
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "xfeat.pt").write_bytes(b"not really")
    write_manifest(tmp_path / "bundle")
    found = findings("--weights", str(tmp_path / "bundle"))
    assert found["cores"] == ("2 of 8 usable; --workers sets a number", "this process may not use the others")
    assert found["memory"] == ("4.0 GB", "large runs need 8 GB")
    assert found["GPU"] == ("T4 (15 GB)", "")
    assert found["bfloat16"] == ("no units for it: float32 is used", "")
    assert found["weights (huggingface_hub)"] == (f"{tmp_path / 'hub'}, not made yet", "")
    assert found["extra ray"] == ("not installed", "pip install 'animalclef[ray]', where you need it")
    assert found["extra postgres"][0] == "not installed"
    assert found["published weights here"] == ("xfeat", "")
    assert "miewid-msv3" in found["published weights not here"][0].split(", ")
    assert "xfeat" not in found["published weights not here"][0].split(", ")


def test_every_extra_of_users_is_looked_for() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(command.EXTRAS) == set(project["optional-dependencies"]) - {"dev", "noncommercial"}


def test_the_table_has_a_row_for_every_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: SimpleNamespace())
    result = CliRunner().invoke(app, ["doctor"], catch_exceptions=False)
    assert result.exit_code == 0
    for extra in command.EXTRAS:
        assert f"extra {extra} " in result.stdout
    assert "not installed" not in result.stdout


def test_memory_is_the_containers_where_that_is_less(tmp_path: Path) -> None:
    assert memory_limit(tmp_path) == 0
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal:  2048 kB\nMemFree: 12 kB\n")
    assert memory_limit(tmp_path) == 2048 * 1024
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("max\n")
    assert memory_limit(tmp_path) == 2048 * 1024
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("1000000\n")
    assert memory_limit(tmp_path) == 1_000_000


def test_free_disk_of_a_folder_that_is_not_made_yet_is_that_of_the_one_above(tmp_path: Path) -> None:
    assert free_disk(tmp_path / "a" / "b") == pytest.approx(free_disk(tmp_path), rel=0.01)
