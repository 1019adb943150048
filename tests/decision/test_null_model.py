"""Strangers' best scores: the Gumbel fit, its quantiles, outliers, and two names of one animal."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from evaluation_cases import pseudo_queries, synthetic

from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.null_model import Null, fit_null, look_alikes, nulls_of, strangers_best


def singletons(count: int, seed: int = 0) -> PseudoQueries:
    """Every individual has one photograph, which sees all others; scores are symmetric noise."""
    rng = np.random.default_rng(seed)
    names = np.array([f"i{one}" for one in range(count)], dtype=object)
    noise = rng.normal(size=(2, count, count))
    noise = noise + noise.transpose(0, 2, 1)
    visible = ~np.eye(count, dtype=bool)
    columns = {"similarity": noise[0].astype(np.float32), "inliers": np.exp(noise[1] / 2 + 1).astype(np.float32)}
    nobody = np.zeros((0, count))
    part = pseudo_queries(names.tolist(), nobody, nobody, np.zeros((count, count)), columns, (visible, visible))
    whose = np.broadcast_to(names, (count, count))
    return dataclasses.replace(part, gallery_id=np.char.add("p", whose.astype(str)).astype(object), identity=whose)


def test_a_gumbel_sample_gives_its_location_and_scale() -> None:
    sample = np.random.default_rng(0).gumbel(3.0, 0.5, 4000)
    null = fit_null(sample, individuals=9)
    assert null.location == pytest.approx(3.0, abs=0.03)
    assert null.scale == pytest.approx(0.5, abs=0.02)
    assert (null.photographs, null.individuals) == (4000, 9)
    assert np.mean(sample > null.quantile(0.95)) == pytest.approx(0.05, abs=0.01)


def test_quantile_and_false_acceptance_belong_together() -> None:
    null = Null(location=2.0, scale=0.5, photographs=5, individuals=5)
    assert null.quantile(np.exp(-1)) == pytest.approx(2.0)  # the mode has exp(-1) below it
    assert null.false_acceptance(np.array([null.quantile(0.9), np.inf])) == pytest.approx([0.1, 0.0])
    assert null.excess(np.array([2.0, 3.0])).tolist() == [0.0, 2.0]


def test_outliers_do_not_move_the_fit() -> None:
    sample = np.random.default_rng(1).gumbel(0.0, 1.0, 200)
    spoiled = sample.copy()
    spoiled[:8] = 50.0
    assert fit_null(spoiled).quantile(0.95) == pytest.approx(fit_null(sample).quantile(0.95), abs=0.35)


@pytest.mark.parametrize("values", [[], [np.nan, -np.inf], [0.0], [0.3, 0.3], [0.0] * 9])
def test_few_equal_or_absent_values_still_give_a_null(values: list[float]) -> None:
    null = fit_null(np.array(values))
    assert null.scale > 0
    assert np.isfinite([null.location, null.quantile(0.95)]).all()


def test_strangers_best_leaves_the_own_individual_out() -> None:
    scores = {"similarity": np.array([[0.9, 0.4, 0.2], [0.1, np.nan, 0.8]], np.float32)}
    part = pseudo_queries(["a", "b"], [[1, 0]], [[0, 1]], [[1, 0, 0], [0, 0, 1]], scores)
    assert strangers_best(part, "similarity") == pytest.approx([0.4, 0.1])
    assert nulls_of(part)["similarity"].individuals == 1


def with_two_names(part: PseudoQueries, one: int, other: int, **scores: float) -> PseudoQueries:
    """Two singletons that are one animal: their photographs have these scores with each other."""
    columns = {name: values.copy() for name, values in part.columns.items()}
    for name, score in scores.items():
        columns[name][one, other] = columns[name][other, one] = score
    return dataclasses.replace(part, columns=columns)


def test_two_names_of_one_animal_are_reported() -> None:
    part = singletons(30)
    assert look_alikes(part, nulls_of(part)) == []
    spoiled = with_two_names(part, 4, 9, similarity=30.0, inliers=5000.0)
    [pair] = look_alikes(spoiled, nulls_of(spoiled))
    assert (pair.first, pair.second) == ("i4", "i9")
    assert {pair.first_image, pair.second_image} == {"p4", "pi9"} or {pair.first_image, pair.second_image} == {
        "p9",
        "pi4",
    }
    assert pair.chance < 0.001


def test_two_names_of_one_animal_are_reported_among_few() -> None:
    """Two of nine photographs are outliers, so a null of all nine would hide them."""
    part = singletons(9)
    assert look_alikes(part, nulls_of(part)) == []
    spoiled = with_two_names(part, 2, 5, similarity=9.0, inliers=400.0)
    [pair] = look_alikes(spoiled, nulls_of(spoiled))
    assert (pair.first, pair.second) == ("i2", "i5")


def test_nothing_is_reported_without_names() -> None:
    part = synthetic(6, 3.0, seed=0)
    assert look_alikes(part, nulls_of(part)) == []
