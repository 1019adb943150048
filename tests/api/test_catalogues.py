"""A catalogue in Python does what the commands do."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
from grown import empty_catalogue, two_seasons
from sqlalchemy.exc import SQLAlchemyError
from tiny import TINY_SETTINGS, make_tiny_data, photograph, read_csv, write_csv

import animalclef as ac
from animalclef.errors import ConfigError, DataError, OutputError, PhotographError
from animalclef.pipeline import predict
from animalclef.pipeline.features import FeatureSet
from animalclef.pipeline.run_context import RunContext
from animalclef.structures import ImageTable


def test_a_catalogue_from_its_first_season_to_an_undone_one(tmp_path: Path) -> None:
    data = make_tiny_data(tmp_path / "data", datasets=("NewtID",))
    rows = read_csv(data / "metadata.csv")
    for name, split in (("first", "database"), ("second", "query")):
        part = [list(row.values()) for row in rows if row["split"] == split]
        write_csv(data / f"{name}.csv", list(rows[0]), part)
    config = ac.load_config(None, *TINY_SETTINGS, "cluster.new_ones=false")
    catalogue = ac.create_catalogue(tmp_path / "kept", data / "first.csv", config=config, who="Ada", device="cpu")
    cv2.imwrite(str(tmp_path / "seen.jpg"), photograph([0, 0, 2], 7))
    (tmp_path / "bad.jpg").write_bytes(b"no photograph")
    seen = catalogue.who([tmp_path / "seen.jpg", tmp_path / "bad.jpg"], candidates=2, device="cpu")
    assert list(seen.columns) == ["photograph", "individual", "threshold", "candidates", "error"]
    assert seen.photograph.tolist() == [str(tmp_path / "seen.jpg"), str(tmp_path / "bad.jpg")]
    assert (seen.candidates[0][0][0], len(seen.candidates[0]), seen.candidates[1]) == ("NewtID_2", 2, [])
    assert seen.error[0] is None
    assert "not a readable image" in seen.error[1]
    with pytest.raises(PhotographError, match=r"bad\.jpg"):
        catalogue.who(str(tmp_path / "bad.jpg"), device="cpu")
    assert len(catalogue.individuals) == 5  # nothing was added
    added = catalogue.add(data / "second.csv", who="Ada", device="cpu")
    assert (added.season, added.recognised + added.new) == (2, 7)
    assert "unconfirmed" in set(catalogue.check().kind)
    assert catalogue.confirm(who="Ada") == "Event 3: confirmed 7 photographs."
    assert catalogue.export(tmp_path / "table.csv")[0].startswith(
        f"Table: {tmp_path / 'table.csv'} (22 rows, 22 confirmed)"
    )
    catalogue.undo(added.event, who="Bo", why="the wrong folder")
    assert catalogue.history.iloc[-1][["who", "kind", "undoes"]].tolist() == ["Bo", "undo", 2]
    assert catalogue.individuals.photographs.sum() == 15


def test_changes_are_signed_and_say_what_was_done(tmp_path: Path) -> None:
    two_seasons(empty_catalogue(tmp_path / "kept"))
    catalogue = pickle.loads(pickle.dumps(ac.load_catalogue(tmp_path / "kept")))
    assert catalogue.rename("Tara", "Bella", who="Ada", why="") == "Event 3: renamed Tara (I2) to Bella."
    assert catalogue.merge("Luna", "Bella", who="Ada", why="").startswith("Event 4: merged Bella (I2) into Luna (I1)")
    assert catalogue.split(["1/c"], to="Tara", who="Ada", why="").startswith("Event 5: moved 1 photograph to Tara")
    assert catalogue.confirm(["2/d"], who="Ada") == "Event 6: confirmed 1 photograph."
    assert catalogue.undo(who="Ada").id == 6
    with pytest.raises(ConfigError, match=r"give photographs or reviewed='log\.jsonl', not both"):
        catalogue.confirm(["2/d"], reviewed="log.jsonl")
    assert catalogue.history.who.tolist() == ["Ada"] * 7


def test_a_catalogue_and_a_run_are_not_put_into_each_other(
    tiny_run: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, run = tiny_run
    for place in (run, run / "cat"):
        with pytest.raises(OutputError, match=r"whose files the next run may remove\. Give the catalogue a folder"):
            ac.create_catalogue(place, data, who="Ada")
    assert not (run / "cat").exists()
    two_seasons(empty_catalogue(tmp_path / "kept"))
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"kept/run: the catalogue .*kept keeps the results of its seasons here"):
            ac.predict(data, run_dir=tmp_path / "kept" / "run", overwrite=overwrite, device="cpu")
    with pytest.raises(OutputError, match="keeps the results of its seasons here"):
        ac.cluster(data, run_dir=tmp_path / "kept" / "run" / "earlier" / "season-1")
    monkeypatch.chdir(tmp_path / "kept")
    with pytest.raises(OutputError, match="keeps the results of its seasons here"):
        ac.predict(data, run_dir="run", device="cpu")


def test_a_text_is_one_photograph_and_a_mistake_is_no_damage(tmp_path: Path) -> None:
    two_seasons(empty_catalogue(tmp_path / "kept"))
    catalogue = ac.load_catalogue(tmp_path / "kept")
    assert catalogue.split("1/c", why="another ear", who="Ada").startswith("Event 3: moved 1 photograph to new_4")
    assert catalogue.confirm("2/d", who="Ada") == "Event 4: confirmed 1 photograph."
    assert catalogue.undo("4", who="Ada").kind == "confirm"
    with pytest.raises(DataError, match="1/x: the catalogue has no such photograph"):
        catalogue.confirm("1/x")
    with pytest.raises(SQLAlchemyError, match="IN expression"):  # below the checks of the arguments
        catalogue.opened.split("1/c", None, "Ada", "")
    with pytest.raises(SQLAlchemyError, match=r"is not supported|unsupported type"):
        catalogue.opened.split([{"a": 1}], None, "Ada", "")  # type: ignore[list-item]
    with pytest.raises(SQLAlchemyError, match="NOT NULL"):
        catalogue.opened.rename("Luna", "Stella", "Ada", None)  # type: ignore[arg-type]
    assert len(catalogue.history) == 5


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda one: one.rename("Luna", "Stella", why=None), "^rename: why: expected a text, got NoneType.$"),
        (lambda one: one.rename("Luna", None, why=""), "^rename: name: expected a text, got NoneType.$"),
        (lambda one: one.merge("Luna", 2, why=""), "^merge: other: expected a text, got int.$"),
        (lambda one: one.split("1/c", to=3, why=""), "^split: to: expected a text, got int.$"),
        (lambda one: one.split([], why="x"), "^split: give at least one photograph; the list is empty.$"),
        (lambda one: one.split(["1/c", 3], why="x"), "^split: photographs: expected a photograph by SEASON/ID, or a l"),
        (lambda one: one.split(None, why="x"), "^split: photographs: expected a photograph by .* got NoneType.$"),
        (lambda one: one.confirm([]), "^confirm: give at least one photograph; the list is empty.$"),
        (lambda one: one.confirm(reviewed=""), "expected a path, got an empty text"),
        (lambda one: one.undo("last"), "^undo: event: expected a whole number such as 3, got 'last'.$"),
        (lambda one: one.undo(True), "^undo: event: expected a whole number such as 3, got bool.$"),
        (lambda one: one.who([]), "^who: give at least one photograph; the list is empty.$"),
        (lambda one: one.who(""), "expected a path, got an empty text"),
        (lambda one: one.who(["a.jpg", ""]), "expected a path, got an empty text"),
        (lambda one: one.who(3), "^who: photographs: expected the path of a photograph or a folder, .*, got int.$"),
        (lambda one: one.export(""), "expected a path, got an empty text"),
        (lambda _: ac.load_catalogue(""), "expected a path, got an empty text"),
        (lambda _: ac.create_catalogue("", "nowhere"), "expected a path, got an empty text"),
    ],
)
def test_an_argument_that_cannot_be_used_is_one_sentence(
    call: Callable[[Any], object], sentence: str, tmp_path: Path
) -> None:
    two_seasons(empty_catalogue(tmp_path / "kept"))
    catalogue = ac.load_catalogue(tmp_path / "kept")
    with pytest.raises((TypeError, ValueError), match=sentence):
        call(catalogue)
    assert len(catalogue.history) == 2


def test_what_a_season_leaves_out_is_told_and_a_sentence_of_who_comes_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_tiny_data(tmp_path / "data", datasets=("NewtID",))
    rows = read_csv(data / "metadata.csv")
    (data / rows[1]["path"]).write_bytes(b"")
    config = ac.load_config(None, *TINY_SETTINGS, "cluster.new_ones=false")
    catalogue = ac.create_catalogue(tmp_path / "kept", data, config=config, who="Ada", device="cpu")
    assert catalogue.created is not None
    assert [(one.path, one.reason) for one in catalogue.created.skipped] == [(rows[1]["path"], "the file is empty")]
    told = f"1 photograph was left out (first: {rows[1]['path']}, the file is empty); created.skipped of the catalogue"
    assert told in caplog.text
    assert ac.load_catalogue(tmp_path / "kept").created is None
    caplog.clear()

    def warned(asked: ImageTable, features: FeatureSet, context: RunContext) -> None:
        context.warn("NewtID: look at this.")

    monkeypatch.setattr(predict, "_warn_about_data", warned)
    seen = catalogue.who([data / row["path"] for row in rows[-3:]], device="cpu")
    assert (len(seen), caplog.text.count("look at this")) == (3, 1)
    catalogue.who(data / rows[-1]["path"], device="cpu")
    assert caplog.text.count("look at this") == 2  # once in each call
