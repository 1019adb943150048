"""Pseudo-tests on the database: who is drawn, what is hidden, and how cuts and ways of attaching are chosen."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from rows import Row, image_table

from animalclef.clustering.choose_rule import (
    CUTS,
    ClusterRule,
    KnownBest,
    PseudoTests,
    choose_rule,
    count_interval,
    count_ratios,
    counts_of,
)
from animalclef.clustering.constraints import Forest
from animalclef.clustering.held_out_links import LabelledPairs
from animalclef.clustering.learn_rules import Evidence, PseudoPool, learn_rules
from animalclef.clustering.partition import Partitioner
from animalclef.clustering.pseudo_tests import draw_pool, draw_tests, thinned_like
from animalclef.decision.null_model import Null
from animalclef.structures.clusters import LinkedPairs

GALLERY = image_table([Row(f"{who}{place}", who) for who in "abcdef" for place in range(4)])
ENCOUNTERS = {image_id: f"{image_id[0]}/{int(image_id[1]) // 2}" for image_id in GALLERY.image_id}  # two each


def test_a_pool_holds_whole_individuals_and_hides_them() -> None:
    pool = draw_pool(GALLERY, ENCOUNTERS, 9, 0, attaches=False)
    count = Counter(pool.images.identity)
    assert set(count.values()) == {4}
    assert len(count) == 3  # as many individuals as reach nine photographs
    for image_id, hidden in pool.hidden.items():
        assert hidden == {f"{image_id[0]}{place}" for place in range(4)}


def test_every_second_individual_keeps_half_of_its_encounters_in_the_database() -> None:
    pool = draw_pool(GALLERY, ENCOUNTERS, 24, 0, attaches=True)
    count = Counter(pool.images.identity)
    assert sorted(count.values()) == [2, 2, 2, 4, 4, 4]
    for image_id in pool.images.image_id:
        mine = {one for one in pool.images.image_id if one[0] == image_id[0]}
        assert pool.hidden[image_id] == mine
        assert len({ENCOUNTERS[one] for one in mine}) == len(mine) // 2


def test_an_individual_with_thousands_of_photographs_has_twelve_in_the_pool() -> None:
    crowd = image_table([Row(str(number), "a") for number in range(3000)])
    pool = draw_pool(crowd, dict.fromkeys(crowd.image_id, "one"), 100, 0, attaches=True)
    assert len(pool.images) == 12
    assert len(pool.hidden["0" if "0" in pool.hidden else next(iter(pool.hidden))]) == 3000


def test_pseudo_tests_take_three_quarters_of_the_individuals_and_so_many_photographs_of_each() -> None:
    who = np.repeat(np.arange(8), 5)
    for rows in draw_tests(who, 2, 4, 0):
        assert sorted(Counter(who[rows].tolist()).values()) == [2] * 6
        assert (np.diff(rows) > 0).all()


def test_the_pool_is_thinned_to_the_expected_partners_of_the_queries() -> None:
    who = np.repeat(np.arange(10), 8)
    first, second = np.triu_indices(80, 1)
    probability = (who[first] == who[second]).astype(float)
    for level in (1, 2, 4, 8):
        assert thinned_like(who, probability, first, second, level - 1, 0) == level
    assert thinned_like(who, probability, first, second, 99, 0) == 8


def made_tests(known: KnownBest | None = None, linked: float = 0.9) -> PseudoTests:
    """Six individuals with four photographs; those of 4 and 5 are alike, and cannot be parted by pairs."""
    who = np.repeat(np.arange(6), 4)
    first, second = np.triu_indices(24, 1)
    same, alike = who[first] == who[second], (who[first] >= 4) & (who[second] >= 4)
    probability = np.where(same, linked, np.where(alike, 0.3, 0.01))
    rows = draw_tests(who, 4, 4, 0)
    return PseudoTests(who, first, second, probability, known or KnownBest.none(24), rows)


def test_the_cut_is_the_loosest_of_those_that_part_individuals_best() -> None:
    rule = choose_rule([made_tests()], {}, attaches=False)
    assert list(rule.alike) == [cut for cut in CUTS if 0.3 < cut <= 0.9]
    assert rule.cut == rule.alike[0] == 0.3775
    assert (rule.attach, rule.chosen_on) == (None, "pseudo-tests")
    ratios = count_ratios([made_tests()], rule, 0)
    assert ratios.shape == (40, len(rule.alike) + 1)
    assert (ratios[:, :-1] == 1).all()  # at each of these cuts there is a cluster for every individual
    found = count_ratios([made_tests()], ClusterRule(alike=(0.3, 0.95)), 0)
    assert found[:, 0].min() == 1 < found[:, 0].max()  # where both of the two are there that cannot be parted
    assert found[:, 1] == pytest.approx(1 / 4)  # every photograph is alone, four of each individual
    assert choose_rule([made_tests()], {"cut": 0.25}, attaches=False) == ClusterRule(
        0.25, alike=(0.25,), chosen_on="settings"
    )


def test_individuals_are_counted_by_clusters_and_by_expected_partners() -> None:
    part = Partitioner(Forest(4), np.array([0, 1]), np.array([1, 2]), np.array([0.9, 0.3]))
    expected = 1 / 1.9 + 1 / 2.2 + 1 / 1.3 + 1
    assert counts_of(part, (0.5, 0.95)) == pytest.approx([3, 4, expected])
    # ten resamples with 1 to 2 individuals for each cluster, and half as many for each expected one
    ratios = np.stack([np.linspace(1, 2, 11), np.linspace(0.5, 1, 11)], axis=1)
    assert count_interval(ratios, np.array([20.0, 40.0])) == pytest.approx((20, 40), abs=1.1)
    assert count_interval(ratios[5:6], np.array([20.0, 40.0])) == (30, 30)


def test_photographs_are_attached_where_that_is_right_and_not_where_it_harms() -> None:
    who = np.repeat(np.arange(6), 4)
    names = [f"animal {one}" for one in who.tolist()]
    right = KnownBest(names, np.full(24, 0.8), np.full(24, 3.0))
    rule = choose_rule([made_tests(right)], {}, attaches=True)
    assert (rule.attach, rule.margin) == (0.5, 0.0)
    wrong = KnownBest(["animal 0"] * 24, np.full(24, 0.8), np.full(24, 0.5))
    rule = choose_rule([made_tests(wrong)], {}, attaches=True)
    assert rule.attach is None or rule.attach > 0.8 or rule.margin > 0.5


def pairs_of(individuals: int, each: int, seed: int) -> tuple[LinkedPairs, np.ndarray]:
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(individuals), each)
    first, second = np.triu_indices(len(who), 1)
    same = who[first] == who[second]
    score = (rng.exponential(size=len(first)) + 12 * same).astype(np.float32)
    ids = np.array([f"{seed}-{row}" for row in range(len(who))], dtype=object)
    return LinkedPairs(ids, first, second, {"similarity": score}), who


def test_a_rule_comes_from_the_data_set_itself_from_others_or_from_the_null_model() -> None:
    null = {"similarity": Null(location=3.0, scale=1.0, photographs=9, individuals=9)}
    pairs, _ = pairs_of(10, 3, 1)
    target = Evidence(pairs, null, KnownBest.none(30))
    of_pool, who = pairs_of(12, 3, 2)
    pool = PseudoPool(LabelledPairs(of_pool, null, who, np.arange(36)), KnownBest.none(36))
    learned = learn_rules({"A": target, "B": target}, {"A": pool}, ("similarity",), {}, 0, attaches=False)
    assert learned["A"].rule.chosen_on == "pseudo-tests"
    assert learned["A"].validation["ari"] > 0.9
    assert learned["B"].rule.chosen_on == "other data sets"
    alone = learn_rules({"B": target}, {}, ("similarity",), {"cut": 0.7}, 0, attaches=False)["B"]
    assert (alone.rule.chosen_on, alone.rule.cut) == ("null model", 0.7)
    for one in (*learned.values(), alone):
        probability = one.model.probability(target.pairs, null)
        own = target.pairs.first // 3 == target.pairs.second // 3
        assert probability[own].min() > probability[~own].max()
        assert probability[own].mean() == pytest.approx(1.0, abs=0.2)
