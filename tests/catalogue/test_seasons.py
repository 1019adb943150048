"""Seasons are added with the work of their own photographs, and with the answers of all of them at once."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny import TINY_SETTINGS, make_tiny_data, photograph, read_csv, write_csv
from whole_run import count_work

from animalclef.catalogue.catalogue_check import check_catalogue
from animalclef.catalogue.catalogue_folder import Catalogue
from animalclef.catalogue.export import export_catalogue
from animalclef.catalogue.recogniser import Machine, Recogniser
from animalclef.catalogue.reviewed_photographs import accept_review
from animalclef.catalogue.season_runs import SeasonRun, find_season_run
from animalclef.catalogue.seasons import Added, add_season, create_catalogue
from animalclef.config import load_config
from animalclef.data.review_log import ReviewLog
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.errors import DataError, OutputError
from animalclef.pipeline.predict import Outcome
from animalclef.pipeline.run_context import Plan
from animalclef.review.session import ReviewSession
from animalclef.runtime.atomic_files import output_error, write_bytes
from animalclef.runtime.file_lock import locked
from animalclef.runtime.progress import Silent
from animalclef.store.finished_run import load_run
from animalclef.structures import Skipped

CPU = Machine("cpu", workers=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data set in parts: `first.csv` (15 named), `one.csv` and `two.csv` (7 queries), `both.csv`, `more.csv`."""
    folder = make_tiny_data(tmp_path_factory.mktemp("data") / "tiny", datasets=("NewtID",))
    rows = read_csv(folder / "metadata.csv")
    named = [row for row in rows if row["split"] == "database"]
    queries = [row for row in rows if row["split"] == "query"]
    extra = [{**named[0], "image_id": "x", "path": "images/NewtID/0_9.jpg"}]
    cv2.imwrite(str(folder / extra[0]["path"]), photograph([0, 0, 0], 9))
    parts = {"first": named, "one": queries[:3], "two": queries[3:], "both": queries, "more": [*named[:2], *extra]}
    for name, part in parts.items():
        write_csv(folder / f"{name}.csv", list(rows[0]), [list(row.values()) for row in part])
    return folder


@pytest.fixture(scope="module")
def first(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue of the first season."""
    folder = tmp_path_factory.mktemp("catalogue") / "kept"
    config = load_config(None, [*TINY_SETTINGS, "cluster.new_ones=false"])
    _, added = create_catalogue(folder, loaded(data, "first"), config, "Ada", "", CPU)
    assert (added.season, added.named, added.recognised, added.new, added.known) == (1, 15, 0, 0, 0)
    return folder


@pytest.fixture
def folder(first: Path, tmp_path: Path) -> Path:
    shutil.copytree(first, tmp_path / "kept", symlinks=True)
    return tmp_path / "kept"


def loaded(data: Path, name: str):
    return load_table(find_source(data / f"{name}.csv"))


def add(folder: Path, data: Path, name: str) -> Added:
    return add_season(Catalogue(folder), loaded(data, name), "Ada", "", CPU)


def answers(folder: Path) -> dict[str, tuple[str | None, float]]:
    """Name and probability of every photograph that the program answered, by path."""
    with Catalogue(folder).reading() as connection:
        rows = connection.exec_driver_sql(
            "SELECT p.path, i.name, p.probability FROM photographs p JOIN individuals i ON p.individual = i.id "
            "WHERE p.confirmed = 0 ORDER BY p.path"
        ).all()
    told = {path.split("/", 2)[2]: (name, probability) for path, name, probability in rows}
    return {
        path: (None if name.startswith("new_") else name, probability) for path, (name, probability) in told.items()
    }


def test_only_a_seasons_own_photographs_are_computed_and_the_answers_are_those_of_all_at_once(
    folder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path / "at-once", symlinks=True)
    counts = count_work(monkeypatch)
    add(folder, data, "one")
    assert (counts["embeddings"], counts["keypoints"], counts["tuned"]) == (3, 3, 0)
    assert counts["pairs"] <= 3 * 15
    counts.clear()
    second = add(folder, data, "two")
    assert (second.season, second.recognised + second.new) == (3, 4)
    assert (counts["embeddings"], counts["keypoints"], counts["tuned"]) == (4, 4, 0)
    assert counts["pairs"] <= 4 * 15
    add(tmp_path / "at-once", data, "both")
    assert answers(folder) == answers(tmp_path / "at-once")
    assert len(answers(folder)) == 7
    named = [name for name, _ in answers(folder).values() if name is not None]
    assert named  # the drawn animals are easy to tell apart


def test_photographs_that_are_there_already_are_left_out(folder: Path, data: Path) -> None:
    added = add(folder, data, "more")
    assert (added.named, added.known) == (1, 2)
    with pytest.raises(DataError, match="3 photographs, all of them in the catalogue already"):
        add(folder, data, "more")
    assert len(Catalogue(folder).table()) == 16


def test_who_is_on_a_photograph_that_is_not_added(folder: Path, data: Path, tmp_path: Path) -> None:
    path = tmp_path / "seen.jpg"
    cv2.imwrite(str(path), photograph([0, 0, 2], 7))
    run = {one.name: one.read_bytes() for one in (folder / "run").iterdir() if one.is_file()}
    recogniser = Recogniser(Catalogue(folder), CPU)
    seen = recogniser.who(path)
    assert {one.name: one.read_bytes() for one in (folder / "run").iterdir() if one.is_file()} == run
    assert seen.candidates[0][0] == "NewtID_2"
    assert [p for _, p in seen.candidates] == sorted((p for _, p in seen.candidates), reverse=True)
    assert recogniser.who(path) == seen  # warm
    assert len(Catalogue(folder).table(all_of_them=True)) == 15
    path.write_bytes(b"no photograph")
    with pytest.raises(DataError, match=r"seen\.jpg"):
        recogniser.who(path)
    with pytest.raises(DataError, match="dataset CatID: the catalogue holds NewtID"):
        recogniser.who(path, "CatID")
    with pytest.raises(DataError, match="cannot be read"):
        recogniser.who(tmp_path / "gone.jpg")


def test_who_is_not_told_of_other_photographs_that_cannot_be_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from animalclef.catalogue import recogniser

    def identify(*given: Any) -> tuple[Outcome, object, object]:
        outcome, ranked, context = recognised(*given)
        return replace(outcome, set_aside=[Skipped("1/0", "0.jpg", "database", "cannot be decoded")]), ranked, context

    recognised = recogniser.identify
    monkeypatch.setattr(recogniser, "identify", identify)
    cv2.imwrite(str(tmp_path / "seen.jpg"), photograph([0, 0, 2], 7))
    assert Recogniser(Catalogue(folder), CPU).who(tmp_path / "seen.jpg").candidates[0][0] == "NewtID_2"


def test_the_run_of_a_season_can_be_looked_at(folder: Path, data: Path) -> None:
    add(folder, data, "one")
    run = load_run(folder / "run")
    assert len(run.images.queries) == 3
    assert all((run.images.root / path).is_file() for path in run.images.path)
    assert {one.kind for one in check_catalogue(Catalogue(folder))} >= {"unconfirmed"}


class MatchedPairs(Silent):
    """Counts the pairs that are matched."""

    def __init__(self) -> None:
        self.pairs = 0

    def task(self, name: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        self.pairs += total if name == "matching pairs" else 0
        return super().task(name, total, unit)


def test_the_announced_pairs_are_those_that_are_matched(folder: Path, data: Path, tmp_path: Path) -> None:
    plans: list[Plan] = []
    for name, photographs in (("one", 3), ("two", 4)):
        matched = MatchedPairs()
        machine = Machine("cpu", workers=2, progress=matched, announce=plans.append)
        add_season(Catalogue(folder), loaded(data, name), "Ada", "", machine)
        assert (plans[-1].pairs, plans[-1].images_to_describe) == (matched.pairs, photographs)
        assert matched.pairs > 0
        Catalogue(folder).confirm(None, "Ada", "")  # the next season is compared with these, too
    cv2.imwrite(str(tmp_path / "seen.jpg"), photograph([0, 0, 2], 7))
    for least in (1, 0):  # the second time nothing is left to match
        matched = MatchedPairs()
        recogniser = Recogniser(Catalogue(folder), replace(machine, progress=matched))
        recogniser.who(tmp_path / "seen.jpg")
        assert plans[-1].pairs == matched.pairs >= least
    assert matched.pairs == 0


def test_the_review_of_a_season_stays_open_when_the_next_is_added_or_undone(folder: Path, data: Path) -> None:
    catalogue = Catalogue(folder)
    with pytest.raises(DataError, match=r"no answers to review here\. Seasons that have some: none"):
        find_season_run(catalogue)  # every photograph of the first one had a name
    add(folder, data, "one")
    assert find_season_run(catalogue) == SeasonRun(2, folder / "run", folder / "season-2.review.jsonl")
    before = load_run(folder / "run")
    event = add(folder, data, "two").event
    assert (find_season_run(catalogue).season, find_season_run(catalogue).run) == (3, folder / "run")
    earlier = find_season_run(catalogue, 2)
    assert earlier.run == folder / "run" / "earlier" / "season-2"
    kept = load_run(earlier.run)
    assert kept.predictions.image_id.tolist() == before.predictions.image_id.tolist()
    assert kept.keypoint_stores  # its lines can be drawn
    with pytest.raises(DataError, match=r"no answers of season 1 to review here\. Seasons that have some: 2, 3"):
        find_season_run(catalogue, 1)
    session = ReviewSession(kept, ReviewLog(earlier.log, {}), "Ada")
    query, best = str(kept.ranked.query_id[0]), str(kept.ranked.gallery_id[0])
    session.answer(kept.row_of[query], kept.row_of[best], "same")
    assert accept_review(catalogue, earlier.log, "Ada", "") == (
        "Event 4: took answers about 1 photograph from season-2.review.jsonl."
    )
    assert query in catalogue.table().image_id
    catalogue.undo(event, "Ada", "")
    assert find_season_run(catalogue) == earlier
    catalogue.undo(5, "Ada", "")
    assert find_season_run(catalogue).season == 3


def test_a_season_that_was_computed_and_not_added_leaves_the_review_open(
    folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from animalclef.catalogue import seasons

    def full(*_: object) -> None:
        raise OutputError("catalogue.db: the disk is full.")

    add(folder, data, "one")
    with monkeypatch.context() as patched:
        patched.setattr(seasons, "write_season", full)
        with pytest.raises(OutputError, match="the disk is full"):
            add(folder, data, "two")
    assert find_season_run(Catalogue(folder)).run == folder / "run" / "earlier" / "season-2"
    add(folder, data, "two")
    assert sorted(one.name for one in (folder / "run" / "earlier").iterdir()) == ["season-2"]
    assert find_season_run(Catalogue(folder)).season == 3


def test_a_season_without_any_name_begins_a_catalogue_of_new_individuals(data: Path, tmp_path: Path) -> None:
    config = load_config(None, list(TINY_SETTINGS))
    catalogue, added = create_catalogue(tmp_path / "kept", loaded(data, "one"), config, "Ada", "", CPU)
    assert (added.named, added.new) == (0, 3)
    names = [one.name for one in catalogue.individuals()]
    assert names == ["new_1", "new_2", "new_3"][: len(names)]  # as `cluster` groups them
    with pytest.raises(DataError, match="no confirmed individual yet"):
        Recogniser(catalogue, CPU).who(data / "images" / "NewtID" / "0_0.jpg")
    catalogue.confirm(None, "Ada", "")
    second = add(tmp_path / "kept", data, "two")  # tunes, as there was nothing to tune on before
    assert second.recognised + second.new == 4


def test_a_photograph_that_cannot_be_read_is_left_out(folder: Path, data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    broken, empty, *_ = read_csv(data / "one.csv")
    (tmp_path / "data" / broken["path"]).write_bytes(b"no photograph")
    (tmp_path / "data" / empty["path"]).write_bytes(b"")
    added = add(folder, tmp_path / "data", "one")
    as_in_the_table = {(one["image_id"], one["path"]) for one in (broken, empty)}
    assert {(one.image_id, one.path) for one in added.skipped} == as_in_the_table
    assert len(answers(folder)) == 1


def test_nor_is_it_an_individual_of_a_first_season_without_names(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    broken = read_csv(data / "one.csv")[0]["path"]
    (tmp_path / "data" / broken).write_bytes(b"no photograph")
    config = load_config(None, list(TINY_SETTINGS))
    catalogue, added = create_catalogue(tmp_path / "kept", loaded(tmp_path / "data", "one"), config, "Ada", "", CPU)
    assert ([one.path for one in added.skipped], added.new, len(catalogue.rows())) == ([broken], 2, 2)


def test_the_first_of_two_equal_files_is_kept_and_the_other_is_listed(folder: Path, data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    rows = read_csv(data / "one.csv")
    for name in ("copy", "again"):
        shutil.copy(data / rows[0]["path"], tmp_path / "data" / f"{name}.jpg")
    lines = [
        rows[1],
        {**rows[0], "image_id": "c", "path": "copy.jpg"},
        rows[0],
        {**rows[0], "image_id": "d", "path": "again.jpg"},
    ]
    known = read_csv(data / "first.csv")[0]
    write_csv(tmp_path / "data" / "one.csv", list(rows[0]), [list(row.values()) for row in [*lines, known]])
    added = add(folder, tmp_path / "data", "one")
    assert [(one.path, one.reason) for one in added.skipped] == [
        (rows[0]["path"], "the same photograph as copy.jpg"), ("again.jpg", "the same photograph as copy.jpg"),
    ]  # fmt: skip
    assert (added.recognised + added.new, added.known) == (2, 1)
    assert {*answers(folder)} == {rows[1]["path"], "copy.jpg"}


def test_a_new_decision_is_advised_when_many_more_photographs_are_confirmed(
    folder: Path, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Catalogue(folder).changing() as connection:
        connection.exec_driver_sql("UPDATE photographs SET fitted = (id <= 8)")
    recognised = Recogniser(Catalogue(folder), CPU).who_all([data / one["path"] for one in read_csv(data / "two.csv")])
    assert len(list(recognised)) == 4
    add(folder, data, "more")  # named ones alone
    assert "fitted on another gallery" not in caplog.text
    assert "There are no queries" not in caplog.text
    assert "--retune" not in caplog.text
    add(folder, data, "one")
    assert (
        "16 photographs are confirmed, and the decision was tuned on 8 of them. `animalclef catalogue add --retune` "
        "(in Python: retune=True) tunes a new one with a season."
    ) in caplog.text


def test_one_that_cannot_be_read_is_not_mistaken_for_another_of_the_season(
    folder: Path, data: Path, tmp_path: Path
) -> None:
    """The catalogue calls photograph 7 of season 2 `2/7`; the table may have a photograph of that name itself."""
    rows = read_csv(data / "one.csv")
    rows[0]["image_id"], rows[1]["image_id"] = "2/7", "7"
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "data" / rows[0]["path"]).write_bytes(b"")
    write_csv(tmp_path / "data" / "one.csv", list(rows[0]), [list(row.values()) for row in rows])
    added = add(folder, tmp_path / "data", "one")
    assert (added.season, len(added.skipped), added.recognised + added.new) == (2, 1, 2)


def test_a_moved_season_is_told_by_check(folder: Path, data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    add(folder, tmp_path / "data", "one")
    shutil.rmtree(tmp_path / "data")
    [missing] = [one for one in check_catalogue(Catalogue(folder)) if one.kind == "missing"]
    assert missing.sentence.startswith("moved or removed: 3 photographs (first: photographs/2/images/")
    assert len(answers(folder)) == 3
    Catalogue(folder).confirm(None, "Ada", "")
    added = add(folder, data, "two")  # compared with what was computed of them
    assert (added.recognised + added.new, list(added.skipped)) == (4, [])


def test_a_season_of_folders_is_of_the_data_set_that_is_there(folder: Path, data: Path, tmp_path: Path) -> None:
    rows = read_csv(data / "one.csv")
    season = tmp_path / "next-season"
    for path in ("query/1.jpg", "query/2.jpg", "database/newtid_0/9.jpg"):
        (season / path).parent.mkdir(parents=True, exist_ok=True)
    for place, row in enumerate(rows[:2], start=1):
        shutil.copy(data / row["path"], season / f"query/{place}.jpg")
    cv2.imwrite(str(season / "database/newtid_0/9.jpg"), photograph([0, 0, 0], 8))
    catalogue = Catalogue(folder)
    before = len(catalogue.individuals())
    added = add_season(catalogue, load_table(find_source(season)), "Ada", "", CPU)
    assert (added.named, added.recognised, added.new) == (1, 2, 0)
    assert set(catalogue.table(all_of_them=True).dataset) == {"NewtID"}
    assert len(catalogue.individuals()) == before  # newtid_0 is NewtID_0
    assert catalogue.table().identity[-1] == "NewtID_0"


def test_a_season_without_a_data_set_is_refused_where_there_are_several(
    folder: Path, data: Path, tmp_path: Path
) -> None:
    rows = [{**row, "dataset": "CatID"} for row in read_csv(data / "one.csv")]
    write_csv(data / "cats.csv", list(rows[0]), [list(row.values()) for row in rows])
    add(folder, data, "cats")
    (tmp_path / "season" / "query").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "season/query/1.jpg"), photograph([0, 0, 0], 8))
    with pytest.raises(DataError, match="season: no data set is named, and the catalogue holds CatID, NewtID"):
        add_season(Catalogue(folder), load_table(find_source(tmp_path / "season")), "Ada", "", CPU)


def test_a_photograph_that_is_gone_does_not_stop_the_next_season(folder: Path, data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "moved")
    link = folder / "photographs/1"
    link.unlink()
    link.symlink_to(tmp_path / "moved")
    (tmp_path / "moved" / read_csv(data / "first.csv")[0]["path"]).unlink()
    assert add(folder, data, "one").recognised == 3
    assert [one.kind for one in check_catalogue(Catalogue(folder))].count("missing") == 1


def test_a_cut_photograph_that_is_gone_does_not_stop_the_next_season(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(data, tmp_path / "data")
    config = load_config(None, [*TINY_SETTINGS, "cluster.new_ones=false", "prepare.mode=cut-out"])
    catalogue, _ = create_catalogue(tmp_path / "kept", loaded(tmp_path / "data", "first"), config, "Ada", "", CPU)
    gone = catalogue.table()
    (gone.root / gone.path[0]).unlink()
    added = add(tmp_path / "kept", tmp_path / "data", "one")
    assert added.recognised + added.new == 3
    assert gone.image_id[0] in [row["image_id"] for row in read_csv(tmp_path / "kept/run/table.csv")]
    assert "Left out" not in caplog.text
    shutil.rmtree(tmp_path / "kept/run/cuts")  # as an earlier version left it
    query = tmp_path / "data" / read_csv(data / "two.csv")[0]["path"]
    Recogniser(Catalogue(tmp_path / "kept"), CPU).who(query)
    assert (
        caplog.text.count("Left out 1 database photograph: missing, and never cut out before (first in the table: ")
        == 1
    )


def test_the_further_columns_of_a_table_are_exported(data: Path, tmp_path: Path) -> None:
    """Of two seasons with other columns, after a merge, and after a season was undone and brought back."""
    first, second = read_csv(data / "first.csv")[:4], read_csv(data / "one.csv")[:1]
    of_first = [{**row, "site": f"pond, {place}", "latitude": "52.10", "split": ""} for place, row in enumerate(first)]
    of_first[3]["site"] = ""
    of_second = [{**row, "date": "not read", "day": row["date"], "observer": "Zoë", "site": "weir"} for row in second]
    for name, rows in (("sites", of_first), ("observers", of_second)):
        kept = [{key: cell for key, cell in row.items() if key != "split"} for row in rows]
        write_csv(data / f"{name}.csv", list(kept[0]), [list(row.values()) for row in kept])
    config = load_config(None, [*TINY_SETTINGS, "cluster.new_ones=false"])
    catalogue, _ = create_catalogue(tmp_path / "kept", loaded(data, "sites"), config, "Ada", "", CPU)
    source = find_source(data / "observers.csv", columns={"date": "day"})
    added = add_season(catalogue, load_table(source), "Ada", "", CPU)
    catalogue.merge("NewtID_0", "NewtID_1", "Ada", "")
    for event in (added.event + 1, added.event, None):
        catalogue.undo(event or catalogue.history()[-1].id, "Ada", "")
    export_catalogue(Catalogue(tmp_path / "kept"), "table", tmp_path / "kept/table.csv")
    exported = read_csv(tmp_path / "kept/table.csv")
    assert list(exported[0])[-5:] == ["site", "latitude", "date_2", "observer", "confirmed"]
    assert [row["site"] for row in exported] == ["pond, 0", "pond, 1", "pond, 2", "", "weir"]
    assert [row["latitude"] for row in exported] == ["52.10"] * 4 + [""]
    assert [(row["date"], row["date_2"], row["observer"]) for row in exported[3:]] == [
        (first[3]["date"], "", ""), (second[0]["date"], "not read", "Zoë"),
    ]  # fmt: skip
    export_catalogue(catalogue, "table", tmp_path / "kept/table.csv")  # its own table may be replaced
    again = load_table(find_source(tmp_path / "kept/table.csv"))
    assert (again.unused, again.problems) == (["site", "latitude", "date_2", "observer", "confirmed"], [])
    assert again.images.date.tolist() == [row["date"] for row in [*first, *second]]


@pytest.mark.parametrize("is_named", [True, False])
def test_a_catalogue_may_begin_with_one_photograph(data: Path, tmp_path: Path, *, is_named: bool) -> None:
    row = read_csv(data / "first.csv")[0]
    row["identity"] = row["identity"] if is_named else ""
    path = row["path"]
    write_csv(data / "single.csv", list(row), [list(row.values())])
    config = load_config(None, list(TINY_SETTINGS))
    catalogue, added = create_catalogue(tmp_path / "kept", loaded(data, "single"), config, "Ada", "", CPU)
    assert (added.named, added.recognised, added.new) == ((1, 0, 0) if is_named else (0, 0, 1))
    [image_id] = catalogue.table(all_of_them=True).image_id
    assert image_id == f"1/{row['image_id']}"
    if is_named:
        assert [name for name, _ in Recogniser(catalogue, CPU).who(data / path).candidates] == [row["identity"]]


@pytest.mark.parametrize("name", ["embeddings", "keypoints"])
def test_a_disk_that_fills_while_a_season_is_computed_is_one_sentence(
    name: str, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from animalclef.store import shard_store

    def write(path: Path, content: bytes) -> None:
        if name in path.parts:
            raise output_error(path, OSError(errno.ENOSPC, "No space left on device"))
        write_bytes(path, content)

    before = (folder / "catalogue.db").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(shard_store, "write_bytes", write)
        with pytest.raises(OutputError, match="the disk is full"):
            add(folder, data, "one")
    assert Catalogue(folder).roots().keys() == {1}
    assert len(Catalogue(folder).table(all_of_them=True)) == 15
    assert (folder / "catalogue.db").read_bytes() == before
    assert add(folder, data, "one").season == 2


def test_two_processes_cannot_add_at_once(folder: Path, data: Path) -> None:
    with locked(folder / "season", ""), pytest.raises(OutputError, match="another process has locked it"):
        add(folder, data, "one")


def test_an_interrupted_add_leaves_the_catalogue_as_it_was_and_is_done_again(
    folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from animalclef.catalogue import seasons

    def full(*_: object) -> None:
        raise OutputError("catalogue.db: the disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(seasons, "write_season", full)
        with pytest.raises(OutputError, match="the disk is full"):
            add(folder, data, "one")
    assert len(Catalogue(folder).table(all_of_them=True)) == 15
    assert len(Catalogue(folder).history()) == 1
    counts = count_work(monkeypatch)
    assert add(folder, data, "one").season == 2
    assert (counts["embeddings"], counts["pairs"]) == (0, 0)


def test_a_catalogue_whose_beginning_failed_is_begun_again_with_other_settings(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from animalclef.catalogue import seasons

    def full(*_: object) -> None:
        raise OutputError("catalogue.db: the disk is full.")

    first, second = (load_config(None, [*TINY_SETTINGS, f"retrieve.top_k={k}"]) for k in (4, 5))
    with monkeypatch.context() as patched:
        patched.setattr(seasons, "write_season", full)
        with pytest.raises(OutputError, match="the disk is full"):
            create_catalogue(tmp_path / "kept", loaded(data, "one"), first, "Ada", "", CPU)
    catalogue, added = create_catalogue(tmp_path / "kept", loaded(data, "one"), second, "Ada", "", CPU)
    assert (added.season, Recogniser(catalogue, CPU).config.retrieve.top_k) == (1, 5)
    with pytest.raises(DataError, match="there is a catalogue already"):
        create_catalogue(tmp_path / "kept", loaded(data, "two"), first, "Ada", "", CPU)
    assert Recogniser(catalogue, CPU).config.retrieve.top_k == 5


def test_a_large_catalogue_looks_at_candidates_alone_and_answers_the_same(
    first: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a network and the embedding alone as the source of candidates; the network here is a mean of colours."""
    from animalclef.catalogue.nearest_photographs import NearestPhotographs

    table = Catalogue(first).table()
    recogniser = Recogniser(Catalogue(first), CPU)
    context = recogniser._opened
    assert not NearestPhotographs.suffices(context)  # LNBNN looks at the whole database

    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(len(table) + 1, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    nearest = object.__new__(NearestPhotographs)
    nearest._gallery, nearest._context = table, context
    nearest._rows = {"NewtID": np.arange(len(table))}
    import faiss

    nearest._index = {"NewtID": faiss.IndexFlatIP(8)}
    nearest._index["NewtID"].add(vectors[:-1])
    monkeypatch.setattr(nearest, "_vectors", lambda _: vectors[-1:])
    top_k = context.config.retrieve.top_k
    expected = np.sort(np.argsort(-(vectors[:-1] @ vectors[-1]), kind="stable")[:top_k])
    query = table.select(np.array([0]))
    np.testing.assert_array_equal(nearest.rows(query), expected)


@pytest.mark.parametrize("mode", ["whole", "cut-out"])
def test_a_decision_is_tuned_again_although_a_photograph_is_gone(tmp_path: Path, mode: str) -> None:
    data = make_tiny_data(tmp_path / "data", datasets=("NewtID",), individuals=12, gallery_images=4)
    rows = read_csv(data / "metadata.csv")
    for name, split in (("first", "database"), ("one", "query")):
        part = [row for row in rows if row["split"] == split]
        write_csv(data / f"{name}.csv", list(rows[0]), [list(row.values()) for row in part])
    settings = ["cluster.new_ones=false", f"prepare.mode={mode}", "prepare.trial_queries=24"]
    config = load_config(None, [*TINY_SETTINGS, *settings])
    catalogue, _ = create_catalogue(tmp_path / "kept", loaded(data, "first"), config, "Ada", "", CPU)
    table = catalogue.table()
    (table.root / table.path[0]).unlink()
    added = add_season(Catalogue(tmp_path / "kept"), loaded(data, "one"), "Ada", "", CPU, retune=True)
    assert added.recognised + added.new == 14
    prepared = json.loads((tmp_path / "kept" / "run" / "prepare.json").read_text())["datasets"]["NewtID"]
    assert prepared["mode"] == mode
    assert prepared["upright_gain"] is not None  # the trial was made; processors differ in its outcome
