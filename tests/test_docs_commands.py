"""Every command and every piece of Python in the README and on the pages of docs/ runs."""

from __future__ import annotations

import re
import shlex
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import pytest
import torch
from tiny import TINY_SETTINGS, make_tiny_data, photograph, read_csv, write_csv
from typer.testing import CliRunner

from animalclef.cli import app
from animalclef.review.session import ReviewSession

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SMALL = (
    *TINY_SETTINGS, "embed.image_size=64", "keypoints.long_side=96", "keypoints.least_long_side=64", "retrieve.top_k=5",
    "decide.pseudo_queries=12",
)  # fmt: skip


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    joined = [block.replace("\\\n", " ") for block in blocks(page, "sh")]
    return [line for block in joined for line in block.splitlines() if line.strip()]


def made_small(arguments: list[str]) -> list[str]:
    """The same command with less work: only its settings and numbers of steps differ."""
    settings: tuple[str, ...] = ()
    small = ("predict", "evaluate-embedder")
    if arguments[0] in small or arguments[:2] == ["catalogue", "create"] or arguments[:2] == ["cluster", "--data"]:
        settings = SMALL
    if arguments[0] == "tune":
        arguments[arguments.index("--trials") + 1] = "3"
    if arguments[0] == "train-matcher":
        settings = ("steps=2", "validation_pairs=2", "points=16")
        arguments += ["--device", "cpu"]
    if arguments[0] == "train":
        settings = ("network.image_size=32", "epochs=1", "frozen_epochs=0", "steps_per_epoch=1", "batch_size=4")
    given = {arguments[place + 1].partition("=")[0] for place, one in enumerate(arguments) if one == "--set"}
    return arguments + [part for one in settings if one.partition("=")[0] not in given for part in ("--set", one)]


def run(command: str) -> None:
    program, *arguments = shlex.split(command)
    assert program == "animalclef"
    result = CliRunner().invoke(app, made_small(arguments), catch_exceptions=False)
    assert result.exit_code == 0, f"{command}\n{result.output}"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory, published_bundle: Path) -> Path:
    """The folders and files that the pages speak of, except those that their commands make."""
    folder = tmp_path_factory.mktemp("drawn")
    make_tiny_data(folder / "animal-clef-2025", datasets=("NewtID",))
    make_tiny_data(folder / "my-demo", datasets=("CatID",))
    (folder / "my-weights").symlink_to(published_bundle)
    source, rows = make_tiny_data(folder / "source", datasets=("CatID",)), []
    for path in sorted((source / "images" / "CatID").glob("*.jpg")):
        animal, place = path.stem.split("_")
        is_query, name = place == "3", ("Luna", "Tara", "Milo", "Nala", "Simba", "Loki", "Bella")[int(animal)]
        goal = f"query/{path.name}" if is_query else f"database/{name}/{int(place) + 1}.jpg"
        for copy in (folder / "my-photos" / goal, folder / "my-table" / "photos" / path.name):
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        rows.append((len(rows) + 1, f"photos/{path.name}", "" if is_query else name))
    for animal in range(3):
        later = folder / "next-season" / "query" / f"{animal}_9.jpg"
        later.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(later), photograph([0, 0, animal], 9))
    write_csv(folder / "my-table" / "photographs.csv", ("image_id", "path", "identity"), rows)
    _store_timm_weights(folder / "my-timm.safetensors")
    return folder


def _store_timm_weights(path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    save_file(timm.create_model("mobilenetv2_100", num_classes=0).state_dict(), path)


def _answer_once(session: ReviewSession, bound: socket.socket, announce: Callable[[str], None]) -> None:
    """A reviewer who answers the first question and closes the page."""
    announce(f"http://127.0.0.1:{bound.getsockname()[1]}/")
    bound.close()
    question = session.state()["question"]
    assert question is not None
    first, second = (one["row"] for one in question["animals"])
    session.answer(first, second, "same")


@pytest.fixture
def newcomers_folder(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh copy of the drawn folders, and the working directory in it."""
    torch.set_num_threads(1)  # two test processes share two cores
    shutil.copytree(drawn, tmp_path / "here", symlinks=True)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("animalclef.review.server.serve", _answer_once)
    return tmp_path / "here"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "sh")], ids=lambda page: page.stem)
def test_every_command_runs(page: Path, newcomers_folder: Path) -> None:
    for name in needed_runs(page):
        run(f"animalclef predict --data my-demo --run {name} --out first.csv")
    for command in commands(page):
        if command == "animalclef demo my-demo":
            continue  # `make demo` renders one; a small drawn one stands here
        run(command)
    for name in re.findall(r"--out (\S+\.csv)", "\n".join(commands(page))):
        assert (newcomers_folder / name).is_file()
    if page.name == "README.md":
        answers = {row["image_id"]: row["identity"] for row in read_csv(newcomers_folder / "who.csv")}
        assert len(answers) == len(list((newcomers_folder / "my-photos" / "query").iterdir()))
        assert set(answers.values()) <= {"Luna", "Tara", "Milo", "Nala", "Simba", "new_individual"}


def needed_runs(page: Path) -> Iterator[str]:
    """Run folders that a page takes from the quickstart."""
    made = re.findall(r"predict .*--run (\S+)", "\n".join(commands(page)))
    yield from {"runs/my-demo"} & {*re.findall(r"runs/my-demo", "\n".join(commands(page)))} - {*made}


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.stem)
@pytest.mark.usefixtures("newcomers_folder")
def test_every_piece_of_python_runs(page: Path) -> None:
    scope: dict[str, object] = {}
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), scope)


def test_the_pages_have_commands() -> None:
    assert len([command for page in PAGES for command in commands(page)]) >= 30
