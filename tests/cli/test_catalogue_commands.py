"""`catalogue` on the command line: what it reads, refuses and advises."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import cv2
import pytest
from grown import empty_catalogue, two_seasons
from tiny import TINY_SETTINGS, make_tiny_data, photograph, read_csv, write_csv
from typer.testing import CliRunner

from animalclef.catalogue.catalogue_folder import Catalogue
from animalclef.cli import app
from animalclef.cli.app import _Once
from animalclef.cli.catalogue import _reading
from animalclef.errors import ConfigError, DataError, OutputError
from animalclef.pipeline import run_context

SETTINGS = [part for one in TINY_SETTINGS for part in ("--set", one)]


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, ["catalogue", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_later_seasons_are_read_as_the_first_and_only_a_run_is_to_be_reviewed(tmp_path: Path) -> None:
    data = make_tiny_data(tmp_path / "data", datasets=("NewtID",))
    rows = [row for row in read_csv(data / "metadata.csv") if row["split"] == "query"]
    (data / "metadata.csv").unlink()
    for name, part in (("one", rows[:2]), ("two", rows[2:3])):
        lines = [[row["image_id"], row["path"], "", "NewtID", "5/1/2023"] for row in part]
        write_csv(data / f"{name}.csv", ["image_id", "where it lies", "identity", "dataset", "date"], lines)
    kept, columns = tmp_path / "kept", "path=where it lies,date_order=month-first"
    told = run("create", kept, "--data", data / "one.csv", "--columns", columns, "--device", "cpu", *SETTINGS)
    assert "Season 1: 0 named, 0 recognised, 2 of new individuals" in told
    assert "To review" not in told  # there is nobody to compare with: no run
    told = run("add", kept, "--data", data / "two.csv", "--device", "cpu")
    assert "2 photographs are not confirmed, so the new season is not compared with them" in " ".join(told.split())
    assert list(Catalogue(kept).table(all_of_them=True).date) == ["2023-05-01"] * 3
    catalogue = Catalogue(kept)
    assert _reading(catalogue, None).columns == {"path": "where it lies"}
    other = _reading(catalogue, "path=file")
    assert (other.columns, other.date_order) == ({"path": "file"}, "month-first")


def test_list_counts_the_photographs_of_each_individual(tmp_path: Path) -> None:
    kept = two_seasons(empty_catalogue(tmp_path / "kept"))
    kept.split(["1/c"], "Bella", "Ada", "another animal")  # Tara is left without a photograph
    told = run("list", tmp_path / "kept", "--out", tmp_path / "list.csv")
    assert "3 individuals on 5 photographs, 1 more without a photograph" in told
    lines = [line.split() for line in told.splitlines()]
    assert ["Luna", "I1", "NewtID", "3", "1–2", "2023-05-01", "2024-05-01"] in lines
    assert ["Tara", "I2", "NewtID", "0", "-", "-", "-"] in lines
    assert max(map(len, told.splitlines()[:-1])) <= 80
    listed = json.loads(run("list", tmp_path / "kept", "--json"))
    assert listed[0] == {
        "name": "Luna", "id": "I1", "dataset": "NewtID", "photographs": 3, "confirmed": 2, "first_season": 1,
        "last_season": 2, "first_date": "2023-05-01", "last_date": "2024-05-01",
    }  # fmt: skip
    assert listed[1] | {"photographs": 0, "first_season": None, "first_date": ""} == listed[1]
    assert [one["confirmed"] for one in listed] == [2, 0, 0, 1]
    table = read_csv(tmp_path / "list.csv")
    assert [list(row.values()) for row in table] == [
        ["" if cell is None else str(cell) for cell in one.values()] for one in listed
    ]
    run("list", tmp_path / "kept", "--out", tmp_path / "list.csv")  # its own list may be replaced
    (tmp_path / "notes.csv").write_text("a,b\n")
    with pytest.raises(OutputError, match="no list of individuals"):
        run("list", tmp_path / "kept", "--out", tmp_path / "notes.csv")
    empty_catalogue(tmp_path / "empty")
    assert "0 individuals on 0 photographs" in run("list", tmp_path / "empty")


def test_who_answers_several_photographs_and_folders_in_order_with_models_that_are_opened_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_tiny_data(tmp_path / "data", datasets=("NewtID",), queries=0, unknown=0)
    run("create", tmp_path / "kept", "--data", data, "--device", "cpu", *SETTINGS)
    seen = tmp_path / "seen"
    for name, animal in (("b/2.jpg", 1), ("b/1.jpg", 3), ("a.jpg", 2), ("c.jpg", 0)):
        (seen / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(seen / name), photograph([0, 0, animal], 8))
    (seen / "bad.jpg").write_bytes(b"no photograph")
    (seen / "none").mkdir()
    given = [seen / name for name in ("c.jpg", "bad.jpg", "b", "gone.jpg", "none", "a.jpg")]
    opened: list[object] = []
    real = run_context.open_models
    monkeypatch.setattr(run_context, "open_models", lambda *asked: opened.append(asked) or real(*asked))
    several = run("who", tmp_path / "kept", *given, "--device", "cpu")
    assert len(opened) == 1
    answered = [seen / name for name in ("c.jpg", "b/1.jpg", "b/2.jpg", "a.jpg")]
    heads = [line for line in several.splitlines() if "named from" in line]
    assert [line.partition(":")[0] for line in heads] == [str(one) for one in answered]
    for name in ("bad.jpg: not a readable image", "gone.jpg: cannot be read", "none: there is no photograph"):
        assert f"warning: {seen / name}" in several
    assert several.count("warning:") == 3
    alone = "".join(run("who", tmp_path / "kept", one, "--device", "cpu") for one in answered)
    assert [line for line in alone.splitlines() if "named from" in line] == heads  # each as if it were the only one
    listed = json.loads(run("who", tmp_path / "kept", seen / "b", "--device", "cpu", "--json"))
    assert [one["photograph"] for one in listed] == [str(seen / "b" / "1.jpg"), str(seen / "b" / "2.jpg")]
    assert [one["candidates"][0][0] for one in listed] == ["NewtID_3", "NewtID_1"]
    keys = ["photograph", "individual", "threshold", "candidates", "error"]
    alone, both = (
        json.loads(told[told.index("[\n") :])
        for given in (["b/1.jpg"], ["b/1.jpg", "bad.jpg"])
        for told in [run("who", tmp_path / "kept", *[seen / one for one in given], "--device", "cpu", "--json")]
    )
    assert alone == listed[:1]
    assert [list(one) for one in both] == [keys, keys]
    assert (both[0]["error"], both[1]["individual"]) == (None, None)
    assert "not a readable image" in both[1]["error"]
    with pytest.raises(DataError, match=r"bad\.jpg: not a readable image"):
        run("who", tmp_path / "kept", seen / "bad.jpg", "--device", "cpu")
    with pytest.raises(DataError, match="no photograph can be read"):
        run("who", tmp_path / "kept", seen / "bad.jpg", seen / "none", "--device", "cpu")


def test_photographs_and_a_log_are_not_confirmed_at_once(tmp_path: Path) -> None:
    command = ["catalogue", "confirm", str(tmp_path), "1/a", "--reviewed", "log.jsonl"]
    with pytest.raises(ConfigError, match=r"give photographs \(1/a\) or --reviewed log.jsonl, not both"):
        CliRunner().invoke(app, command, catch_exceptions=False)


def test_a_warning_is_printed_once_in_a_command() -> None:
    once = _Once()
    lines = [logging.LogRecord("a", logging.WARNING, "", 0, "%d pairs", (count,), None) for count in (2, 3, 2)]
    assert [once.filter(line) for line in lines] == [True, True, False]
