"""Choose calibrators, weights and thresholds on pseudo-queries from the gallery; a query is never looked at."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from animalclef.config import DecideConfig
from animalclef.decision import Calibrator, DatasetDecision, Decision, Validation
from animalclef.evaluation.validation import PseudoQueries, merged, score_at, sweep, thresholds
from animalclef.progress import Progress
from animalclef.stages.calibrate import fit_calibrator

__all__ = ["COUNTS", "default_decision", "tune"]

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]

COUNTS = frozenset(  # calibrated over log(1 + score)
    {"matches", "inliers", "inlier_weight", "confidence_sum", "matches_0.2", "matches_0.5", "matches_0.8"}
)


@dataclass(frozen=True)
class _Choice:
    weights: dict[str, float]
    threshold: float
    same_viewpoint: bool = False


def tune(
    pseudo: Mapping[str, PseudoQueries], config: DecideConfig, seed: int, scores: str, gallery: str, progress: Progress
) -> Decision:
    """One decision per data set that has enough pseudo-queries, and a pooled one for the others.

    Calibrators are scored on folds of individuals they were not fitted on, and refitted on all at the end. An Optuna
    study (TPE, serial, in memory, seeded) per data set searches the weights of the score columns and the threshold for
    the best mean score over the open-set splits; the threshold is then put in the middle of its plateau.
    """
    scored = {name: part.only(config.scores) for name, part in sorted(pseudo.items()) if part.can_be_scored}
    able = {name: part for name, part in scored.items() if len(part) >= config.min_pseudo_queries}
    few = [part for name, part in scored.items() if name not in able]
    with progress.task("tuning the decision", len(able) * (config.folds + 1), "studies") as advance:
        datasets = {name: _tune_one(name, [part], config, seed, advance) for name, part in able.items()}
    columns = sorted({column for part in pseudo.values() for column in part.columns})
    pooled = _pool(datasets, list(able.values()) + few, columns, config, seed)
    return Decision(scores=scores, gallery=gallery, seed=seed, datasets=datasets, pooled=pooled)


def default_decision(columns: Sequence[str]) -> DatasetDecision:
    """What is applied where nothing can be tuned: 12 inliers of a pair, or a similarity of 0.6, are an even bet."""
    odds = {name: Calibrator(log=True, mean=float(np.log1p(12)), spread=1.0, slope=3.0, intercept=0.0)
            for name in columns if name == "inliers"}  # fmt: skip
    if not odds:
        odds = {"similarity": Calibrator(log=False, mean=0.6, spread=0.1, slope=1.0, intercept=0.0)}
    return DatasetDecision(
        calibrators=odds, weights=dict.fromkeys(odds, 1.0), threshold=0.5, fitted_on="default", validation=None
    )


def _pool(
    datasets: Mapping[str, DatasetDecision],
    parts: list[PseudoQueries],
    columns: Sequence[str],
    config: DecideConfig,
    seed: int,
) -> DatasetDecision:
    """Fitted on all data sets' pseudo-queries together; the default where there is none to fit on."""
    if not parts:
        return default_decision(columns)
    if len(datasets) == 1 and len(parts) == 1:
        only = next(iter(datasets.values()))
        return only.model_copy(update={"fitted_on": "pooled"})
    return _tune_one("pooled", parts, config, seed, lambda done: None)


def _tune_one(
    name: str, parts: Sequence[PseudoQueries], config: DecideConfig, seed: int, advance: Callable[[int], None]
) -> DatasetDecision:
    fold_of = [_folds(part, config.folds, seed) for part in parts]
    odds = [_held_out_log_odds(part, folds) for part, folds in zip(parts, fold_of, strict=True)]
    nested = _nested(parts, odds, fold_of, config, seed, advance)
    choice = _search(parts, odds, config, seed)
    advance(1)
    tuned = np.mean([_score(part, part_odds, choice) for part, part_odds in zip(parts, odds, strict=True)], axis=0)
    validation = Validation(
        pseudo_queries=sum(len(part) for part in parts),
        individuals=sum(len(set(part.splits.identity)) for part in parts),
        tuned=float(tuned[0]), nested=nested, baks=float(tuned[1]), baus=float(tuned[2]),
    )  # fmt: skip
    logger.info("%s: weights %s, threshold %.3f, nested score %.3f", name, choice.weights, choice.threshold, nested)
    return DatasetDecision(
        calibrators=_fit(parts),
        weights=choice.weights,
        threshold=choice.threshold,
        same_viewpoint=choice.same_viewpoint,
        fitted_on=name,
        validation=validation,
    )


def _folds(part: PseudoQueries, folds: int, seed: int) -> NDArray[np.int64]:
    """A fold for every individual, so that no individual is on both sides."""
    names = sorted(set(part.splits.identity))
    order = np.random.default_rng([seed, 3]).permutation(len(names))
    fold = dict(zip([names[place] for place in order], np.arange(len(names)) % folds, strict=True))
    return np.array([fold[identity] for identity in part.splits.identity], dtype=np.int64)


def _fit(parts: Sequence[PseudoQueries]) -> dict[str, Calibrator]:
    calibrators = {}
    for name in parts[0].columns:
        pairs = [part.columns[name][part.as_known] for part in parts]
        same = [part.same[part.as_known] for part in parts]
        calibrators[name] = fit_calibrator(np.concatenate(pairs), np.concatenate(same), log=name in COUNTS)
    return calibrators


def _held_out_log_odds(part: PseudoQueries, fold_of: NDArray[np.int64]) -> dict[str, Floats]:
    """Log-odds of every pair by calibrators fitted on the other folds' individuals."""
    odds = {name: np.zeros(part.same.shape) for name in part.columns}
    for fold in sorted(set(fold_of)):
        inside = np.flatnonzero(fold_of == fold)
        calibrators = _fit([part.select(np.flatnonzero(fold_of != fold))])
        for name, calibrator in calibrators.items():
            odds[name][inside] = calibrator.log_odds(part.columns[name][inside])
    return odds


def _search(
    parts: Sequence[PseudoQueries], odds: Sequence[Mapping[str, Floats]], config: DecideConfig, seed: int
) -> _Choice:
    """The Optuna study."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    names = sorted(parts[0].columns)
    sides = [False, True] if any((~part.agrees & part.as_known).any() for part in parts) else [False]

    def objective(trial: optuna.Trial) -> float:
        weights = _normalised({name: trial.suggest_float(f"weight_{name}", 0.0, 1.0) for name in names})
        same_viewpoint = trial.suggest_categorical("same_viewpoint", sides)
        choice = _Choice(weights, trial.suggest_float("threshold", 0.0, 1.0), same_viewpoint)
        return float(np.mean([_score(part, one, choice)[0] for part, one in zip(parts, odds, strict=True)]))

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True))
    for weights, same_viewpoint in itertools.product(_starts(names), sides):
        start = {f"weight_{name}": value for name, value in weights.items()}
        threshold = _plateau_centre(parts, odds, _normalised(weights), same_viewpoint)
        study.enqueue_trial({**start, "threshold": threshold, "same_viewpoint": same_viewpoint})
    study.optimize(objective, n_trials=config.trials)
    weights = _normalised({name: study.best_params[f"weight_{name}"] for name in names})
    same_viewpoint = bool(study.best_params["same_viewpoint"])
    return _Choice(weights, _plateau_centre(parts, odds, weights, same_viewpoint), same_viewpoint)


def _starts(names: Sequence[str]) -> list[dict[str, float]]:
    """Equal weights, and each column alone."""
    alone = [{other: float(other == name) for other in names} for name in names]
    return [dict.fromkeys(names, 1.0), *alone] if len(names) > 1 else alone


def _normalised(weights: Mapping[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {name: (value / total if total > 0 else 1 / len(weights)) for name, value in weights.items()}


def _probability(
    part: PseudoQueries, odds: Mapping[str, Floats], weights: Mapping[str, float], same_viewpoint: bool
) -> Floats:
    log_odds = sum(weight * odds[name] for name, weight in weights.items() if weight)
    probability = np.asarray(1 / (1 + np.exp(-np.asarray(log_odds))))
    return probability * part.agrees if same_viewpoint else probability


def _score(part: PseudoQueries, odds: Mapping[str, Floats], choice: _Choice) -> tuple[float, float, float]:
    return score_at(_probability(part, odds, choice.weights, choice.same_viewpoint), choice.threshold, part)


def _plateau_centre(
    parts: Sequence[PseudoQueries],
    odds: Sequence[Mapping[str, Floats]],
    weights: Mapping[str, float],
    same_viewpoint: bool,
) -> float:
    """The middle of the range of thresholds that score within 1 % of the best."""
    pairs = zip(parts, odds, strict=True)
    laid_out = [(_probability(part, one, weights, same_viewpoint), part) for part, one in pairs]
    grid = np.unique(np.concatenate([thresholds(*one) for one in laid_out]))
    low, high = merged([sweep(*one, grid) for one in laid_out]).plateau()
    return (low + high) / 2


def _nested(
    parts: Sequence[PseudoQueries],
    odds: Sequence[Mapping[str, Floats]],
    fold_of: Sequence[NDArray[np.int64]],
    config: DecideConfig,
    seed: int,
    advance: Callable[[int], None],
) -> float:
    """The score when each fold of individuals is answered by calibrators and a choice that never saw it."""
    probability = [np.zeros(part.same.shape) for part in parts]
    threshold = [np.full(len(part), np.nan) for part in parts]
    for fold in range(config.folds):
        outside = [np.flatnonzero(folds != fold) for folds in fold_of]
        others = [part.select(rows) for part, rows in zip(parts, outside, strict=True)]
        usable = [place for place, part in enumerate(others) if part.can_be_scored]
        advance(1)
        if not usable:
            continue
        chosen_on = [others[place] for place in usable]
        inner = [_held_out_log_odds(others[place], fold_of[place][outside[place]]) for place in usable]
        choice = _search(chosen_on, inner, config, seed)
        for place, folds in enumerate(fold_of):
            rows = np.flatnonzero(folds == fold)
            inside = {name: values[rows] for name, values in odds[place].items()}
            part = parts[place].select(rows)
            probability[place][rows] = _probability(part, inside, choice.weights, choice.same_viewpoint)
            threshold[place][rows] = choice.threshold
    return float(np.mean([_score_answered(*one) for one in zip(parts, probability, threshold, strict=True)]))


def _score_answered(part: PseudoQueries, probability: Floats, threshold: Floats) -> float:
    """The score over the pseudo-queries that some choice answered."""
    answered = np.flatnonzero(np.isfinite(threshold))
    kept = part.select(answered)
    return score_at(probability[answered], threshold[answered], kept)[0] if kept.can_be_scored else 0.0
