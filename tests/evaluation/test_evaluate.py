"""A run folder made by hand, and two files to score."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from evaluation_cases import decision_by_hand
from tiny import write_csv

from animalclef.config import Config
from animalclef.errors import DataError, RunError, SubmissionError
from animalclef.evaluation.evaluate import RetrievalReport, right_answers, score_files, truth_of_run
from animalclef.evaluation.evaluate import evaluate_run as evaluate_read_run
from animalclef.store.finished_run import load_run

CANDIDATES = ("query_id", "gallery_id", "identity", "dataset", "probability", "similarity")
TABLE = ("image_id", "identity", "path", "dataset", "split", "viewpoint", "date", "species", "used", "key")
TRUTH = ("image_id", "identity", "dataset", "known")


def table_row(image_id: str, identity: str, split: str, viewpoint: str = "", dataset: str = "lynx") -> tuple[str, ...]:
    return (image_id, identity, f"{image_id}.jpg", dataset, split, viewpoint, "", "", "1", "00")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Three known queries and one unknown; gallery: two photographs of `01`, one of `NA`, three of `c`."""
    gallery = {"g1": "01", "g2": "01", "g3": "NA", "g4": "c", "g5": "c", "g6": "c"}
    rows = [table_row(one, who, "gallery", "left") for one, who in gallery.items()]
    rows += [table_row(one, "", "query", view) for one, view in {"q1": "left", "q2": "left", "q3": "right"}.items()]
    rows.append(table_row("q4", "", "query", "right"))
    write_csv(tmp_path / "run" / "table.csv", TABLE, rows)
    order = {"q1": ["g1", "g3", "g2"], "q2": ["g4", "g1", "g2", "g3"], "q4": ["g1"]}  # q3 has no candidate
    listed = [(query, one, gallery[one], "lynx", 0.5, 0.1) for query, ids in order.items() for one in ids]
    write_csv(tmp_path / "run" / "candidates.csv", CANDIDATES, listed)
    truth = [("q1", "01", "lynx", 1), ("q2", "NA", "lynx", 1), ("q3", "c", "lynx", 1), ("q4", "u", "lynx", 0)]
    write_csv(tmp_path / "truth.csv", TRUTH, truth)
    write_csv(tmp_path / "run" / "set_aside.csv", ("image_id", "path", "split", "reason"), [])
    answers = [(one, "", 0.5) for one in ("q1", "q2", "q3", "q4")]
    write_csv(tmp_path / "run" / "answers.csv", ("image_id", "identity", "probability"), answers)
    (tmp_path / "run" / "decision.json").write_text(decision_by_hand(0.5).model_dump_json())
    settings = {"scores": "s", "data": "d", "config": Config().model_dump(mode="json")}
    (tmp_path / "run" / "finished.json").write_text(json.dumps(settings))
    return tmp_path / "run"


def evaluate_run(run: Path, truth: Path, **options: int) -> RetrievalReport:
    return evaluate_read_run(load_run(run), truth, **options)


def test_a_run_that_was_not_finished_is_refused(run: Path) -> None:
    (run / "finished.json").unlink()
    with pytest.raises(RunError, match="no finished run"):
        evaluate_run(run, run.parent / "truth.csv")


def test_a_known_query_that_could_not_be_read_is_told(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    skipped = [("q3", "q3.jpg", "query", "damaged"), ("q4", "q4.jpg", "query", "damaged")]
    write_csv(run / "set_aside.csv", ("image_id", "path", "split", "reason"), skipped)
    report = evaluate_run(run, run.parent / "truth.csv", draws=20)
    assert report.groups[0].queries == 3
    assert "the photographs of 1 known query could not be read (one: q3); they count as not found." in caplog.text


def test_few_queries_that_are_all_right_have_a_wide_interval(run: Path) -> None:
    write_csv(run.parent / "two.csv", TRUTH, [("q1", "01", "lynx", 1), ("q3", "c", "lynx", 1)])
    left, right = evaluate_run(run, run.parent / "two.csv", draws=20).groups[1:]
    one, none = left.measures["rank-1"], right.measures["rank-1"]
    assert (one.mean, none.mean) == (1.0, 0.0)
    assert one.low == pytest.approx(1 / (1 + 1.96**2), abs=1e-6)  # Wilson, one individual
    assert one.high == 1.0
    assert (none.low, none.high) == pytest.approx((0.0, 1 - one.low), abs=1e-6)


def test_the_truth_of_other_data_is_refused(run: Path) -> None:
    write_csv(run.parent / "other.csv", TRUTH, [("q1", "01", "lynx", 1), ("z9", "01", "lynx", 1)])
    with pytest.raises(DataError, match=r"other.csv: 1 of its queries are not in .* \(one: z9\)"):
        evaluate_run(run, run.parent / "other.csv")
    write_csv(run.parent / "other.csv", TRUTH, [("q1", "01", "ounce", 1)])
    with pytest.raises(DataError, match=r"other.csv: q1 is of ounce there and of lynx in "):
        evaluate_run(run, run.parent / "other.csv")


def test_queries_that_a_truth_leaves_out_are_told(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_csv(run.parent / "other.csv", TRUTH, [("q1", "01", "lynx", 1)])
    truth_of_run(load_run(run), run.parent / "other.csv")
    assert "other.csv: 3 queries are not in it (one: q2)." in caplog.text


def test_measures_of_a_run_by_hand(run: Path) -> None:
    report = evaluate_run(run, run.parent / "truth.csv", draws=20)
    assert [(group.viewpoint, group.queries, group.individuals) for group in report.groups] == [
        (None, 3, 3),
        ("left", 2, 2),
        ("right", 1, 1),
    ]
    whole = {name: interval.mean for name, interval in report.groups[0].measures.items()}
    assert whole["rank-1"] == pytest.approx(1 / 3)
    assert whole["rank-5"] == whole["rank-25"] == pytest.approx(2 / 3)  # NA stands third, after c and 01
    assert whole["mAP"] == pytest.approx(((1 + 2 / 3) / 2 + 1 / 4 + 0) / 3)
    right = report.groups[2].measures
    assert (right["rank-25"].mean, right["mAP"].mean) == (0, 0)


def test_the_same_run_gives_the_same_intervals(run: Path) -> None:
    one, other = (evaluate_run(run, run.parent / "truth.csv", draws=30, seed=4) for _ in range(2))
    assert one == other


def test_a_truth_without_known_queries_gives_no_groups(run: Path) -> None:
    truth = write_csv(run.parent / "new.csv", TRUTH, [("q4", "u", "lynx", 0)])
    assert evaluate_run(run, truth).groups == []


def test_a_run_without_any_candidate_counts_everything_as_missed(run: Path) -> None:
    write_csv(run / "candidates.csv", CANDIDATES, [])
    report = evaluate_run(run, run.parent / "truth.csv", draws=5)
    assert {interval.mean for interval in report.groups[0].measures.values()} == {0.0}


def test_score_of_files_by_hand(run: Path) -> None:
    answers = [("q1", "01"), ("q2", "c"), ("q3", "c"), ("q4", "new_individual")]
    submission = write_csv(run.parent / "submission.csv", ("image_id", "identity"), answers)
    part = score_files(run.parent / "truth.csv", submission).datasets["lynx"]
    assert part.baks == pytest.approx(2 / 3)
    assert part.baus == 1
    assert part.score == pytest.approx((2 / 3) ** 0.5)


def test_rows_and_words_that_kaggle_does_not_know_are_told(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    answers = [("q1", "01"), ("q2", "New individual"), ("q3", "c"), ("q4", "new-individual"), ("q9", "c")]
    submission = write_csv(run.parent / "submission.csv", ("image_id", "identity"), answers)
    assert score_files(run.parent / "truth.csv", submission).datasets["lynx"].baus == 0
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        f"{submission}: 1 row is no query of the truth (first: q9); Kaggle refuses such a file.",
        f"{submission}: taken for a name: New individual, new-individual. An unknown animal is new_individual.",
    ]


def test_a_query_without_an_answer_is_named(run: Path) -> None:
    submission = write_csv(run.parent / "submission.csv", ("image_id", "identity"), [("q1", "01")])
    with pytest.raises(SubmissionError, match=r"no row for 3 queries .*\(first: q2\)"):
        score_files(run.parent / "truth.csv", submission)


def test_names_that_differ_by_case_alone_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text("image_id,identity,dataset,known\n1,Ada,a,1\n2,ada,a,1\n3,Zoe,a,0\n")
    (tmp_path / "s.csv").write_text("image_id,identity\n1,ADA\n2,Ada\n3,new_individual\n")
    assert score_files(tmp_path / "truth.csv", tmp_path / "s.csv").overall == 1.0
    assert score_files(tmp_path / "truth.csv", tmp_path / "s.csv", merge_case=False).overall == 0.0
    assert right_answers(tmp_path / "truth.csv") == {"1": "Ada", "2": "Ada", "3": None}


def test_a_truth_is_spelled_as_the_run_s_table(run: Path) -> None:
    truth = [("q1", "01", "lynx", 1), ("q2", "C ", "lynx", 1)]
    write_csv(run.parent / "other.csv", TRUTH, truth)
    assert truth_of_run(load_run(run), run.parent / "other.csv").identity.tolist() == ["01", "c"]
    settings = json.loads((run / "finished.json").read_text())
    settings["config"]["data"]["merge_case"] = False
    (run / "finished.json").write_text(json.dumps(settings))
    assert truth_of_run(load_run(run), run.parent / "other.csv").identity.tolist() == ["01", "C"]
