"""`animalclef weights list|pull|verify|bundle`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from animalclef.cli import app
from animalclef.errors import WeightsError
from animalclef.hub.bundle import write_manifest
from animalclef.hub.catalogue import WEIGHTS


@pytest.fixture(autouse=True)
def empty_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle whose one file says it is XFeat."""
    made = tmp_path / "bundle"
    made.mkdir()
    (made / "xfeat.pt").write_bytes(b"not really")
    write_manifest(made)
    return made


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["weights", *arguments], catch_exceptions=False)
    return result.exit_code, result.output


def test_the_list_names_licence_size_digest_and_place(folder: Path) -> None:
    status, shown = run("list", "--json", "--weights", str(folder))
    rows = {row["name"]: row for row in json.loads(shown)}
    assert status == 0
    assert set(rows) == set(WEIGHTS)
    assert rows["miewid-msv3"]["licence"] == "none stated"
    assert rows["miewid-msv3"]["size"] == 205_809_924
    assert rows["miewid-msv3"]["place"] is None
    assert (rows["xfeat"]["size"], rows["xfeat"]["place"]) == (10, f"in {folder}")
    assert "none stated" in run("list", "miewid-msv3")[1]
    assert run("list", "--config", "offline") == (0, "These settings need no published weights.\n")


def test_the_list_of_a_configuration(folder: Path) -> None:
    needs = json.loads(run("list", "--json", "--config", "offline", "--set", "embed.model=megadescriptor-l")[1])
    assert [row["name"] for row in needs] == ["megadescriptor-l"]


def test_verify_tells_right_damaged_and_absent(folder: Path) -> None:
    assert run("verify", "--weights", str(folder)) == (0, f"xfeat: {folder / 'xfeat.pt'}: as the bundle states.\n")
    (folder / "xfeat.pt").write_bytes(b"something")
    status, shown = run("verify", "xfeat", "--weights", str(folder))
    assert (status, "NOT as the bundle states" in shown) == (2, True)
    assert run("verify", "disk") == (2, "disk: absent.\n")


def test_pull_and_bundle_want_to_know_what() -> None:
    for command in (["pull"], ["bundle", "--to", "x"]):
        with pytest.raises(WeightsError, match="expected the names of weights, or --config NAME"):
            run(*command)
    with pytest.raises(WeightsError, match=r"aliked: no such weights\. Did you mean aliked-t16\? Known: aliked-n16,"):
        run("pull", "aliked")


def test_a_bundle_of_what_a_configuration_needs(tmp_path: Path) -> None:
    status, shown = run("bundle", "--config", "offline", "--to", str(tmp_path / "made"))
    assert (status, "Use it with --weights" in shown) == (0, True)
    assert json.loads((tmp_path / "made" / "manifest.json").read_text())["weights"] == {}


def test_weights_that_a_setting_needs_are_asked_for() -> None:
    status, shown = run("verify", "--set", "embed.model=megadescriptor-l")
    assert (status, "megadescriptor-l: absent." in shown) == (2, True)
