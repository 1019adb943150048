"""The page's server: what it serves, to whom, and that an answer is on the disk before the page is told."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from served import TOKEN, Served, served

from animalclef.data.review_log import ReviewLog, read_review
from animalclef.errors import ConfigError, StaleArtefactError
from animalclef.review.server import bind
from animalclef.review.session import ReviewSession, review_path
from animalclef.store.finished_run import load_run


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "review.jsonl"


@pytest.fixture
def page(tiny_run: tuple[Path, Path], log: Path) -> Iterator[Served]:
    with served(tiny_run[1], log) as one:
        yield one


def rows_of(question: dict) -> tuple[int, int]:
    first, second = (one["row"] for one in question["animals"])
    return first, second


def test_the_page_and_its_parts_are_served_with_strict_headers(page: Served) -> None:
    status, html = page.ask(f"/{TOKEN}/")
    assert status == 200
    assert b"Review of run" in html
    assert b"http" not in html.replace(b"<!doctype html>", b"")  # nothing from elsewhere
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert page.ask(f"/{TOKEN}/review.js")[0] == page.ask(f"/{TOKEN}/review.css")[0] == 200


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {}, 404),
        ("/another-token/state", {}, 404),
        (f"/{TOKEN}x/state", {}, 404),
        (f"/{TOKEN}/../../etc/passwd", {}, 404),
        (f"/{TOKEN}/state", {"Host": "evil.example"}, 421),
        (f"/{TOKEN}/state", {"Host": "127.0.0.1"}, 421),
        (f"/{TOKEN}/state", {"Origin": "http://evil.example"}, 403),
        (f"/{TOKEN}/photograph/1/77", {}, 404),
        (f"/{TOKEN}/photograph/99999/240", {}, 404),
        (f"/{TOKEN}/photograph/-1/240", {}, 404),
        (f"/{TOKEN}/photograph/metadata.csv/240", {}, 404),
        (f"/{TOKEN}/pair/0/99999", {}, 404),
    ],
)
def test_others_are_refused(page: Served, path: str, headers: dict[str, str], status: int) -> None:
    assert page.ask(path, headers=headers)[0] == status


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({"first": 0, "second": 1, "said": "same"}, {"Origin": ""}, 403),
        ({"first": 0, "second": 1, "said": "same"}, {"Origin": "http://127.0.0.1:1"}, 403),
        ({"first": 0, "second": 1, "said": "same"}, {"Origin": "null"}, 403),
        ({"first": 0, "second": 1, "said": "same"}, {"Content-Type": "text/plain"}, 400),
        ({"first": 0, "second": 1, "said": "perhaps"}, {}, 400),
        ({"first": "0", "second": 1, "said": "same"}, {}, 400),
        ({"first": -1, "second": 1, "said": "same"}, {}, 400),
        ({"first": 0, "second": 1, "said": "same", "path": "/etc/passwd"}, {}, 400),
        ("[" * 3000, {}, 400),
        ("x" * 5000, {}, 400),
        ({"first": 0, "second": 99999, "said": "same"}, {}, 404),
    ],
)
def test_a_wrong_answer_is_refused_and_nothing_is_written(
    page: Served, log: Path, body: object, headers: dict[str, str], status: int
) -> None:
    assert page.ask(f"/{TOKEN}/answer", body, headers)[0] == status
    assert not log.exists()


def test_other_methods_are_refused(page: Served) -> None:
    assert page.ask(f"/{TOKEN}/state", method="DELETE")[0] == 405
    assert page.ask(f"/{TOKEN}/answer", method="GET")[0] == 405


def test_photographs_are_served_by_row(page: Served) -> None:
    status, jpeg = page.ask(f"/{TOKEN}/photograph/0/240")
    assert status == 200
    assert max(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape[:2]) <= 240
    missing = page.session.run.row_of[page.session.run.skipped[0].image_id]
    assert page.ask(f"/{TOKEN}/photograph/{missing}/240")[0] == 404


def test_an_answer_is_saved_and_the_next_question_comes(page: Served, log: Path) -> None:
    before = page.page("state")
    first, second = rows_of(before["question"])
    after = page.page("answer", {"first": first, "second": second, "said": "same"})
    assert after["saved"]["said"] == "same"
    assert (after["answered"], after["mine"]) == (1, 1)
    images = page.session.run.images
    pair = {str(images.image_id[first]), str(images.image_id[second])}
    assert {*read_review(log, page.session.run.images).same[0]} == pair
    line = json.loads(log.read_text().splitlines()[1])
    assert line["who"] == "Ada"
    assert line["shown"]["run"] == "run"
    assert line["shown"]["name"] == images.identity[second]
    assert after["question"] is None or rows_of(after["question"])[0] != first  # its name is settled
    undone = page.page("undo", {"first": 0})
    assert undone["undone"] == "same"
    assert rows_of(undone["question"]) == (first, second)
    assert undone["answered"] == 0
    assert read_review(log, page.session.run.images).is_empty
    assert page.page("undo", {"first": 0})["undone"] is None


def test_a_skipped_question_comes_last(page: Served) -> None:
    first = rows_of(page.page("state")["question"])[0]
    seen = [first]
    for _ in range(page.page("state")["open"] + 20):
        state = page.page("skip", {"first": seen[-1]})
        if rows_of(state["question"])[0] == first:
            break
        seen.append(rows_of(state["question"])[0])
    assert rows_of(state["question"])[0] == first  # only skipped ones are left: the first of them again
    assert len(seen) == len(set(seen))


def test_matches_are_those_of_the_report(page: Served) -> None:
    first, second = rows_of(page.page("state")["question"])
    flat = page.page(f"matches/{first}/{second}")
    assert len(flat) % 6 == 0
    assert all(0 <= value <= 1000 for value in flat)


def test_two_reviewers_see_each_other_and_their_contradiction(tiny_run: tuple[Path, Path], log: Path) -> None:
    with served(tiny_run[1], log, "Ada") as ada, served(tiny_run[1], log, "Bob") as bob:
        first, second = rows_of(ada.page("state")["question"])
        ada.page("answer", {"first": first, "second": second, "said": "same"})
        assert bob.page("state")["answered"] == 1
        bob.page("answer", {"first": first, "second": second, "said": "different"})
        [conflict] = ada.page("state")["conflicts"]
        assert conflict["by"] == "answer"
        assert {one["row"] for one in conflict["photographs"]} == {first, second}
        settled = bob.page("answer", {"first": first, "second": second, "said": "same", "settles": True})
        assert settled["conflicts"] == []


def test_one_animal_under_two_names_is_a_contradiction(page: Served) -> None:
    images = page.session.run.images
    query = int(np.flatnonzero(images.is_query & (images.dataset == "NewtID"))[0])
    rows = [int(np.flatnonzero(images.identity == name)[0]) for name in ("NewtID_1", "NewtID_2")]
    for row in rows:
        state = page.page("answer", {"first": query, "second": row, "said": "same"})
    [conflict] = state["conflicts"]
    assert conflict["by"] == "name"
    assert [one["row"] for one in conflict["photographs"]] == [rows[0], query, rows[1]]


def test_a_full_disk_is_told_and_nothing_is_called_saved(
    page: Served, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = rows_of(page.page("state")["question"])
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        status, told = page.ask(f"/{TOKEN}/answer", {"first": first, "second": second, "said": "same"})
    assert status == 500
    assert "the disk is full" in told["error"]
    assert page.page("state")["answered"] == 0


def test_the_log_of_another_run_is_refused(tiny_run: tuple[Path, Path], log: Path) -> None:
    log.write_text(
        '{"kind": "review", "format": 1}\n{"kind": "answer", "when": "", "who": "Ada", "said": "same", "pair": '
        '[{"image_id": "0", "key": "1", "path": "a.jpg"}, {"image_id": "1", "key": "2", "path": "b.jpg"}]}\n'
    )
    with pytest.raises(StaleArtefactError, match="of another run"):
        ReviewSession(load_run(tiny_run[1]), ReviewLog(log), "Ada")


def test_a_taken_port_is_one_sentence() -> None:
    with bind() as held:
        held.listen()
        port = held.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--port {port}: this port cannot be used"):
            bind(port)


def test_the_log_lies_beside_the_run() -> None:
    assert review_path(Path("runs/a/")) == Path("runs/a.review.jsonl")
    assert review_path(Path()).parent == Path.cwd().parent
