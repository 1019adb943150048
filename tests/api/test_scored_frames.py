"""Answers and truth as DataFrames."""

from __future__ import annotations

import pandas as pd
import pytest

from animalclef.api.scoring import competition_score
from animalclef.errors import SubmissionError

TRUTH = pd.DataFrame({"image_id": [1, 2], "identity": ["Ada", "Bo"], "dataset": "Newts", "known": [1, 0]})


def test_answers_in_a_frame_are_scored() -> None:
    answers = pd.DataFrame({"image_id": [1, 2], "identity": ["Ada", None]})
    assert competition_score(TRUTH, answers).overall == 1.0


def test_what_pandas_calls_missing_is_a_new_individual() -> None:
    for nobody in (None, float("nan"), pd.NA, "new_individual"):
        assert competition_score(TRUTH, {1: "Ada", 2: nobody}).overall == 1.0  # type: ignore[dict-item]


def test_absent_columns_are_named() -> None:
    with pytest.raises(SubmissionError, match=r"truth: expected the columns .*; \['known'\] absent"):
        competition_score(TRUTH.drop(columns="known"), {"1": "Ada", "2": None})
    with pytest.raises(SubmissionError, match=r"predictions: expected the columns image_id, identity; \['identity'\]"):
        competition_score(TRUTH, pd.DataFrame({"image_id": [1, 2], "individual": ["Ada", None]}))


def test_an_id_that_stands_twice_is_refused() -> None:
    twice = pd.DataFrame({"image_id": [1, 2, 1], "identity": ["Ada", None, "Bo"]})
    with pytest.raises(SubmissionError, match="predictions, row 2: image_id 1 stands already in row 0"):
        competition_score(TRUTH, twice)
    with pytest.raises(SubmissionError, match="predictions, row 2: image_id 1 stands already in row 0"):
        competition_score(TRUTH, {1: "Ada", 2: None, "1": "Bo"})  # type: ignore[dict-item]
    with pytest.raises(SubmissionError, match="truth, row 2: image_id 1 stands already in row 0"):
        competition_score(pd.concat([TRUTH, TRUTH]), {1: "Ada", 2: None})  # type: ignore[dict-item]


def test_known_is_read_as_in_a_file() -> None:
    for known in ([True, False], ["1", "0"], ["true", "False"], [1.0, 0.0]):
        assert competition_score(TRUTH.assign(known=known), {"1": "Ada", "2": None}).overall == 1.0
    with pytest.raises(SubmissionError, match=r"truth, row 0: known: expected 1 \(.*\) or 0 \(new\), got 'yes'"):
        competition_score(TRUTH.assign(known=["yes", "no"]), {"1": "Ada", "2": None})


def test_one_individual_is_known_or_new() -> None:
    with pytest.raises(SubmissionError, match="truth, row 1: Ada of Newts is known in row 0, and not here"):
        competition_score(TRUTH.assign(identity=["Ada", "ada"]), {"1": "Ada", "2": None})


def test_a_truth_without_new_individuals_scores_0_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    score = competition_score(TRUTH.assign(known=1), {"1": "Ada", "2": "Bo"})
    assert (score.datasets["Newts"].baks, score.overall) == (1.0, 0.0)
    assert caplog.messages == [
        "Newts has no new individual in truth: BAUS is undefined, and the score is 0 by the organisers' rule."
    ]


def test_an_empty_truth_is_refused() -> None:
    with pytest.raises(SubmissionError, match="truth: no rows; expected one for every query"):
        competition_score(TRUTH.iloc[:0], {"1": "Ada"})
