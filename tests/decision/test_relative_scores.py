"""Scores relative to the other candidates of a query, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from animalclef.decision.null_model import Null
from animalclef.decision.relative_scores import best_of_others, relative_columns, scale_free_columns, with_relative

WHO = np.array([[0, 1, 0, 2]])
SEEN = np.array([[True, True, True, True]])
SCORES = {"similarity": np.array([[0.9, 0.5, 0.8, 0.1]], np.float32)}


def test_the_lead_is_over_the_best_of_any_other_individual() -> None:
    found = relative_columns(SCORES, SEEN, WHO, ["similarity/lead"])
    assert found["similarity/lead"][0] == pytest.approx([0.4, -0.4, 0.3, -0.8])


def test_the_excess_is_over_the_mean_of_candidates_that_are_not_the_best_individual() -> None:
    found = relative_columns(SCORES, SEEN, WHO, ["similarity/excess"])
    assert found["similarity/excess"][0] == pytest.approx([0.6, 0.2, 0.5, -0.2])  # 0.5 and 0.1 make 0.3


def test_counts_are_compared_as_logarithms() -> None:
    inliers = {"inliers:sift": np.array([[3.0, 1.0, 0.0, 0.0]], np.float32)}
    found = relative_columns(inliers, SEEN, WHO, ["inliers:sift/lead"])
    assert found["inliers:sift/lead"][0, 0] == pytest.approx(np.log(4 / 2))


def test_hidden_and_missing_candidates_are_nan_and_have_no_say() -> None:
    values = {"similarity": np.array([[0.9, 0.5, np.nan, 0.1]], np.float32)}
    seen = np.array([[True, False, True, True]])
    found = relative_columns(values, seen, WHO, ["similarity/lead", "similarity/excess"])
    assert found["similarity/lead"][0] == pytest.approx([0.8, np.nan, np.nan, -0.8], nan_ok=True)
    assert found["similarity/excess"][0] == pytest.approx([0.8, np.nan, np.nan, 0.0], nan_ok=True)


def test_one_individual_alone_leads_by_its_own_range() -> None:
    level = np.array([[0.9, 0.5]])
    assert best_of_others(level, np.array([[3, 3]])).tolist() == [[0.5, 0.5]]
    empty = relative_columns({"similarity": np.zeros((2, 0))}, np.zeros((2, 0), bool), np.zeros((2, 0), np.int64),
                             ["similarity/lead"])  # fmt: skip
    assert empty["similarity/lead"].shape == (2, 0)


def test_only_relative_names_are_worked_out() -> None:
    assert with_relative(SCORES, SEEN, WHO, ["similarity"]) is SCORES
    assert set(with_relative(SCORES, SEEN, WHO, ["similarity/lead", "vote/lead"])) == {"similarity", "similarity/lead"}


def test_scale_free_columns_are_scales_above_the_location() -> None:
    null = Null(location=np.log(11.0), scale=0.5, photographs=9, individuals=3)
    columns = {"inliers": np.array([[10.0, 0.0]], np.float32), "photographs": np.array([[2.0, 3.0]], np.float32)}
    found = scale_free_columns(columns, {"inliers": null})
    assert found["inliers/null"][0] == pytest.approx([0.0, -2 * np.log(11)])
    assert found["photographs"] is not None
    assert set(found) == {"inliers/null", "photographs"}
