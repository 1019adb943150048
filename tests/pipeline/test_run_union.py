"""Candidates of two runs as one list, by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from evaluation_cases import gallery_of

from animalclef.data.pseudo_query import OpenSetSplits, PseudoQueries
from animalclef.decision.pseudo_query_scores import lay_out
from animalclef.pipeline.ensemble import merged_pseudo_queries, merged_scores, union
from animalclef.structures import PairScores

COLUMNS = {"a": ["s"], "b": ["inliers"]}


def frame(column: str, *rows: tuple[str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["query_id", "gallery_id", column])


def test_the_union_keeps_order_and_gives_absent_candidates_the_querys_least() -> None:
    one = frame("s", ("q1", "g1", 0.9), ("q1", "g2", -0.5), ("q2", "g1", 0.3))
    other = frame("inliers", ("q2", "g3", 7), ("q1", "g3", 20), ("q1", "g1", 5), ("q3", "g9", np.nan))
    pairs = union({"a": one, "b": other}, COLUMNS)
    assert pairs[["query_id", "gallery_id"]].agg("".join, axis=1).tolist() == [
        "q1g1", "q1g2", "q1g3", "q2g1", "q2g3", "q3g9",
    ]  # fmt: skip
    # 0.9, -0.5 and, for g3, the least of q1; q2's only; q3 has none in this run
    taken = np.array([np.log(1.9), -np.log(1.5), -np.log(1.5), np.log(1.3), np.log(1.3), np.nan])
    np.testing.assert_allclose(pairs["a:s"], taken, rtol=1e-6)
    np.testing.assert_allclose(pairs["b:inliers"], np.log1p([5, 5, 20, 7, 7, np.nan]), rtol=1e-6)


def test_scores_of_queries_are_an_artefact() -> None:
    scores = merged_scores({"a": frame("s", ("q1", "g1", 0.0)), "b": frame("inliers", ("q1", "g2", 1.0))}, COLUMNS)
    assert scores.gallery_id.tolist() == ["g1", "g2"]
    assert list(scores.columns) == ["a:s", "b:inliers"]
    assert scores.columns["b:inliers"].dtype == np.float32


def part(column: str, asked: list[str], *pairs: tuple[str, str, float]) -> PseudoQueries:
    """Individuals x: g0, g1; y: g2, g3. Every pseudo-query sees its best candidate."""
    gallery = gallery_of(["x", "x", "y", "y"])
    whose = np.array(["x" if one in ("g0", "g1") else "y" for one in asked], dtype=object)
    known = np.array([who == "x" for who in whose])
    splits = OpenSetSplits(np.array(asked, dtype=object), whose, known[None], ~known[None])
    query, other, values = zip(*pairs, strict=True)
    scores = PairScores(np.array(query, dtype=object), np.array(other, dtype=object),
                        {column: np.array(values, dtype=np.float32)})  # fmt: skip
    seen = lay_out(scores, gallery, splits, top_k=1)
    return dataclasses.replace(seen, one_more=seen.same & (seen.gallery_id == "g1"))


def test_pseudo_queries_are_merged_role_by_role() -> None:
    one = part("s", ["g0", "g2"], ("g0", "g1", 0.9), ("g0", "g2", 0.5), ("g2", "g3", 0.8), ("g2", "g0", 0.1))
    other = part("inliers", ["g2", "g0"], ("g2", "g0", 9.0), ("g2", "g3", 4.0), ("g0", "g1", 30.0), ("g0", "g3", 3.0))
    merged = merged_pseudo_queries({"a": one, "b": other}, COLUMNS)
    assert merged is not None
    assert merged.splits.image_id.tolist() == ["g0", "g2"]
    assert merged.splits.is_known.tolist() == [[True, False]]
    # as known g0 sees g1 in both runs, g2 sees g3 in a and g0 in b; as unknown g0 sees g2 and g3, g2 sees g0
    assert merged.gallery_id.tolist() == [["g1", None, "g2", "g3"], ["g3", "g0", "g0", None]]  # type: ignore[union-attr]
    assert merged.identity.tolist() == [["x", None, "y", "y"], ["y", "x", "x", None]]  # type: ignore[union-attr]
    assert merged.as_known.tolist() == [[True, False, False, False], [True, True, False, False]]
    assert merged.as_unknown.tolist() == [[False, False, True, True], [False, False, True, False]]
    assert merged.same.tolist() == [[True, False, False, False], [True, False, False, False]]
    assert merged.one_more.tolist() == [[True, False, False, False], [False] * 4]  # type: ignore[union-attr]
    # g2 as known: g0 is not shortlisted by a, so it has a's least, 0.8; g3 is not by b, so it has b's, 9
    expected = np.log1p([[0.9, np.nan, 0.5, 0.5], [0.8, 0.8, 0.1, np.nan]])
    np.testing.assert_allclose(merged.columns["a:s"], expected, rtol=1e-6)
    expected = np.log1p([[30, np.nan, 3, 3], [9, 9, 9, np.nan]])
    np.testing.assert_allclose(merged.columns["b:inliers"], expected, rtol=1e-6)


def test_a_candidate_that_stands_once_in_each_role_keeps_both_scores() -> None:
    one = part("s", ["g0", "g2"], ("g0", "g1", 0.9), ("g2", "g3", 0.8), ("g2", "g0", 0.1))
    twice = PseudoQueries(
        {"s": np.array([[0.5, 0.2]], np.float32)}, np.zeros((1, 2), bool), np.ones((1, 2), bool),
        np.array([[True, False]]), np.array([[False, True]]), one.splits.select(np.array([0])),
        np.array([["g2", "g2"]], dtype=object), np.array([["y", "y"]], dtype=object),
    )  # fmt: skip
    merged = merged_pseudo_queries({"a": twice, "b": twice}, {"a": ["s"], "b": ["s"]})
    assert merged is not None
    np.testing.assert_allclose(merged.columns["a:s"], np.log1p([[0.5, 0.2]]), rtol=1e-6)


def test_runs_without_a_common_pseudo_query_have_none_merged() -> None:
    one = part("s", ["g0"], ("g0", "g1", 0.9))
    other = part("s", ["g2"], ("g2", "g3", 0.9))
    assert merged_pseudo_queries({"a": one, "b": other}, {"a": ["s"], "b": ["s"]}) is None
    unnamed = PseudoQueries(one.columns, one.same, one.agrees, one.as_known, one.as_unknown, one.splits)
    with pytest.raises(ValueError, match="do not name"):
        merged_pseudo_queries({"a": one, "b": unnamed}, {"a": ["s"], "b": ["s"]})
