"""Leaks, intervals and reliability."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluation_cases import synthetic

from animalclef.config import DecideConfig
from animalclef.decision.answer_curve import reliability
from animalclef.decision.cross_fit import CrossFitter
from animalclef.decision.leak_guard import Fitted, digest_of
from animalclef.decision.pseudo_query_scores import AnsweredQueries
from animalclef.decision.tune import tune
from animalclef.errors import AnimalClefError, LeakError
from animalclef.runtime.progress import Silent

CONFIG = DecideConfig(folds=3, trials=2)


def test_what_was_fitted_on_an_individual_is_not_scored_on_it() -> None:
    fitted = Fitted("a curve", frozenset({"lynx/a", "lynx/b"}))
    assert fitted.for_scoring(["lynx/c", "newt/a"]) == "a curve"
    with pytest.raises(LeakError, match=r"1 individual that the decision was fitted on \(one: lynx/b\)"):
        fitted.for_scoring(["lynx/c", "lynx/b"])
    assert issubclass(LeakError, AnimalClefError)


def test_held_out_log_odds_come_from_other_individuals() -> None:
    held_out = CrossFitter("lynx", {"lynx": synthetic(9, 2.0, seed=0)}, CONFIG, seed=0)
    for fold in range(3):
        inside = set(held_out.individuals["lynx"][held_out.fold_of["lynx"] == fold])
        assert len(inside) == 3
        assert not inside & held_out.fitted(frozenset({fold})).individuals
    assert held_out.fitted().individuals == set(held_out.individuals["lynx"])


def test_a_fit_that_sees_its_own_fold_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    held_out = CrossFitter("lynx", {"lynx": synthetic(9, 2.0, seed=0)}, CONFIG, seed=0)
    everything = held_out.fitted()
    monkeypatch.setattr(held_out, "fitted", lambda without=frozenset(): everything)
    with pytest.raises(LeakError, match="fitted on"):
        held_out.log_odds("lynx")


def test_answered_queries_shape_the_curves_of_folds_without_their_individual() -> None:
    part = synthetic(9, 2.0, seed=0)
    more = synthetic(3, 2.0, seed=1)  # three of the individuals, as people named them in queries
    queries = AnsweredQueries(more, np.zeros(more.same.shape, dtype=bool))
    plain = CrossFitter("lynx", {"lynx": part}, CONFIG, seed=0)
    held_out = CrossFitter("lynx", {"lynx": part}, CONFIG, seed=0, answered={"lynx": queries})
    for fold in range(3):
        inside = set(held_out.individuals["lynx"][held_out.fold_of["lynx"] == fold])
        assert not inside & held_out.fitted(frozenset({fold})).individuals
    column = plain.columns[0]
    before, nothing_said = (one.fitted().for_use.of[column] for one in (plain, held_out))
    assert nothing_said == before  # no pair of theirs is labelled
    labelled = replace(queries, labelled=more.as_known)
    held_out = CrossFitter("lynx", {"lynx": part}, CONFIG, seed=0, answered={"lynx": labelled})
    assert held_out.fitted().for_use.of[column] != before
    assert held_out.log_odds("lynx").who.shape == part.same.shape  # they are not scored themselves
    assert CrossFitter("lynx", {"lynx": part}, CONFIG, seed=0, answered={"newt": labelled}).fitted().for_use == (
        plain.fitted().for_use
    )


def test_other_data_sets_individuals_of_the_same_name_are_others() -> None:
    held_out = CrossFitter(
        "pooled", {"lynx": synthetic(4, 2.0, seed=0), "newt": synthetic(4, 2.0, seed=1)}, CONFIG, seed=0
    )
    assert len(held_out.fitted().individuals) == 8


def test_a_digest_names_a_set() -> None:
    assert digest_of(["b", "a"]) == digest_of(["a", "b"]) != digest_of(["ab"])
    assert len(digest_of([])) == 16


def test_reliability_by_hand() -> None:
    probability = np.array([0.1, 0.3, 0.9, 0.7, 1.0])
    found = reliability(probability, np.array([0, 1, 1, 1, 1], dtype=bool), bins=2)
    assert found.pairs == (2, 3)
    assert found.said == pytest.approx((0.2, 2.6 / 3))
    assert found.seen == pytest.approx((0.5, 1))
    assert found.error == pytest.approx((2 * 0.3 + 3 * 0.4 / 3) / 5)
    nothing = reliability(np.zeros(0), np.zeros(0, dtype=bool))
    assert (nothing.pairs, nothing.error) == ((), 0)


def test_individuals_of_answered_queries_are_not_counted_as_validated() -> None:
    part, more = synthetic(12, 2.0, seed=0), synthetic(4, 2.0, seed=1)
    strangers = np.array([f"query {number}" for number in range(len(more))], dtype=object)
    more = replace(more, splits=replace(more.splits, identity=strangers))
    answered = {"lynx": AnsweredQueries(more, more.as_known)}
    decision = tune({"lynx": part}, CONFIG, 0, "s", "g", Silent(), answered=answered)
    validation = decision.datasets["lynx"].validation
    assert validation is not None
    assert validation.individuals == len(set(part.splits.identity))
