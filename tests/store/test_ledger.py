"""The ledger: lines are appended whole, compared with the line before, and survive what befalls files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from animalclef.errors import DataError, OutputError
from animalclef.store.ledger import Ledger, differences, dotted, ledger_of

APPEND = """
import sys
from pathlib import Path
from animalclef.store.ledger import Ledger
for number in range(20):
    Ledger(Path(sys.argv[1])).add_run({"settings": {"seed": number}, "submission_sha256": sys.argv[2] + str(number)})
"""


def run(digest: str = "abc", **more: Any) -> dict[str, Any]:
    return {"submission_sha256": digest, "settings": {"seed": 0, "retrieve.top_k": 100}, "data": "d", **more}


def test_a_ledger_lies_with_the_submissions(tmp_path: Path) -> None:
    assert ledger_of(tmp_path / "submissions" / "today" / "submission.csv") == tmp_path / "submissions" / "ledger.jsonl"
    assert ledger_of(tmp_path / "who.csv") == tmp_path / "ledger.jsonl"


def test_a_line_tells_what_changed_against_the_run_before(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "new" / "ledger.jsonl")
    assert ledger.add_run(run())["changed"] == {}
    later = run("def", weights="w", settings={"seed": 0, "retrieve.top_k": 50, "embed.bins": (6, 9)})
    changed = {"retrieve.top_k": [100, 50], "embed.bins": [None, (6, 9)], "weights": [None, "w"]}
    assert ledger.add_run(later)["changed"] == changed
    assert ledger.add_run(later)["changed"] == {}  # a tuple is the list that comes back
    when = [row.run["when"] for row in ledger.rows()]
    assert when == sorted(when)
    assert len(when) == 3


def test_nested_settings_have_dotted_keys() -> None:
    assert dotted({"a": {"b": {"c": 1}, "d": {}}, "e": [1]}) == {"a.b.c": 1, "a.d": {}, "e": [1]}
    assert differences(run(), run()) == {}


def test_the_boards_scores_join_the_run_and_the_last_of_each_holds(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.add_run(run("abc"))
    ledger.add_run(run("def"))
    ledger.add_board("abc", {"public": 0.5, "note": "ü"})
    ledger.add_board("abc", {"public": 0.51})
    ledger.add_board("abc", {"private": 0.4})
    assert [dict(row.board) for row in ledger.rows()] == [{"public": 0.51, "note": "ü", "private": 0.4}, {}]


@pytest.mark.parametrize("rest", ['{"kind": "run", "submis', "\x00\x00", '{"kind": "run"}', "[1]", '{"kind": "other"}'])
def test_a_damaged_last_line_stops_nothing(tmp_path: Path, rest: str) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.add_run(run("abc"))
    with ledger.path.open("a") as file:
        file.write(rest)
    ledger.add_run(run("def"))
    assert [row.run["submission_sha256"] for row in ledger.rows()] == ["abc", "def"]
    assert ledger.damaged == 1
    assert ledger.path.read_text().splitlines()[1] == rest  # nobody's line is rewritten


def test_two_processes_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    both = [subprocess.Popen([sys.executable, "-c", APPEND, str(path), name]) for name in ("a", "b")]
    assert [one.wait(timeout=120) for one in both] == [0, 0]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert {line["submission_sha256"] for line in lines} == {f"{name}{number}" for name in "ab" for number in range(20)}
    assert len(lines) == 40


def test_an_absent_ledger_is_empty_and_an_unwritable_one_says_so(tmp_path: Path) -> None:
    assert Ledger(tmp_path / "ledger.jsonl").rows() == []
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        Ledger(tmp_path / "file" / "ledger.jsonl").add_run(run())
    with pytest.raises(DataError):
        Ledger(tmp_path).rows()
