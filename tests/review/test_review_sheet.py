"""A review on paper: the questions in one file, and the answers read back from a table."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import read_csv, write_csv

from animalclef.data.review_log import ReviewLog
from animalclef.errors import DataError, OutputError
from animalclef.review.session import ReviewSession
from animalclef.review.sheet import read_answers, write_sheet
from animalclef.store.finished_run import load_run


@pytest.fixture
def session(tiny_run: tuple[Path, Path], tmp_path: Path) -> ReviewSession:
    run = load_run(tiny_run[1])
    return ReviewSession(run, ReviewLog(tmp_path / "review.jsonl", {"run": run.name, "data": run.data}), "Ada")


def fill(table: Path, *answers: str) -> list[dict[str, str]]:
    """Write these answers into the first rows of a table."""
    rows = read_csv(table)
    for row, answer in zip(rows, answers, strict=False):
        row["answer"] = answer
    write_csv(table, list(rows[0]), [list(row.values()) for row in rows])
    return rows


def test_the_questions_of_the_page_are_on_the_sheet(session: ReviewSession, tmp_path: Path) -> None:
    table, count = write_sheet(session, tmp_path / "sheet.html", 3)
    assert count == 3
    asked = session.questions(3)
    assert [(row["query"], row["candidate"], row["answer"]) for row in read_csv(table)] == [
        (one.query_id, one.gallery_id, "") for one in asked
    ]
    html = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert html.count("<section>") == 3
    assert html.count("data:image/jpeg;base64,") == 6
    assert "<line x1=" in html
    assert "http" not in html  # nothing from elsewhere


def test_answers_are_read_once(session: ReviewSession, tmp_path: Path) -> None:
    table, _ = write_sheet(session, tmp_path / "sheet.html", 4)
    rows = fill(table, "Yes", "different", "", "?")
    assert read_answers(session, table) == 3
    said = {frozenset(one.pair): (one.who, one.said) for one in session.log.standing()}
    assert said == {
        frozenset((row["query"], row["candidate"])): ("Ada", what)
        for row, what in zip(rows, ("same", "different", None, "unsure"), strict=True)
        if what
    }
    assert read_answers(session, table) == 0  # the same file again
    fill(table, "no")
    assert read_answers(session, table) == 1  # of the same reviewer the last answer counts
    assert len(session.log.standing()) == 3


@pytest.mark.parametrize(
    ("answers", "change", "told"),
    [
        (["same", "perhaps"], {}, "line 3: expected same, different, unsure or nothing, got perhaps"),
        (["same", "same"], {"query": "elsewhere"}, "line 3: the run has no photograph elsewhere. Is it this run's"),
        (["same", "same"], {"query": "CANDIDATE"}, "line 3: the query and the candidate are the same photograph"),
        (["same", "no"], {"query": "FIRST", "candidate": "FIRST"}, "line 3: .* have another answer in a line before"),
    ],
)
def test_a_row_that_cannot_be_read_saves_nothing(
    session: ReviewSession, tmp_path: Path, answers: list[str], change: dict[str, str], told: str
) -> None:
    table, _ = write_sheet(session, tmp_path / "sheet.html", 2)
    rows = fill(table, *answers)
    others = {"CANDIDATE": rows[1]["candidate"]}
    rows[1] |= {name: rows[0][name] if value == "FIRST" else others.get(value, value) for name, value in change.items()}
    write_csv(table, list(rows[0]), [list(row.values()) for row in rows])
    with pytest.raises(DataError, match=told):
        read_answers(session, table)
    assert session.log.standing() == []


def test_a_sheet_overwrites_nothing_and_another_table_is_refused(session: ReviewSession, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="ends with"):
        write_sheet(session, tmp_path / "sheet.csv", 2)
    write_csv(tmp_path / "sheet.csv", ("query", "candidate"), [("1", "2")])
    with pytest.raises(OutputError, match=r"sheet\.csv: this file is there already and may hold answers"):
        write_sheet(session, tmp_path / "sheet.html", 2)
    assert not (tmp_path / "sheet.html").exists()
    with pytest.raises(DataError, match="the column answer is absent"):
        read_answers(session, tmp_path / "sheet.csv")


def test_a_row_with_a_cell_too_many_saves_nothing(session: ReviewSession, tmp_path: Path) -> None:
    table, _ = write_sheet(session, tmp_path / "sheet.html", 2)
    fill(table, "same", "different")
    table.write_text(table.read_text(encoding="utf-8").replace("different", "different, perhaps"), encoding="utf-8")
    with pytest.raises(DataError, match=r"sheet.csv, line 3: expected 6 cells, got 7"):
        read_answers(session, table)
    assert session.log.standing() == []


def test_names_of_columns_may_be_in_capitals_but_not_stand_twice(session: ReviewSession, tmp_path: Path) -> None:
    table, _ = write_sheet(session, tmp_path / "sheet.html", 2)
    fill(table, "Can't tell")
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace("answer", "Answer", 1), encoding="utf-8")
    assert read_answers(session, table) == 1
    table.write_text(text.replace("number", "answer", 1), encoding="utf-8")
    with pytest.raises(DataError, match="two columns are called answer"):
        read_answers(session, table)
