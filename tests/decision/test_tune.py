"""What the search finds on scores whose best decision is known, and on scores that say nothing."""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_cases import pseudo_queries, synthetic

from animalclef.config import DecideConfig
from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.cross_fit import nested_answers
from animalclef.decision.decision_model import DatasetDecision, Decision, load_decision
from animalclef.decision.model_average import search
from animalclef.decision.score_columns import base_of
from animalclef.decision.search import SearchResult, choose_threshold
from animalclef.decision.trial_evaluator import DecisionParams, TrialEvaluator
from animalclef.decision.tune import cross_fitters, tune
from animalclef.engine.work import ThisMachine
from animalclef.errors import ConfigError, StaleArtefactError
from animalclef.runtime.progress import Silent

QUICK = DecideConfig(folds=3)


def tuned(config: DecideConfig = QUICK, seed: int = 0, **pseudo: PseudoQueries) -> Decision:
    return tune(pseudo, config, seed, "scores", "gallery", Silent())


class OtherProcesses(ThisMachine):
    """Gives a copy of the work to every chunk, the last one first, as processes elsewhere get it."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def ordered(self, work: Any, chunks: Iterable[Any]) -> Iterator[Any]:
        found = []
        for chunk in reversed(list(chunks)):
            copy, part = pickle.loads(pickle.dumps((work.with_threads(3), chunk)))
            self.ran.append(copy.named(part))
            found += copy.run([part])
        yield from reversed(found)


def usable(part: DatasetDecision) -> bool:
    numbers = [part.threshold, *part.weights.values()]
    numbers += [
        value for one in part.calibrators.values() for value in (one.mean, one.spread, one.slope, one.intercept)
    ]
    return (
        bool(np.isfinite(numbers).all()) and set(part.weights) <= set(part.calibrators) and any(part.weights.values())
    )


def test_a_separating_threshold_is_found() -> None:
    decision = tuned(lynx=synthetic(individuals=20, signal=12.0, seed=0))
    found = decision.of("lynx").validation
    assert found is not None
    assert found.tuned == found.baks == found.baus == pytest.approx(1)
    assert found.nested == pytest.approx(1, abs=0.03)
    assert (found.pseudo_queries, found.individuals) == (40, 20)
    assert decision.datasets["lynx"].fitted_on == "lynx"


def test_scores_that_no_data_set_has_are_refused() -> None:
    lynx = synthetic(individuals=20, signal=12.0, seed=0)
    names = sorted(lynx.columns)
    wrong = QUICK.model_copy(update={"scores": (f"{names[0]}x",)})
    with pytest.raises(
        ConfigError, match=rf"decide.scores: this run has no {names[0]}x, but .*Did you mean {names[0]}"
    ):
        tuned(wrong, lynx=lynx)
    member = QUICK.model_copy(update={"scores": ("inliers",)})  # of a run whose parts have it under their own names
    part = dataclasses.replace(lynx, columns={f"a:{name}": values for name, values in lynx.columns.items()})
    part = dataclasses.replace(part, columns={**part.columns, "a:inliers": next(iter(part.columns.values()))})
    assert tuned(member, lynx=part).of("lynx").weights


def test_a_column_that_tells_nothing_has_next_to_no_say() -> None:
    part = synthetic(individuals=20, signal=12.0, seed=0)
    noise = np.random.default_rng(5).normal(size=part.same.shape).astype(np.float32)
    telling = {"similarity": noise, "inliers": part.columns["inliers"]}
    lying = PseudoQueries(telling, part.same, part.agrees, part.as_known, part.as_unknown, part.splits)
    found = tuned(lynx=lying).of("lynx")
    say = {name: found.weights[name] * found.calibrators[name].slope for name in telling}
    assert say["inliers"] > 5 * say["similarity"]
    assert sum(found.weights.values()) == pytest.approx(1)


def test_scores_without_a_meaning_validate_near_chance() -> None:
    # naming the right one of eight by luck and telling new from known by luck: sqrt(1/8 * 1) at the very best
    nested = [tuned(lynx=synthetic(30, signal=0.0, seed=seed)).of("lynx").validation for seed in range(3)]
    scores = [one.nested for one in nested if one is not None]
    assert len(scores) == 3
    assert np.mean(scores) < 0.3


def test_the_nested_score_is_not_what_was_fitted() -> None:
    found = [tuned(lynx=synthetic(12, signal=1.0, seed=seed)).of("lynx").validation for seed in range(4)]
    gap = np.mean([one.tuned - one.nested for one in found if one is not None])
    assert gap > 0


def test_every_fold_of_the_nested_score_is_searched_as_the_whole_is() -> None:
    seen: list[int] = []

    def search_of_fold(evaluators: Sequence[TrialEvaluator], config: DecideConfig) -> SearchResult:
        seen.append(len(evaluators[0].part))
        lazy = DecisionParams(weights={"inliers": 1.0})
        return choose_threshold(evaluators, lazy)

    part, config = synthetic(12, signal=3.0, seed=0), DecideConfig(folds=3)
    own, other = (
        tune({"lynx": part}, config, 0, "scores", "gallery", Silent(), None, one).of("lynx")
        for one in (search, search_of_fold)
    )
    assert len(seen) == 3
    assert max(seen) < len(part)
    assert own.weights == other.weights
    assert own.validation is not None
    assert other.validation is not None
    assert own.validation.nested != other.validation.nested


def test_whether_the_best_is_right_is_told_of_the_columns_as_they_were_fused() -> None:
    """Either column names the right one for half of the individuals, and says nothing of the others."""
    plain = synthetic(individuals=24, signal=0.0, seed=3)
    told = plain.same & (np.arange(len(plain)) // 2 % 2 == 0)[:, None]
    similarity = np.where(told, 0.9, 0.1).astype(np.float32)
    inliers = np.where(plain.same & ~told, 40.0, 2.0).astype(np.float32)
    part = dataclasses.replace(plain, columns={"similarity": similarity, "inliers": inliers})
    found = {}
    for columns in (("similarity",), ("inliers",), ("similarity", "inliers")):
        config = DecideConfig(folds=3, scores=columns)
        [fitter] = cross_fitters({"lynx": part}, config, 0)
        answered = nested_answers(fitter)["lynx"]
        assert (answered.best_is_right | ~answered.hits[0]).all()
        found[columns] = answered.best_is_right.mean()
    assert found["similarity", "inliers"] == 1
    assert max(found["similarity",], found["inliers",]) < 0.7


def test_the_interval_reaches_as_far_up_as_one_more_encounter_is_worth() -> None:
    part = synthetic(individuals=20, signal=12.0, seed=0)
    plain = tuned(lynx=part).of("lynx").validation
    # half of the pseudo-queries are not found any more with one more encounter hidden
    half = (np.arange(len(part)) // 2 % 2 == 0)[:, None]
    worth = tuned(lynx=dataclasses.replace(part, one_more=part.same & half)).of("lynx").validation
    nothing = tuned(lynx=dataclasses.replace(part, one_more=np.zeros_like(part.same))).of("lynx").validation
    weak = synthetic(individuals=20, signal=1.0, seed=0)
    before = tuned(lynx=weak).of("lynx").validation
    after = tuned(lynx=dataclasses.replace(weak, one_more=weak.same & half)).of("lynx").validation
    assert plain is not None
    assert plain.nested > 0.9
    assert nothing == plain
    assert worth is not None
    assert (worth.nested, worth.low, worth.high) == (plain.nested, plain.low, 1.0)
    assert before is not None
    assert after is not None
    assert after.nested == before.nested
    assert before.high is not None
    assert after.high is not None
    assert 0.05 < after.high - before.high < before.nested


def test_the_same_seed_gives_the_same_decision() -> None:
    part = synthetic(individuals=10, signal=2.0, seed=1)
    assert tuned(lynx=part) == tuned(lynx=part)


def test_a_data_set_with_few_pseudo_queries_takes_the_pooled_decision_in_its_own_units() -> None:
    decision = tuned(lynx=synthetic(20, 3.0, seed=0), newt=synthetic(4, 3.0, seed=1))
    assert set(decision.datasets) == {"lynx", "newt"}
    assert decision.datasets["newt"].fitted_on == "pooled"
    assert decision.datasets["newt"].validation == decision.pooled.validation
    assert decision.pooled.fitted_on == "pooled"
    assert decision.pooled.scale_free
    assert decision.pooled.validation is not None
    assert decision.pooled.validation.pseudo_queries == 40 + 8
    assert decision.summary is not None
    assert decision.summary.nested == decision.datasets["lynx"].validation.nested  # type: ignore[union-attr]


def test_the_threshold_lies_in_the_middle_of_its_plateau() -> None:
    decision = tuned(lynx=synthetic(20, signal=40.0, seed=0))
    assert 0.1 < decision.of("lynx").threshold < 0.95


@pytest.mark.parametrize("value", [0.5, 0.0, np.nan])
def test_constant_and_absent_scores_still_give_a_decision(value: float) -> None:
    part = synthetic(individuals=10, signal=0.0, seed=0)
    flat = {name: np.full(part.same.shape, value, np.float32) for name in ("similarity", "inliers")}
    decision = tuned(lynx=PseudoQueries(flat, part.same, part.agrees, part.as_known, part.as_unknown, part.splits))
    assert usable(decision.of("lynx"))
    assert usable(decision.pooled)


@pytest.mark.parametrize("columns", [("similarity",), ("similarity", "matches", "inliers", "inlier_weight")])
@pytest.mark.parametrize("identity", [["a", "a", "a"], ["a", "b", "c"], []])
def test_where_nothing_can_be_tuned_the_default_uses_a_score_that_is_there(
    columns: tuple[str, ...], identity: list[str]
) -> None:
    n = len(identity)
    scores = {name: np.zeros((n, 2), np.float32) for name in columns}
    nobody = np.zeros((0, n))
    part = pseudo_queries(identity, nobody, nobody, np.zeros((n, 2)), scores)
    decision = tuned(lynx=part)
    assert set(decision.datasets) == ({"lynx"} if identity else set())
    assert decision.of("lynx").fitted_on == "default"
    assert usable(decision.of("lynx"))
    assert {base_of(name) for name in decision.of("lynx").weights} <= set(columns)


def test_individuals_in_fewer_folds_than_asked_for() -> None:
    part = synthetic(individuals=2, signal=5.0, seed=0, photographs=8)
    decision = tuned(DecideConfig(folds=6), lynx=part)
    assert usable(decision.of("lynx"))


def test_a_decision_survives_its_file_and_is_refused_for_other_scores(tmp_path: Path) -> None:
    decision = tuned(lynx=synthetic(6, 3.0, seed=0))
    path = tmp_path / "decision.json"
    path.write_text(decision.model_dump_json(indent=1), encoding="utf-8")
    assert load_decision(path) == decision
    decision.check("scores")
    with pytest.raises(StaleArtefactError, match=r"fitted on scores of settings scores, this run's are others"):
        decision.check("others")
    later = {**json.loads(decision.model_dump_json()), "format": 99}
    del later["digest"]
    path.write_text(json.dumps(later), encoding="utf-8")
    with pytest.raises(StaleArtefactError, match=r"not a decision file of this version \(format"):
        load_decision(path)
    path.write_text('{"format": 1}', encoding="utf-8")
    with pytest.raises(StaleArtefactError, match=r"not a decision file of this version \(format: Input should be 2"):
        load_decision(path)
    path.write_text('{"format": 2}', encoding="utf-8")
    with pytest.raises(StaleArtefactError, match=r"not a decision file.*scores"):
        load_decision(path)
    with pytest.raises(StaleArtefactError, match="cannot be read"):
        load_decision(path.with_name("absent.json"))


def test_a_threshold_that_is_set_holds_for_data_sets_that_take_the_pooled_decision() -> None:
    config = DecideConfig(threshold=0.25)
    decision = tuned(config, lynx=synthetic(6, 3.0, seed=0), newt=synthetic(2, 3.0, seed=1))
    assert {name: part.threshold for name, part in decision.datasets.items()} == {"lynx": 0.25, "newt": 0.25}


def test_a_threshold_that_is_set_moves_the_cut_alone() -> None:
    parts = {"lynx": synthetic(12, 2.0, seed=0)}
    free = tuned(DecideConfig(min_pseudo_queries=12), **parts)
    seen = {}
    for threshold in (0.02, 0.6, 0.97):
        fixed = tuned(DecideConfig(min_pseudo_queries=12, threshold=threshold), **parts).datasets["lynx"]
        own = free.datasets["lynx"]
        assert fixed.threshold == threshold
        assert (fixed.weights, fixed.answer_curve) == (own.weights, own.answer_curve)
        assert own.answer_curve is not None
        assert fixed.validation is not None
        assert own.validation is not None
        assert fixed.validation.plateau == own.validation.plateau
        seen[threshold] = fixed.validation
    assert seen[0.02].baks >= seen[0.6].baks >= seen[0.97].baks
    assert seen[0.02].baus <= seen[0.6].baus <= seen[0.97].baus
    assert seen[0.02].baus < seen[0.97].baus
    again = tuned(DecideConfig(min_pseudo_queries=12, threshold=free.datasets["lynx"].threshold), **parts)
    one, other = again.datasets["lynx"].validation, free.datasets["lynx"].validation
    assert one is not None
    assert other is not None
    assert (one.baks, one.baus) == (other.baks, other.baus)  # the threshold that was tuned, set by hand


def test_data_sets_are_tuned_by_themselves_wherever_the_engine_runs_them() -> None:
    config = DecideConfig(folds=3, min_pseudo_queries=30, fusions=("weighted", "learned"))
    pseudo = {name: synthetic(number, signal=3.0, seed=number) for name, number in (("a", 15), ("b", 16), ("c", 8))}
    elsewhere = OtherProcesses()
    found = tune(pseudo, config, 0, "scores", "gallery", Silent(), engine=elsewhere)
    assert elsewhere.ran == ["pooled", "b", "a"]  # c has 16 pseudo-queries, and takes the pooled decision
    assert found.model_dump_json() == tuned(config, **pseudo).model_dump_json()
