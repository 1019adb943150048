"""Pairs of photographs, their null models, and the probability that they show one individual."""

from __future__ import annotations

import numpy as np
import pytest

from animalclef.clustering.held_out_links import LabelledPairs, held_out_probability
from animalclef.clustering.link_model import fit_link_model, link_inputs, linked_pairs, nulls_of_lists, prior_link_model
from animalclef.decision.null_model import Null
from animalclef.structures import PairScores
from animalclef.structures.clusters import LinkedPairs


def texts(*values: str) -> np.ndarray:
    return np.array(values, dtype=object)


def test_a_pair_stands_once_with_the_mean_of_both_directions() -> None:
    scores = PairScores(
        texts("a", "b", "b", "c"),
        texts("b", "a", "c", "a"),
        {"vote": np.array([1, 3, 5, np.nan], np.float32), "photographs": np.ones(4, np.float32)},
    )
    pairs = linked_pairs(scores, texts("a", "b", "c"))
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 2)]
    assert list(pairs.columns) == ["vote"]
    np.testing.assert_array_equal(pairs.columns["vote"], np.array([2, np.nan, 5], np.float32))


def test_the_null_of_lists_is_that_of_strangers_whoever_stands_first() -> None:
    rng = np.random.default_rng(0)
    strangers = rng.exponential(2.0, size=(300, 40))
    lists = np.sort(strangers, axis=1)[:, ::-1].copy()
    lists[:, :5] += 50  # five photographs of the query's own individual
    query = np.repeat([f"q{row}" for row in range(300)], 40).astype(object)
    other = np.tile([f"g{slot}" for slot in range(40)], 300).astype(object)
    null = nulls_of_lists(PairScores(query, other, {"similarity": lists.ravel().astype(np.float32)}))["similarity"]
    # The largest of 40 exponential scores of scale 2 has its mode at 2 ln 40 = 7.4.
    assert null.scale == pytest.approx(2.0, rel=0.1)
    assert null.location == pytest.approx(2 * np.log(40), rel=0.1)


def test_photographs_of_one_animal_alone_are_not_taken_for_strangers() -> None:
    query, other = (texts(*(f"{one}" for one in rows.tolist())) for rows in np.nonzero(~np.eye(5, dtype=bool)))
    verified = np.random.default_rng(0).integers(40, 120, len(query)).astype(np.float32)
    scores = PairScores(query, other, {"inliers": verified})
    null = nulls_of_lists(scores)["inliers"]
    assert null.location == 1.8  # not log(41) and more
    assert null.scale <= 0.2
    pairs = linked_pairs(scores, texts(*"01234"))
    assert prior_link_model(["inliers"]).probability(pairs, {"inliers": null}).min() > 0.9
    few = nulls_of_lists(PairScores(query, other, {"inliers": np.tile(np.arange(2, 6, dtype=np.float32), 5)}))
    assert few["inliers"].location < 1.8  # strangers as they are: nothing is bounded


def test_no_scores_at_all_give_a_null_that_changes_nothing() -> None:
    empty = PairScores(texts(), texts(), {"similarity": np.zeros(0, np.float32)})
    assert nulls_of_lists(empty)["similarity"].photographs == 0


def labelled(individuals: int = 20) -> LabelledPairs:
    """Four photographs of each individual in two encounters; `similarity` tells who is who, `noise` does not."""
    rng = np.random.default_rng(1)
    who = np.repeat(np.arange(individuals), 4)
    first, second = np.triu_indices(len(who), 1)
    same = who[first] == who[second]
    columns = {"noise": rng.normal(size=len(first)), "similarity": rng.normal(size=len(first)) + 4 * same}
    ids = np.array([str(row) for row in range(len(who))], dtype=object)
    pairs = LinkedPairs(ids, first, second, {name: one.astype(np.float32) for name, one in columns.items()})
    nulls = {name: Null(location=0.0, scale=1.0, photographs=9, individuals=9) for name in columns}
    return LabelledPairs(pairs, nulls, who, np.arange(len(who)) // 2)


def test_held_out_probabilities_tell_pairs_apart_and_are_about_right() -> None:
    mine = labelled()
    assert mine.suffices
    assert not labelled(2).suffices
    probability = held_out_probability(mine, ("noise", "similarity"), 0)
    assert probability[mine.same].mean() > 0.6
    assert probability[~mine.same].mean() < 0.02
    assert probability.sum() == pytest.approx(mine.same.sum(), rel=0.35)  # pairs of one encounter were not fitted on


def test_a_column_that_falls_is_left_out_and_one_class_is_flat() -> None:
    inputs = np.array([[1.0, 1], [0, 2], [1, 0], [0, 3], [1, 0.5], [0, 2.5]])
    same = np.array([True, False, True, False, True, False])
    model = fit_link_model(inputs, ("up", "down"), same)
    assert model.slopes[0] > 0
    assert model.slopes[1] == 0
    flat = fit_link_model(inputs, ("up", "down"), np.zeros(6, bool))
    assert flat.slopes == (0, 0)
    assert flat.intercept == pytest.approx(np.log(1 / 7))  # (0 + 1) / (6 + 2) of the pairs


def test_the_prior_is_even_odds_a_few_scales_above_strangers() -> None:
    model = prior_link_model(["inliers", "similarity"])
    assert model.columns == ("inliers",)
    pairs = LinkedPairs(texts("a", "b"), np.array([0]), np.array([1]), {"inliers": np.array([np.e**3 - 1], np.float32)})
    null = {"inliers": Null(location=1.0, scale=0.5, photographs=9, individuals=9)}
    # 4 scales above: 4 * 11 / 12 - ln 12
    log_odds = model.log_odds(link_inputs(pairs, null, model.columns))
    assert log_odds[0] == pytest.approx(4 * 11 / 12 - np.log(12), abs=1e-5)
