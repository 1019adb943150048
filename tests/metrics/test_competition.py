"""The official score and the retrieval measures against numbers worked out by hand, and against a slow loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from animalclef.evaluation.evaluate import bootstrap
from animalclef.metrics.competition import NEW, ScoreKernel, average_precision, identity_rank

Query = tuple[str, str, bool, str | None]  # data set, individual, known, answer


def kernel_of(queries: list[Query]) -> tuple[ScoreKernel, np.ndarray]:
    dataset, identity, known, answer = (np.array(column, dtype=object) for column in zip(*queries, strict=True))
    kernel = ScoreKernel(identity, dataset, known.astype(bool))
    return kernel, kernel.encode(answer)


def slow_score(queries: list[Query]) -> dict[str, tuple[float, float, float]]:
    """BAKS, BAUS and score of each data set, straight from the organisers' definition."""
    result = {}
    for dataset in {query[0] for query in queries}:
        accuracy = {}
        for known in (True, False):
            mine = [query for query in queries if query[0] == dataset and query[2] == known]
            shares = []
            for individual in {query[1] for query in mine}:
                own = [query for query in mine if query[1] == individual]
                right = [answer == individual if known else answer is None for _, _, _, answer in own]
                shares.append(sum(right) / len(own))
            accuracy[known] = sum(shares) / len(shares) if shares else math.nan
        baks, baus = accuracy[True], accuracy[False]
        score = 0.0 if math.isnan(baks) or math.isnan(baus) else math.sqrt(baks * baus)
        result[dataset] = (baks, baus, score)
    return result


def test_one_data_set_by_hand() -> None:
    queries: list[Query] = [
        ("lynx", "a", True, "a"),
        ("lynx", "a", True, "b"),  # another's name
        ("lynx", "a", True, None),  # a known one called new is wrong
        ("lynx", "b", True, "b"),
        ("lynx", "u", False, None),
        ("lynx", "u", False, "a"),
        ("lynx", "v", False, None),
        ("lynx", "w", False, "w"),  # the right name of an animal that nobody can know is wrong
    ]
    kernel, predicted = kernel_of(queries)
    part = kernel.score(predicted).datasets["lynx"]
    assert part.baks == pytest.approx((1 / 3 + 1) / 2)
    assert part.baus == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert part.score == pytest.approx(math.sqrt(2 / 3 * 1 / 2))
    assert (part.known, part.unknown) == (4, 4)


def test_individuals_weigh_the_same_however_many_queries_they_have() -> None:
    queries: list[Query] = [("lynx", "often", True, None)] * 99 + [("lynx", "once", True, "once")]
    queries.append(("lynx", "u", False, None))
    kernel, predicted = kernel_of(queries)
    assert kernel.overall(predicted) == pytest.approx(math.sqrt(0.5))


def test_the_mean_over_data_sets_is_unweighted() -> None:
    big: list[Query] = [("turtle", f"t{number}", True, f"t{number}") for number in range(50)]
    big.append(("turtle", "u", False, None))
    small: list[Query] = [("lynx", "a", True, "a"), ("lynx", "u", False, "a")]
    kernel, predicted = kernel_of(big + small)
    score = kernel.score(predicted)
    assert score.datasets["turtle"].score == pytest.approx(1)
    assert score.datasets["lynx"].score == 0
    assert score.overall == kernel.overall(predicted) == pytest.approx(0.5)


def test_a_data_set_without_unknown_or_without_known_queries_counts_as_zero() -> None:
    queries: list[Query] = [("all_known", "a", True, "a"), ("all_new", "u", False, None)]
    queries += [("both", "a", True, "a"), ("both", "u", False, None)]
    kernel, predicted = kernel_of(queries)
    score = kernel.score(predicted)
    assert score.datasets["all_known"].baks == 1
    assert math.isnan(score.datasets["all_known"].baus)
    assert math.isnan(score.datasets["all_new"].baks)
    assert score.datasets["all_known"].score == score.datasets["all_new"].score == 0
    assert score.overall == pytest.approx(1 / 3)


def test_one_name_in_two_data_sets_is_two_individuals() -> None:
    queries: list[Query] = [("lynx", "1", True, "1"), ("lynx", "2", True, None), ("lynx", "u", False, None)]
    queries += [("newt", "1", True, None), ("newt", "u", False, None)]
    kernel, predicted = kernel_of(queries)
    score = kernel.score(predicted)
    assert score.datasets["lynx"].baks == 0.5
    assert score.datasets["newt"].baks == 0


def test_no_queries_score_nothing() -> None:
    nothing = np.zeros(0, dtype=object)
    kernel = ScoreKernel(nothing, nothing, np.zeros(0, dtype=bool))
    assert kernel.overall(kernel.encode(nothing)) == kernel.score(kernel.encode(nothing)).overall == 0


def test_names_that_no_query_has_are_wrong_but_not_new() -> None:
    kernel, predicted = kernel_of([("lynx", "a", True, "stranger"), ("lynx", "u", False, "stranger")])
    assert NEW not in predicted
    assert kernel.overall(predicted) == 0


queries_of_any_kind = st.lists(
    st.tuples(
        st.sampled_from(["lynx", "newt", "sea turtle"]),
        st.sampled_from(["a", "b", "c", "10", "é"]),
        st.booleans(),
        st.sampled_from([None, "a", "b", "c", "10", "é", "stranger"]),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(queries_of_any_kind)
def test_the_score_is_the_slow_loops(queries: list[Query]) -> None:
    kernel, predicted = kernel_of(queries)
    score, expected = kernel.score(predicted), slow_score(queries)
    assert set(score.datasets) == set(expected)
    for name, (baks, baus, whole) in expected.items():
        part = score.datasets[name]
        assert part.baks == pytest.approx(baks, nan_ok=True)
        assert part.baus == pytest.approx(baus, nan_ok=True)
        assert part.score == pytest.approx(whole)
    mean = sum(whole for _, _, whole in expected.values()) / len(expected)
    assert score.overall == pytest.approx(mean)
    assert kernel.overall(predicted) == pytest.approx(mean)


def strings(*values: str) -> np.ndarray:
    return np.array(values, dtype=object)


def test_rank_counts_distinct_individuals() -> None:
    ranked = strings("a", "a", "a", "b", "a", "c")
    assert [identity_rank(ranked, who) for who in "abc"] == [1, 2, 3]
    assert identity_rank(ranked, "d") == math.inf
    assert identity_rank(strings(), "a") == math.inf


def test_average_precision_by_hand() -> None:
    def of(*relevant: int, total: int) -> float:
        return average_precision(np.array(relevant, dtype=bool), total)

    assert of(1, 1, 0, total=2) == 1
    assert of(0, 1, 0, 1, total=2) == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert of(1, 0, 0, total=4) == 0.25  # three were never listed
    assert of(0, 0, total=3) == 0
    assert of(total=3) == 0
    assert math.isnan(of(0, total=0))


def test_bootstrap_draws_individuals_not_queries() -> None:
    values = np.array([1.0, 1, 1, 1, 0])
    individual = np.array([0, 0, 0, 0, 1])
    interval = bootstrap(values, individual, np.random.default_rng(0), draws=400)
    assert interval.mean == 0.8
    assert (interval.low, interval.high) == (0, 1)  # both draws of one individual are common


def test_bootstrap_of_one_individual_is_wide_and_of_none_is_nan() -> None:
    rng = np.random.default_rng(0)
    one = bootstrap(np.array([0.0, 1.0]), np.array([0, 0]), rng, draws=50)
    half = 1.96 * math.sqrt(0.25 + 1.96**2 / 4) / (1 + 1.96**2)  # of Wilson's interval for a share of .5 of one
    assert (one.mean, one.low, one.high) == pytest.approx((0.5, 0.5 - half, 0.5 + half))
    none = bootstrap(np.zeros(0), np.zeros(0, dtype=np.int64), rng, draws=50)
    assert math.isnan(none.mean)
    assert math.isnan(none.low)
    assert math.isnan(none.high)


def test_bootstrap_narrows_with_more_individuals() -> None:
    width = []
    for count in (10, 1000):
        values = np.tile([0.0, 1.0], count // 2)
        interval = bootstrap(values, np.arange(count), np.random.default_rng(0), draws=300)
        width.append(interval.high - interval.low)
    assert width[1] == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(1000), rel=0.2)
    assert width[0] == pytest.approx(width[1] * 10, rel=0.3)
