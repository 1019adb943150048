"""Two submissions side by side, and why they differ."""

from __future__ import annotations

from pathlib import Path

import pytest
from evaluation_cases import decision_by_hand
from tiny import write_csv

from animalclef.errors import RunError, SubmissionError
from animalclef.evaluation.answer_evidence import Explanation, explain_pair, open_runs
from animalclef.evaluation.compare import counts, differences, read_pair, rows_of


def run(
    threshold: float,
    first: dict[str, tuple[str, float]],
    skipped: frozenset[str] = frozenset(),
    answers: dict[str, str | None] | None = None,
    reviewed: frozenset[str] = frozenset(),
    error: float = 0.0,
) -> Explanation:
    home = {f"q{number}": "newt" if number < 4 else "cat" for number in range(6)}
    return Explanation(Path("run"), home, answers or {}, first, decision_by_hand(threshold), skipped, reviewed, error)


A = {"q0": "x", "q1": None, "q2": "x", "q3": "y", "q4": "z", "q5": "same"}
B = {"q0": None, "q1": "x", "q2": "y", "q3": "y", "q4": None, "q5": "same"}


def causes(of_a: Explanation | None = None, of_b: Explanation | None = None) -> dict[str, str]:
    return {one.image_id: one.cause for one in differences(A, B, of=(of_a, of_b))}


def test_causes_with_both_runs() -> None:
    first = run(0.5, {"q0": ("x", 0.6), "q1": ("x", 0.4), "q2": ("x", 0.9), "q4": ("z", 0.7), "q3": ("y", 1)})
    # q0: 0.6 is not named at 0.7 either: the threshold; q1: at 0.7, 0.4 is still new, so the probability rose
    second = run(0.7, {"q0": ("x", 0.55), "q1": ("x", 0.8), "q2": ("y", 0.9), "q4": ("w", 0.6), "q3": ("y", 1)})
    assert causes(first, second) == {
        "q0": "threshold", "q1": "probability", "q2": "another best candidate", "q4": "another best candidate",
    }  # fmt: skip


def test_causes_with_one_run_and_without() -> None:
    only = run(0.5, {"q0": ("x", 0.6), "q1": ("w", 0.4), "q2": ("x", 0.9), "q4": ("z", 0.7)})
    assert causes(only) == {  # nothing is known of B: a probability may have changed as well
        "q0": "threshold or candidate", "q1": "another best candidate", "q2": "another best candidate",
        "q4": "threshold or candidate",
    }  # fmt: skip
    assert causes()["q0"] == "threshold or candidate"
    assert causes()["q2"] == "another name"


def test_a_skipped_photograph_and_a_query_without_candidates() -> None:
    first = run(0.5, {"q0": ("x", 0.6), "q1": ("x", 0.4), "q2": ("x", 0.9)})
    second = run(0.5, {"q1": ("x", 0.8), "q2": ("y", 0.9), "q4": ("w", 0.6)}, frozenset({"q0"}))
    assert causes(first, second)["q0"] == "photograph skipped"
    assert causes(first, second)["q4"] == "no candidates"


def test_what_people_answered_has_no_other_cause() -> None:
    first = {"q0": ("x", 0.6), "q1": ("x", 0.4), "q2": ("x", 0.9), "q4": ("z", 0.7)}
    assert causes(run(0.5, first), run(0.5, first, reviewed=frozenset({"q0"})))["q0"] == "people's answers"


def test_a_rounded_probability_at_the_threshold_leaves_two_causes() -> None:
    """0.3004 was written of 0.30044 or of 0.30036; a threshold of 0.3004 is between them."""
    first = {"q0": ("x", 0.3004), "q1": ("x", 0.4), "q2": ("x", 0.9), "q4": ("z", 0.7)}
    second = {**first, "q0": ("x", 0.2)}
    assert causes(run(0.25, first, error=5e-4), run(0.3004, second, error=5e-4))["q0"] == "threshold or probability"
    assert causes(run(0.25, first, error=5e-4), run(0.31, second, error=5e-4))["q0"] == "threshold"
    assert causes(run(0.25, first), run(0.3004, second))["q0"] == "probability"


def test_counts_by_data_set_kind_and_cause_with_who_is_right() -> None:
    truth = {"q0": "x", "q1": None, "q2": "w", "q4": None}
    home = {f"q{number}": "newt" if number < 4 else "cat" for number in range(6)}
    found = differences(A, B, dataset=home, truth=truth)
    assert counts(found) == [
        {"dataset": "cat", "a": "a name", "b": "new", "cause": "threshold or candidate", "rows": 1, "a_right": 0,
         "b_right": 1, "neither": 0},
        {"dataset": "newt", "a": "a name", "b": "another name", "cause": "another name", "rows": 1, "a_right": 0,
         "b_right": 0, "neither": 1},
        {"dataset": "newt", "a": "a name", "b": "new", "cause": "threshold or candidate", "rows": 1, "a_right": 1,
         "b_right": 0, "neither": 0},
        {"dataset": "newt", "a": "new", "b": "a name", "cause": "threshold or candidate", "rows": 1, "a_right": 1,
         "b_right": 0, "neither": 0},
    ]  # fmt: skip
    header, rows = rows_of(found)
    assert header[-3:] == ["truth", "a_right", "b_right"]
    assert rows[1] == ["q1", "newt", "new_individual", "x", "threshold or candidate", "", "", "new_individual", 1, 0]


def test_equal_submissions_differ_in_nothing() -> None:
    assert differences(A, A) == []
    assert counts([]) == []
    assert rows_of([])[1] == []


def test_submissions_for_other_queries_are_refused(tmp_path: Path) -> None:
    one = write_csv(tmp_path / "a.csv", ("image_id", "identity"), [(1, "x"), (2, "y")])
    other = write_csv(tmp_path / "b.csv", ("image_id", "identity"), [(1, "x"), (3, "y"), (4, "y")])
    with pytest.raises(SubmissionError, match=r"a\.csv: 1 of its image_id are not in .*b\.csv \(first: 2\)"):
        read_pair(one, other)
    twice = write_csv(tmp_path / "c.csv", ("image_id", "identity"), [(1, "x"), (1, "y")])
    with pytest.raises(SubmissionError, match="stands already on line 2"):
        read_pair(twice, one)


def test_a_run_that_was_changed_since_explains_nothing(tmp_path: Path) -> None:
    files, answers = (Path("a.csv"), Path("b.csv")), (A, B)
    of_a, of_b = run(0.5, {}, answers=A), run(0.5, {}, answers=B)
    assert explain_pair(files, answers, [of_a, of_b]) == ((of_a, of_b), [])
    assert explain_pair(files, answers, [of_b]) == ((None, of_b), [])  # one run for both: it made one of them
    assert explain_pair(files, answers) == ((None, None), [])
    with pytest.raises(RunError, match=r"run: its answers are not those of b\.csv \(4 differ, first: q0\)"):
        explain_pair(files, answers, [of_a, of_a])
    with pytest.raises(RunError, match=r"not those of a\.csv or b\.csv \(1 differ, first: q5\)"):
        explain_pair(files, answers, [run(0.5, {}, answers={**A, "q5": "z"})])
    with pytest.raises(SubmissionError, match="q9 is no query of run"):
        explain_pair(files, ({"q9": None}, {"q9": None}), [of_a])
    [error] = open_runs([tmp_path])
    assert isinstance(error, RunError)
    with pytest.raises(RunError, match=r"no finished run \(finished\.json is not there\)"):
        explain_pair(files, answers, [of_a, error])
    with pytest.raises(RunError, match="no such folder"):
        open_runs([tmp_path / "absent"])
