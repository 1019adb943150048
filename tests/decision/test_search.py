"""The search over choices, and what it prefers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from evaluation_cases import pseudo_queries, synthetic

from animalclef.config import DecideConfig
from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.decision_model import Decision
from animalclef.decision.decision_params import DecisionParams
from animalclef.decision.model_average import prior_of, search
from animalclef.decision.search import best_threshold
from animalclef.decision.trial_evaluator import TrialEvaluator
from animalclef.decision.tune import evaluators_of, pooled_parts, tune
from animalclef.runtime.progress import Silent

QUICK = {"folds": 2}


def evaluators(part: PseudoQueries, config: DecideConfig) -> list[TrialEvaluator]:
    return list(evaluators_of(pooled_parts({"lynx": part}, config, 0)).values())


def tuned(part: PseudoQueries, **settings: object) -> Decision:
    return tune({"lynx": part}, DecideConfig(**{**QUICK, **settings}), 0, "scores", "gallery", Silent())


def test_a_choice_comes_back_from_json() -> None:
    plain = DecisionParams({"a": 0.5, "b": 0.5}, threshold=0.0)
    assert DecisionParams.from_json(plain.at(-np.inf, 1.0).as_json()) == plain.at(-np.inf, 1.0)


def test_choices_that_are_as_good_are_averaged_and_nothing_complicated_is_taken() -> None:
    config = DecideConfig(calibrations=("logistic", "isotonic", "beta"), aggregations=("max", "noisy_or"))
    found = search(evaluators(synthetic(20, 12.0, seed=0), config), config)
    assert found.score == pytest.approx(1)
    assert (found.choice.fusion, found.choice.calibration, found.choice.aggregation) == ("weighted", "logistic", "max")
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


@pytest.mark.parametrize("rule", ["margin", "both"])
def test_a_margin_can_be_the_rule(rule: str) -> None:
    decision = tuned(synthetic(12, 12.0, seed=0), rules=(rule,))
    part = decision.of("lynx")
    assert part.validation is not None
    assert part.validation.tuned > 0.9
    if rule == "margin":
        assert (part.threshold, part.margin > 0) == (0, True)


def test_a_margin_tells_new_from_known_where_the_value_does_not() -> None:
    # every query's best value is 5; known ones lead by 4, new ones by 0.5
    values = np.array([[5, 1], [5, 1], [5, 4.5], [5, 4.5]])
    part = pseudo_queries(["a", "b", "c", "d"], [[1, 1, 0, 0]], [[0, 0, 1, 1]], [[1, 0], [1, 0], [0, 0], [0, 0]])
    from animalclef.decision.trial_evaluator import LogOdds

    evaluator = TrialEvaluator(part, LogOdds({("none", "x"): values}, {}, np.broadcast_to(np.arange(2), (4, 2))))
    choice, config = DecisionParams({"x": 1.0}, calibration="none"), DecideConfig()
    by = {
        rule: best_threshold([evaluator], [evaluator.answers(choice)], choice, rule, config)
        for rule in ("probability", "margin")
    }
    assert by["probability"].score == 0
    assert by["margin"].score == 1
    assert by["margin"].choice.margin == pytest.approx(2.25)


def test_the_learned_model_is_kept_and_needs_no_pickle() -> None:
    decision = tuned(synthetic(16, 2.5, seed=0), fusions=("learned",), covariates=True)
    part = decision.of("lynx")
    assert part.pair_model is not None
    assert part.validation is not None
    assert part.validation.nested > 0.5
    assert Decision.model_validate_json(decision.model_dump_json()) == decision
    assert not decision.needs_circumstances  # these pseudo-queries hold no covariates


def test_a_fixed_threshold_is_kept() -> None:
    assert tuned(synthetic(8, 3.0, seed=0), threshold=0.5).of("lynx").threshold == pytest.approx(0.5)
    assert tuned(synthetic(8, 3.0, seed=0), threshold=1.0).of("lynx").threshold == pytest.approx(1)
    assert tuned(synthetic(8, 3.0, seed=0), threshold=0.0).of("lynx").threshold == pytest.approx(0)


@pytest.mark.parametrize(
    "settings",
    [
        {"calibrations": ("none", "logistic", "isotonic", "beta")},
        {"fusions": ("weighted", "learned"), "aggregations": ("noisy_or",), "crowd_weight": 1.0},
        {"rules": ("probability", "margin", "both"), "aggregations": ("top2",)},
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
    assert np.isfinite([found.threshold, found.margin, *found.weights.values()]).all()
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
