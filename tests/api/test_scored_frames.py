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
