"""`review` begins a log, and `predict --reviewed` and `cluster --reviewed` go by it."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import TINY_SETTINGS, read_csv
from typer.testing import CliRunner, Result

import animalclef as ac
from animalclef.cli import app
from animalclef.data.review_log import ReviewLog, Said, SeenPhotograph
from animalclef.errors import ConfigError, DataError, OutputError, StaleArtefactError
from animalclef.review.session import ReviewSession
from animalclef.store.finished_run import load_run

SETTINGS = [part for one in TINY_SETTINGS for part in ("--set", one)]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)


def photograph_of(path: Path, image_id: str) -> SeenPhotograph:
    row = next(row for row in read_csv(path / "table.csv") if row["image_id"] == image_id)
    return SeenPhotograph(image_id, row["key"], row["path"])


def say(log: Path, path: Path, *answers: tuple[str, Said, str]) -> None:
    for first, said, second in answers:
        ReviewLog(log).add("Ada", said, (photograph_of(path, first), photograph_of(path, second)), {})


def test_predict_goes_by_the_log(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    data, path = tiny_run[0], tmp_path / "run"
    shutil.copytree(tiny_run[1], path)
    answers = read_csv(path / "answers.csv")
    named = [row for row in answers if row["identity"].startswith("NewtID")]
    new = next(row for row in answers if not row["identity"] and float(row["probability"]) > 0)
    gallery = [row for row in read_csv(path / "candidates.csv") if row["query_id"] == named[0]["image_id"]]
    of_its_name = next(row["gallery_id"] for row in gallery if row["identity"] == named[0]["identity"])
    candidate = next(row for row in read_csv(path / "candidates.csv") if row["query_id"] == new["image_id"])
    log, out = tmp_path / "review.jsonl", tmp_path / "who.csv"
    say(log, path, (named[0]["image_id"], "different", of_its_name), (new["image_id"], "same", candidate["gallery_id"]))
    done = run("predict", "--data", data, "--run", path, "--reviewed", log, "--out", out, "--no-ledger", *SETTINGS)
    assert done.exit_code == 0, done.output
    after = {row["image_id"]: row["identity"] for row in read_csv(out)}
    assert after[new["image_id"]] == candidate["identity"]
    assert after[named[0]["image_id"]] != named[0]["identity"]
    settled = {new["image_id"], named[0]["image_id"]}
    before = {row["image_id"]: row["identity"] or "new_individual" for row in answers}
    assert {one: who for one, who in after.items() if one not in settled} == {
        one: who for one, who in before.items() if one not in settled
    }
    finished = json.loads((path / "finished.json").read_text())
    assert len(finished["reviewed"]) == 64
    told = load_run(path).predictions
    assert told.probability[list(before).index(new["image_id"])] == 1.0
    marks = {new["image_id"]: "named", named[0]["image_id"]: "excluded"}
    assert told.reviewed is not None
    assert {one: what for one, what in zip(told.image_id, told.reviewed, strict=True) if what} == marks
    for_people = {row["image_id"]: row for row in read_csv(tmp_path / "who.answers.csv")}
    assert {one: row["reviewed"] for one, row in for_people.items() if row["reviewed"]} == marks
    without = for_people[named[0]["image_id"]]
    assert named[0]["identity"] not in (without["next_candidate"], without["third_candidate"])
    ac.load_run(path).to_submission(tmp_path / "opened.csv")  # the run does not hold who was excluded
    others = ("next_candidate", "next_probability", "third_candidate", "third_probability")
    for row in read_csv(tmp_path / "opened.answers.csv"):
        assert row == for_people[row["image_id"]] | (dict.fromkeys(others, "") if row["image_id"] in settled else {})
    assert "People's answers decided 2 queries: 1 named, 1 without the individuals" in " ".join(done.output.split())
    page = tmp_path / "report.html"
    assert run("report", path, "--data", data, "--out", page).exit_code == 0
    assert '"reviewed":"excluded"' in page.read_text().replace(" ", "")


@pytest.mark.parametrize("is_there", [True, False])
def test_a_log_that_cannot_be_used_is_refused_before_the_work(
    tiny_run: tuple[Path, Path], tmp_path: Path, *, is_there: bool
) -> None:
    log = tmp_path / "review.jsonl"
    if is_there:
        sides = (SeenPhotograph("0", "k", "elsewhere/a.jpg"), SeenPhotograph("1", "l", "elsewhere/b.jpg"))
        ReviewLog(log).add("Ada", "same", sides, {})
    with pytest.raises(StaleArtefactError if is_there else DataError, match="another run" if is_there else "no such"):
        run("predict", "--data", tiny_run[0], "--run", tmp_path / "run", "--reviewed", log, "--no-ledger", *SETTINGS)
    assert not (tmp_path / "run").exists()


def test_review_opens_a_log_beside_the_run(
    tiny_run: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "my-run"
    shutil.copytree(tiny_run[1], path)
    addresses: list[str] = []

    def answer(session: ReviewSession, bound: socket.socket, announce: Callable[[str], None]) -> None:
        announce("http://127.0.0.1:1/token/")
        bound.close()
        first, second = (one["row"] for one in session.state()["question"]["animals"])
        addresses.append(session.answer(first, second, "unsure")["saved"]["said"])

    monkeypatch.setattr("animalclef.review.server.serve", answer)
    done = run("review", path, "--who", "Ada", "--data", tiny_run[0])
    assert done.exit_code == 0
    assert "Review: http://127.0.0.1:1/token/" in done.output
    assert addresses == ["unsure"]
    [one] = ReviewLog(tmp_path / "my-run.review.jsonl").standing()
    assert (one.who, one.said) == ("Ada", "unsure")


def test_groups_go_by_the_log(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    path, log, out = tmp_path / "run", tmp_path / "review.jsonl", tmp_path / "clusters.csv"
    shutil.copytree(tiny_run[1], path)
    queries = [row["image_id"] for row in read_csv(path / "table.csv") if row["split"] == "query" and row["key"]]
    newts = [one for one in queries if photograph_of(path, one).path.startswith("images/NewtID")]
    say(log, path, (newts[0], "same", newts[1]))
    done = run("cluster", "--run", path, "--reviewed", log, "--out", out)
    assert done.exit_code == 0, done.output
    cluster = {row["image_id"]: row["cluster"] for row in read_csv(out)}
    assert cluster[newts[0]] == cluster[newts[1]]


def test_tune_takes_answers_as_labelled_pairs(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    path, log = tmp_path / "run", tmp_path / "review.jsonl"
    shutil.copytree(tiny_run[1], path)
    candidates = [row for row in read_csv(path / "candidates.csv") if row["identity"].startswith("NewtID")]
    last = {row["query_id"]: row for row in candidates}  # wrong on purpose: its worst candidate is the animal
    tuned = {}
    for name, given in (("plain", ()), ("reviewed", ("--reviewed", log))):
        if given:
            say(log, path, *((row["query_id"], "same", row["gallery_id"]) for row in last.values()))
        done = run("tune", "--run", path, "--trials", "2", "--out", tmp_path / name, "--no-ledger", *given)
        assert done.exit_code == 0, done.output
        tuned[name] = json.loads((tmp_path / name).read_text())
    slopes = {name: one["datasets"]["NewtID"]["calibrators"]["inliers"]["slope"] for name, one in tuned.items()}
    assert slopes["reviewed"] < slopes["plain"]  # a high score says less than it did
    assert tuned["reviewed"]["datasets"]["CatID"] == tuned["plain"]["datasets"]["CatID"]
    counts = {name: one["datasets"]["NewtID"]["validation"]["pseudo_queries"] for name, one in tuned.items()}
    assert counts["reviewed"] == counts["plain"]  # answered queries take no part in the validation
    assert sorted(one.name.split("-")[0] for one in path.glob("studies*")) == ["studies", "studies.db"]


def test_tune_refuses_the_log_of_another_run_and_says_where_answers_do_not_help(
    tiny_run: tuple[Path, Path], tmp_path: Path
) -> None:
    path, log = tiny_run[1], tmp_path / "review.jsonl"
    sides = (SeenPhotograph("0", "k", "elsewhere/a.jpg"), SeenPhotograph("1", "l", "elsewhere/b.jpg"))
    ReviewLog(log).add("Ada", "same", sides, {})
    command = ("tune", "--run", path, "--trials", "1", "--out", tmp_path / "t.json", "--no-ledger", "--reviewed", log)
    with pytest.raises(StaleArtefactError, match="the review of another run"):
        run(*command)
    log.unlink()
    queries = [row["image_id"] for row in read_csv(path / "answers.csv") if row["identity"].startswith("NewtID")]
    say(log, path, (queries[0], "same", queries[1]))
    done = run(*command, "--storage", f"sqlite:///{tmp_path / 's.db'}")
    assert done.exit_code == 0
    assert "No answer is about a query and a database photograph" in done.output.replace("\n", " ")
    with pytest.raises(OutputError, match=r"review\.jsonl"):
        run(*command[:6], log, *command[7:])


def test_a_log_in_the_run_folder_survives_overwrite(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(tiny_run[1], path)
    log = path / "review.jsonl"
    say(
        log,
        path,
        (read_csv(path / "answers.csv")[0]["image_id"], "unsure", read_csv(path / "candidates.csv")[0]["gallery_id"]),
    )
    with pytest.raises(ConfigError, match="Overwriting would remove"):
        run("predict", "--data", tiny_run[0], "--run", path, "--reviewed", log, "--overwrite", "--no-ledger", *SETTINGS)
    assert log.is_file()


def test_a_sheet_is_written_and_its_answers_are_read(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    log, sheet = tmp_path / "review.jsonl", tmp_path / "questions.html"
    done = run("review", tiny_run[1], "--log", log, "--sheet", sheet, "--questions", "2")
    assert done.exit_code == 0, done.output
    assert "(2 questions)" in done.output
    assert sheet.is_file()
    assert not log.exists()
    every = run("review", tiny_run[1], "--log", log, "--sheet", tmp_path / "all.html", "--questions", "5000")
    assert "questions; no more are open)" in every.output
    table = sheet.with_suffix(".csv")
    table.write_text(table.read_text(encoding="utf-8").replace(",\n", ",same\n", 1), encoding="utf-8")
    done = run("review", tiny_run[1], "--log", log, "--answers", table, "--who", "Ada")
    assert "1 new answer saved in" in done.output
    [one] = ReviewLog(log).standing()
    assert (one.who, one.said) == ("Ada", "same")
