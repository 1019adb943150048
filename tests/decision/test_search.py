"""The search over choices, and what it prefers."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from evaluation_cases import pseudo_queries, synthetic

from animalclef.config import DecideConfig
from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.decision_model import Decision
from animalclef.decision.model_average import prior_of, search
from animalclef.decision.search import choose_threshold
from animalclef.decision.trial_evaluator import DecisionParams, LogOdds, TrialEvaluator
from animalclef.decision.tune import evaluators_of, pooled_cross_fitter, tune
from animalclef.runtime.progress import Silent

QUICK = {"folds": 2}


def evaluators(part: PseudoQueries, config: DecideConfig) -> list[TrialEvaluator]:
    return list(evaluators_of(pooled_cross_fitter({"lynx": part}, config, 0)).values())


def tuned(part: PseudoQueries, **settings: object) -> Decision:
    return tune({"lynx": part}, DecideConfig(**{**QUICK, **settings}), 0, "scores", "gallery", Silent())


def test_a_choice_comes_back_from_json() -> None:
    plain = DecisionParams({"a": 0.5, "b": 0.5}, aggregation="top2")
    assert DecisionParams(**json.loads(json.dumps(plain.at(0.5).as_json()))) == plain


def test_choices_that_are_as_good_are_averaged_and_nothing_complicated_is_taken() -> None:
    config = DecideConfig(aggregations=("max", "noisy_or"))
    found = search(evaluators(synthetic(20, 12.0, seed=0), config), config)
    assert found.score == pytest.approx(1)
    assert (found.choice.fusion, found.choice.aggregation) == ("weighted", "max")
    assert set(found.choice.weights) == {"inliers/null", "similarity/null"}
    assert sum(found.choice.weights.values()) == pytest.approx(1)


def test_the_prior_prefers_similarity_and_inliers() -> None:
    assert prior_of(DecisionParams({"similarity": 1.0})) == 1
    assert prior_of(DecisionParams({"inliers": 0.5, "vote": 0.5})) == pytest.approx(1 / 3)
    assert prior_of(DecisionParams({"matches": 0.5, "vote": 0.5})) == pytest.approx(1 / 9)
    assert prior_of(DecisionParams({"a": 0.4, "b": 0.3, "c": 0.3})) == pytest.approx(1 / 3)


def test_any_number_of_columns_with_names_of_members_is_searched() -> None:
    part = synthetic(12, 6.0, seed=2)
    rng = np.random.default_rng(1)
    columns = {f"inliers:m{one}": part.columns["inliers"] * (1 + one) for one in range(3)}
    columns |= {f"similarity:n{one}": rng.normal(size=part.same.shape).astype(np.float32) for one in range(9)}
    decision = tuned(dataclasses.replace(part, columns=columns))
    found = decision.of("lynx")
    telling = sum(weight for name, weight in found.weights.items() if name.startswith("inliers"))
    assert telling > 0.6
    assert found.calibrators["inliers:m0"].log
    assert not found.calibrators["similarity:n0"].log


def test_the_learned_model_is_kept_and_needs_no_pickle() -> None:
    decision = tuned(synthetic(16, 2.5, seed=0), fusions=("learned",))
    part = decision.of("lynx")
    assert part.pair_model is not None
    assert part.validation is not None
    assert part.validation.nested > 0.5
    assert Decision.model_validate_json(decision.model_dump_json()) == decision


def test_a_fixed_threshold_is_kept() -> None:
    assert tuned(synthetic(8, 3.0, seed=0), threshold=0.5).of("lynx").threshold == pytest.approx(0.5)
    assert tuned(synthetic(8, 3.0, seed=0), threshold=1.0).of("lynx").threshold == pytest.approx(1)
    assert tuned(synthetic(8, 3.0, seed=0), threshold=0.0).of("lynx").threshold == pytest.approx(0)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"fusions": ("weighted", "learned"), "aggregations": ("noisy_or",)},
        {"fusions": ("weighted",), "aggregations": ("top2",)},
    ],
)
@pytest.mark.parametrize("kind", ["constant", "absent", "one identity", "all singletons"])
def test_bad_pseudo_queries_still_give_a_decision(settings: dict[str, object], kind: str) -> None:
    part = synthetic(6, 1.0, seed=0)
    if kind in ("constant", "absent"):
        value = 0.5 if kind == "constant" else np.nan
        columns = {name: np.full(part.same.shape, value, np.float32) for name in part.columns}
        part = PseudoQueries(columns, part.same, part.agrees, part.as_known, part.as_unknown, part.splits)
    else:
        names = ["a"] * 4 if kind == "one identity" else list("abcd")
        part = pseudo_queries(names, np.zeros((0, 4)), np.zeros((0, 4)), np.eye(4, 3))
    decision = tuned(part, **settings)
    found = decision.of("lynx")
    assert np.isfinite([found.threshold, *found.weights.values()]).all()
    assert np.isfinite(found.calibrators[next(iter(found.weights))].log_odds(np.array([np.nan, 0.0, 9.0]))).all()


def test_the_plateau_optimism_and_interval_are_in_the_file() -> None:
    decision = tuned(synthetic(16, 3.0, seed=0), splits=4)
    seen = decision.of("lynx").validation
    assert seen is not None
    assert seen.plateau is not None
    assert seen.low is not None
    assert seen.high is not None
    assert seen.plateau[0] <= decision.of("lynx").threshold <= seen.plateau[1]
    assert seen.low <= seen.nested <= seen.high
    assert seen.optimism == pytest.approx(seen.tuned - seen.nested)
    assert decision.summary is not None
    assert decision.summary.nested == pytest.approx(seen.nested)
    assert decision.of("lynx").individuals_digest


@pytest.mark.parametrize("strangers", [[0.0, 0.0], [2.0, 1.0], [-3.1, -3.1]])
def test_where_no_known_animal_is_found_strangers_stay_out(strangers: list[float]) -> None:
    """Of a and b, known and unknown, a stranger is the best candidate: the score is 0 at each threshold."""
    part = pseudo_queries(["a", "b"], [[1, 0]], [[0, 1]], [[0, 1], [0, 1]])
    values = np.array([[one, one] for one in strangers])
    evaluator = TrialEvaluator(part, LogOdds({"value": values}, {}, np.array([[0, 1], [0, 1]])))
    found = choose_threshold([evaluator], DecisionParams({"value": 1.0}))
    assert (found.score, found.baks, found.baus) == (0.0, 0.0, 1.0)
    assert found.choice.threshold > max(strangers)
