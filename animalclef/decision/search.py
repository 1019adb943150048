"""The Optuna study: calibrators, weights, aggregation and rule by TPE, the threshold by an exact sweep."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from animalclef.config import DecideConfig
from animalclef.decision.decision_params import DecisionParams
from animalclef.decision.trial_evaluator import TrialEvaluator
from animalclef.metrics.threshold_sweep import Answers, Sweep, merged, midpoints, sweep

if TYPE_CHECKING:
    import optuna

__all__ = ["SearchResult", "best_threshold", "choose", "new_study", "objective", "search"]

_NO_NAME = 1e9  # log-odds that nothing reaches


@dataclass(frozen=True)
class SearchResult:
    """A choice with its threshold, and the score it has where it was made."""

    choice: DecisionParams
    score: float
    error: float  # standard error over splits
    baks: float
    baus: float
    plateau: tuple[float, float]  # of the threshold, in log-odds, or of the lead where only that counts


def search(evaluators: Sequence[TrialEvaluator], config: DecideConfig, seed: int) -> SearchResult:
    """A serial study in memory, begun anew from its seed."""
    study = new_study(seed)
    enqueue(study, evaluators, config)
    study.optimize(objective(evaluators, config), n_trials=config.trials)
    return choose(evaluators, study, config)


def new_study(seed: int | None, **stored: Any) -> optuna.Study:
    """Seeded TPE; trials whose score cannot reach the best are pruned half-way."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True)
    return optuna.create_study(direction="maximize", sampler=sampler, pruner=optuna.pruners.NopPruner(), **stored)


def objective(evaluators: Sequence[TrialEvaluator], config: DecideConfig) -> Any:
    """What a study maximises: the mean score over splits, with the threshold in the middle of its plateau."""
    names = sorted(_columns(evaluators))
    sides = _sides(evaluators)

    def value(trial: optuna.Trial) -> float:
        import optuna

        choice, rule = _suggest(trial, names, sides, config)
        known = [evaluator.best(choice, "known") for evaluator in evaluators]
        right = [evaluator.right(one) for evaluator, one in zip(evaluators, known, strict=True)]
        ceiling = float(np.mean([_ceiling(evaluator, hit) for evaluator, hit in zip(evaluators, right, strict=True)]))
        trial.report(ceiling, step=0)
        if ceiling < _bar(trial.study):
            raise optuna.TrialPruned
        answers = [evaluator.answers(choice, one) for evaluator, one in zip(evaluators, known, strict=True)]
        found = best_threshold(evaluators, answers, choice, rule, config)
        outcome = {"choice": found.choice.as_json(), "error": found.error, "complexity": found.choice.complexity}
        trial.set_user_attr("outcome", outcome)
        return found.score

    return value


def choose(evaluators: Sequence[TrialEvaluator], study: optuna.Study, config: DecideConfig) -> SearchResult:
    """Of all trials within one standard error of the best the simplest, and of equally simple ones the one whose score
    less its standard error is highest: a small gain is no reason for a complicated or a shaky choice.
    """
    import optuna

    done = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    bar = _least_worth(done)

    def order(trial: optuna.trial.FrozenTrial) -> tuple[float, ...]:
        outcome = trial.user_attrs["outcome"]
        return outcome["complexity"], -(float(trial.value or 0) - outcome["error"]), trial.number

    chosen = min((trial for trial in done if float(trial.value or 0) >= bar), key=order)
    choice = DecisionParams.from_json(chosen.user_attrs["outcome"]["choice"])
    rule = "probability" if choice.margin == 0 else "both" if np.isfinite(choice.threshold) else "margin"
    return best_threshold(evaluators, [evaluator.answers(choice) for evaluator in evaluators], choice, rule, config)


def enqueue(study: optuna.Study, evaluators: Sequence[TrialEvaluator], config: DecideConfig) -> None:
    """Begin with the plain choices: equal weights, and each column alone, by every calibration."""
    names = sorted(_columns(evaluators))
    alone = [{other: float(other == name) for other in names} for name in names]
    starts = [dict.fromkeys(names, 1.0), *alone] if len(names) > 1 else alone
    for weights, calibration, fusion, side in itertools.product(
        starts, config.calibrations, config.fusions, _sides(evaluators)
    ):
        if fusion == "learned" and weights is not starts[0]:
            continue
        start: dict[str, Any] = {f"weight_{name}": value for name, value in weights.items()}
        start |= {"calibration": calibration, "fusion": fusion, "same_viewpoint": side, "rule": config.rules[0]}
        start |= {"aggregation": config.aggregations[0], "crowd_weight": 0.0, "margin": 0.0}
        study.enqueue_trial(start)


def best_threshold(
    evaluators: Sequence[TrialEvaluator],
    answers: Sequence[Answers],
    choice: DecisionParams,
    rule: str,
    config: DecideConfig,
) -> SearchResult:
    """The choice with its threshold in the middle of the plateau around the best, unless the settings fix one."""
    if config.threshold is not None and rule != "margin":
        fixed = _log_odds(config.threshold)
        at = _swept(evaluators, [one.with_margin(choice.margin) for one in answers], np.array([fixed]))
        return _found(replace(choice, threshold=fixed), at, (fixed, fixed))
    by_lead = rule == "margin"
    shown = [one.by_lead() if by_lead else one.with_margin(choice.margin) for one in answers]
    plateau = _swept(evaluators, shown, midpoints(shown)).plateau()
    middle = max(sum(plateau) / 2, 0.0) if by_lead else sum(plateau) / 2
    at = _swept(evaluators, shown, np.array([middle]))
    chosen = choice.at(-np.inf, middle) if by_lead else choice.at(middle)
    return _found(chosen, at, plateau)


def _found(choice: DecisionParams, at: Sweep, plateau: tuple[float, float]) -> SearchResult:
    return SearchResult(choice, float(at.score[0]), float(at.error[0]), float(at.baks[0]), float(at.baus[0]), plateau)


def _swept(evaluators: Sequence[TrialEvaluator], answers: Sequence[Answers], threshold: np.ndarray) -> Sweep:
    return merged([sweep(one, evaluator.roles, threshold) for evaluator, one in zip(evaluators, answers, strict=True)])


def _suggest(
    trial: optuna.Trial, names: Sequence[str], sides: Sequence[bool], config: DecideConfig
) -> tuple[DecisionParams, str]:
    weights = _normalised({name: trial.suggest_float(f"weight_{name}", 0.0, 1.0) for name in names})
    rule = _pick(trial, "rule", config.rules)
    crowd = trial.suggest_float("crowd_weight", 0.0, config.crowd_weight) if config.crowd_weight else 0.0
    choice = DecisionParams(
        weights=weights,
        fusion=_pick(trial, "fusion", config.fusions),
        calibration=_pick(trial, "calibration", config.calibrations),
        aggregation=_pick(trial, "aggregation", config.aggregations),
        crowd_weight=crowd,
        same_viewpoint=_pick(trial, "same_viewpoint", sides),
        margin=trial.suggest_float("margin", 0.0, 5.0) if "both" in config.rules else 0.0,
    )
    return (choice if rule == "both" else replace(choice, margin=0.0)), rule


def _pick(trial: optuna.Trial, name: str, among: Sequence[Any]) -> Any:
    return trial.suggest_categorical(name, list(among)) if len(among) > 1 else among[0]


def _columns(evaluators: Sequence[TrialEvaluator]) -> set[str]:
    return {column for evaluator in evaluators for _, column in evaluator.log_odds.columns}


def _sides(evaluators: Sequence[TrialEvaluator]) -> list[bool]:
    return [False, True] if any(evaluator.sides_differ for evaluator in evaluators) else [False]


def _ceiling(evaluator: TrialEvaluator, right: np.ndarray) -> float:
    """The score if nothing but wrong names were lost."""
    return float(np.sqrt(np.minimum(evaluator.roles.known @ right, 1.0)).mean())


def _bar(study: optuna.Study) -> float:
    """What a trial must be able to reach to matter: the best score less its standard error."""
    import optuna

    done = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    return _least_worth(done) if done else -np.inf


def _least_worth(done: Sequence[optuna.trial.FrozenTrial]) -> float:
    best = max(done, key=lambda trial: (float(trial.value or 0), -trial.number))
    return float(best.value or 0) - float(best.user_attrs["outcome"]["error"])


def _normalised(weights: Mapping[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {name: (value / total if total > 0 else 1 / len(weights)) for name, value in weights.items()}


def _log_odds(probability: float) -> float:
    with np.errstate(divide="ignore"):
        return float(np.log(probability) - np.log1p(-probability)) if probability < 1 else _NO_NAME
