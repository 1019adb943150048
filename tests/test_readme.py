"""Every command in the README runs."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from tiny import TINY_SETTINGS, make_tiny_data
from typer.testing import CliRunner

from animalclef.cli import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def run(command: str) -> None:
    program, *arguments = shlex.split(command)
    assert program == "animalclef"
    if arguments[0] == "predict":
        small = (*TINY_SETTINGS, "embed.image_size=64", "keypoints.long_side=96", "keypoints.least_long_side=64")
        arguments += [part for setting in small for part in ("--set", setting)]
    if arguments[0] == "tune":
        arguments[arguments.index("--trials") + 1] = "3"
    if arguments[0] == "train-matcher":
        arguments += ["--set", "steps=2", "--set", "validation_pairs=2", "--set", "points=16", "--device", "cpu"]
    if arguments[0] == "train":
        small = ("network.image_size=32", "epochs=1", "frozen_epochs=0", "steps_per_epoch=1", "batch_size=4")
        arguments += [part for setting in small for part in ("--set", setting)]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, f"{command}\n{result.output}"


@pytest.fixture
def newcomers_folder(tmp_path: Path, published_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folders that the README speaks of: a small competition, weights, photographs in folders, a small demo."""
    make_tiny_data(tmp_path / "animal-clef-2025", datasets=("NewtID",))
    (tmp_path / "my-weights").symlink_to(published_bundle)
    source = make_tiny_data(tmp_path / "drawn", datasets=("CatID",))
    for path in sorted((source / "images" / "CatID").glob("*.jpg")):
        animal, place = path.stem.split("_")
        goal = f"query/{path.name}" if place == "3" else f"database/Cat {animal}/{path.name}"
        (tmp_path / "my-photos" / goal).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, tmp_path / "my-photos" / goal)
    make_tiny_data(tmp_path / "my-demo", datasets=("CatID",))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readme_has_commands() -> None:
    assert len(commands()) >= 8


def test_every_command_in_the_readme_runs(newcomers_folder: Path) -> None:
    for command in commands():
        if command == "animalclef demo my-demo":
            continue  # rendered by `make demo`; a small drawn one stands here
        run(command)
    assert (newcomers_folder / "who.csv").read_text().startswith("image_id,identity\nquery/")


def test_the_make_targets_in_the_readme_exist() -> None:
    targets = set(re.findall(r"^    make ([a-z-]+)", README, flags=re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets == {"demo", "test"}
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)


def test_the_house_in_the_readme_is_the_house() -> None:
    for folder in sorted(path.name for path in (ROOT / "animalclef").iterdir() if (path / "__init__.py").is_file()):
        assert re.search(rf"\b{folder}/", README), folder
    for name in re.findall(r"^      (\w+\.py)", README, flags=re.MULTILINE):
        assert (ROOT / "animalclef" / name).is_file()
