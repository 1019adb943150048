"""The review log: appended, whole after a kill, shared by two reviewers, and free of contradictions when read."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rows import Row, image_table, strings

from animalclef.data.review_conflicts import consistent_pairs
from animalclef.data.review_log import ReviewLog, Said, SeenPhotograph, read_review
from animalclef.errors import DataError, OutputError, StaleArtefactError
from animalclef.structures import Conflict

PHOTOGRAPHS = image_table([Row(one) for one in ("a", "b", "c", "d", "q1", "x")])


def seen(name: str, key: str = "") -> SeenPhotograph:
    return SeenPhotograph(name, key or f"key-{name}", f"{name}.jpg")


def say(log: ReviewLog, who: str, a: str, said: Said, b: str, *, settles: bool = False) -> None:
    log.add(who, said, (seen(a), seen(b)), {"probability": 0.4}, settles=settles)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "review.jsonl"


def test_an_answer_is_a_line_and_comes_back(path: Path) -> None:
    log = ReviewLog(path, {"run": "runs/a", "data": "d1"})
    assert not path.exists()  # nothing was said yet
    say(log, "Ada", "q1", "same", "x")
    head, line = map(json.loads, path.read_text().splitlines())
    assert (head["kind"], head["format"], head["run"]) == ("review", 1, "runs/a")
    assert (line["who"], line["said"]) == ("Ada", "same")
    assert line["pair"][0] == {"image_id": "q1", "key": "key-q1", "path": "q1.jpg"}
    assert line["shown"] == {"probability": 0.4}
    assert set(line) == {"kind", "when", "who", "said", "pair", "shown", "animalclef"}
    [one] = ReviewLog(path).standing()
    assert (one.line, one.pair, one.said, one.who) == (2, ("q1", "x"), "same", "Ada")
    assert read_review(path, PHOTOGRAPHS).same == (("q1", "x"),)


def test_the_last_answer_of_a_reviewer_counts_and_undo_brings_the_one_before(path: Path) -> None:
    log = ReviewLog(path)
    say(log, "Ada", "q1", "same", "x")
    say(log, "Ada", "x", "different", "q1")  # the same pair
    assert [one.said for one in log.standing()] == ["different"]
    undone = log.undo("Ada")
    assert undone is not None
    assert undone.said == "different"
    assert [one.said for one in log.standing()] == ["same"]
    assert log.undo("Bob") is None
    assert log.undo("Ada") is not None
    assert log.undo("Ada") is None
    assert read_review(path, PHOTOGRAPHS).is_empty
    assert len(path.read_text().splitlines()) == 5  # nothing was removed


def test_two_reviewers_who_disagree_are_a_conflict_until_one_answer_settles_it(path: Path) -> None:
    log = ReviewLog(path)
    say(log, "Ada", "a", "same", "b")
    say(ReviewLog(path), "Bob", "a", "different", "b")
    assert read_review(path, PHOTOGRAPHS).conflicts == (Conflict(("a", "b"), "answer"),)
    assert read_review(path, PHOTOGRAPHS).is_empty
    [told] = read_review(path, PHOTOGRAPHS).warnings
    assert told.startswith(f"{path}: 1 contradiction; their answers are left out.")
    say(log, "Bob", "a", "same", "b", settles=True)
    assert read_review(path, PHOTOGRAPHS).warnings == ()
    assert read_review(path, PHOTOGRAPHS).same == (("a", "b"),)
    assert read_review(path, PHOTOGRAPHS).conflicts == ()


def test_unsure_is_neither(path: Path) -> None:
    say(ReviewLog(path), "Ada", "a", "unsure", "b")
    assert read_review(path, PHOTOGRAPHS).is_empty


@pytest.mark.parametrize("torn", [b'{"kind": "answer", "who', b'{"kind": "answer"}', b"\x00\xff"])
def test_a_torn_last_line_is_left_out_and_removed_by_the_next_answer(path: Path, torn: bytes) -> None:
    say(ReviewLog(path), "Ada", "a", "same", "b")
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    log = ReviewLog(path)
    assert [one.pair for one in log.standing()] == [("a", "b")]
    say(log, "Ada", "c", "same", "d")
    assert path.read_bytes().startswith(whole + b'{"kind"')
    assert torn + b"{" not in path.read_bytes()
    assert read_review(path, PHOTOGRAPHS).same == (("a", "b"), ("c", "d"))


def test_a_torn_header_is_begun_again(path: Path) -> None:
    path.write_bytes(b'{"kind": "rev')
    say(ReviewLog(path), "Ada", "a", "same", "b")
    assert read_review(path, PHOTOGRAPHS).same == (("a", "b"),)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('{"kind": "review", "format": 2}', r"line 1: written by a newer version"),
        ("image_id,identity", r"line 1: this is no review log"),
        ('{"kind": "run"}', r"line 1: this is no review log"),
        ('{"kind": "review", "format": 1}\n{"kind": "clusters"}', r"line 2: written by a newer version"),
        ('{"kind": "review", "format": 1}\n{"kind": "answer", "said": "yes"}', r"line 2: this line is damaged"),
        ('{"kind": "review", "format": 1}\n[]', r"line 2: this line is damaged"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(path: Path, line: str, sentence: str) -> None:
    path.write_text(line + "\n")
    with pytest.raises(DataError, match=sentence):
        read_review(path, PHOTOGRAPHS)


def test_a_missing_log_is_refused(path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_review(path, PHOTOGRAPHS)


def test_photographs_are_found_by_content_then_by_id_and_path(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = ReviewLog(path)
    say(log, "Ada", "q", "same", "a")
    say(log, "Ada", "q", "different", "b")
    say(log, "Ada", "q", "different", "gone")
    images = image_table([Row("renamed"), Row("a", "Luna"), Row("b", "Tara")])
    images = images.with_columns(key=strings("key-q", "encoded again", "encoded again, too"))
    found = read_review(path, images)
    assert (found.same, found.different) == ((("a", "renamed"),), (("b", "renamed"),))
    assert "1 answers are about photographs that are not here" in caplog.text


def test_the_log_of_another_run_is_refused(path: Path) -> None:
    say(ReviewLog(path), "Ada", "0", "same", "1")
    other = image_table([Row("0"), Row("1", "Luna")])  # the same ids, other photographs
    other = other.with_columns(path=strings("x.jpg", "y.jpg"))
    with pytest.raises(StaleArtefactError, match="the review of another run"):
        read_review(path, other)


def test_conflicts_are_chains_and_all_of_their_answers_are_left_out() -> None:
    found = consistent_pairs([("a", "b"), ("b", "c"), ("d", "e")], [("a", "c"), ("a", "e")], {})
    assert found.conflicts == (Conflict(("a", "b", "c"), "answer"),)
    assert (found.same, found.different) == ((("d", "e"),), (("a", "e"),))


def test_names_take_part_in_conflicts() -> None:
    names = {"x1": "Luna", "x2": "Luna", "y": "Tara"}
    two_names = consistent_pairs([("q", "x1"), ("q", "y")], [], names)
    assert two_names.conflicts == (Conflict(("x1", "q", "y"), "name"),)
    assert two_names.same == ()
    through_a_name = consistent_pairs([("q", "x1")], [("q", "x2")], names)
    assert through_a_name.conflicts == (Conflict(("q", "x1", "x2"), "answer"),)
    assert consistent_pairs([], [("x1", "x2")], names).conflicts == (Conflict(("x1", "x2"), "answer"),)
    assert consistent_pairs([("q", "x1"), ("q", "x2")], [("q", "y")], names).conflicts == ()


def test_every_chain_between_two_photographs_is_found() -> None:
    found = consistent_pairs([("a", "b"), ("b", "c"), ("a", "d"), ("d", "c")], [("a", "c")], {})
    assert [one.chain for one in found.conflicts] == [("a", "b", "c"), ("a", "d", "c")]
    assert found.is_empty


def _answer_often(path: Path, who: str) -> None:
    log = ReviewLog(path)
    for number in range(25):
        say(log, who, f"{who}{number}", "same", "x")


def test_two_processes_write_at_once(path: Path) -> None:
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=_answer_often, args=(path, who)) for who in ("Ada", "Bob")]
    for one in both:
        one.start()
    for one in both:
        one.join()
    answers = ReviewLog(path).standing()
    assert len(answers) == 50
    assert [one.line for one in answers] == list(range(2, 52))
    assert sum(json.loads(line)["kind"] == "review" for line in path.read_text().splitlines()) == 1


def test_a_kill_loses_no_answer_that_was_saved(path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from animalclef.data.review_log import ReviewLog, SeenPhotograph as P\n"
        "log = ReviewLog(Path(sys.argv[1]))\n"
        "for n in range(10**6):\n"
        "    log.add('Ada', 'same', (P(f'a{n}', '', ''), P('b', '', '')), {}); print(n, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        time.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
        said = process.stdout.read().split()[-1] if said else said
    kept = len(ReviewLog(path).standing())
    assert kept in (int(said) + 1, int(said) + 2)


def test_a_full_disk_leaves_the_log_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = ReviewLog(path)
    say(log, "Ada", "a", "same", "b")
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OutputError, match="the disk is full"):
        say(log, "Ada", "c", "same", "d")
    assert path.read_bytes() == before
    assert [one.pair for one in log.standing()] == [("a", "b")]


def test_a_pipe_is_no_log_and_never_blocks(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(DataError, match=r"cannot be read \(not a regular file\)"):
        say(ReviewLog(path, {"run": "runs/a", "data": "d1"}), "Ada", "q1", "same", "x")
