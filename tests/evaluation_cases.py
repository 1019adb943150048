"""Small tables and pseudo-queries for the evaluation's tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rows import Row, image_table

from animalclef.data.pseudo_query import OpenSetSplits, PseudoQueries
from animalclef.decision.decision_model import Calibrator, DatasetDecision, Decision
from animalclef.decision.trial_evaluator import DecisionParams, LogOdds, TrialEvaluator
from animalclef.metrics.threshold_sweep import Answers
from animalclef.structures import ImageTable

__all__ = ["answers_of", "decision_by_hand", "gallery_of", "pseudo_queries", "synthetic"]


def decision_by_hand(threshold: float) -> Decision:
    """One score `s`, calibrated by its own logistic curve, and one threshold for all data sets."""
    curve = Calibrator(log=False, mean=0.0, spread=1.0, slope=1.0, intercept=0.0)
    part = DatasetDecision(
        calibrators={"s": curve}, weights={"s": 1.0}, threshold=threshold, fitted_on="pooled", validation=None
    )
    return Decision(scores="s", gallery="g", seed=0, datasets={}, pooled=part)


def gallery_of(identities: Sequence[str], dataset: str = "lynx", viewpoint: Sequence[str] | None = None) -> ImageTable:
    """A gallery with one photograph per entry, called g0, g1, ..."""
    views = viewpoint or [""] * len(identities)
    pairs = enumerate(zip(identities, views, strict=True))
    return image_table([Row(f"g{row}", identity, view, dataset) for row, (identity, view) in pairs])


def pseudo_queries(
    identity: Sequence[str],
    is_known: Sequence[Sequence[int]],
    is_unknown: Sequence[Sequence[int]],
    same: Sequence[Sequence[int]],
    columns: dict[str, NDArray[np.float32]] | None = None,
    seen: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = None,
) -> PseudoQueries:
    """Pseudo-queries whose `same` says which candidates show the same individual; all are seen by default."""
    own = np.array(same, dtype=bool)
    as_known, as_unknown = seen or (np.ones_like(own), ~own)
    names = np.array([f"p{row}" for row in range(len(identity))], dtype=object)
    roles = [np.array(role, dtype=bool).reshape(len(role), len(identity)) for role in (is_known, is_unknown)]
    splits = OpenSetSplits(names, np.array(identity, dtype=object), *roles)
    scores = columns or {"similarity": np.zeros(own.shape, np.float32)}
    return PseudoQueries(scores, own, np.ones_like(own), as_known, as_unknown, splits)


def answers_of(values: NDArray[np.generic], part: PseudoQueries) -> Answers:
    """The answers when these values, (p, k), are the pairs' log-odds; each candidate speaks for itself."""
    who = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    evaluator = TrialEvaluator(part, LogOdds({"value": np.asarray(values, dtype=np.float64)}, {}, who))
    return evaluator.answers(DecisionParams({"value": 1.0}))


def synthetic(
    individuals: int, signal: float, seed: int, splits: int = 4, k: int = 8, photographs: int = 2
) -> PseudoQueries:
    """Half of the individuals hidden in each split; a matching pair's score lies `signal` above the others' noise."""
    rng = np.random.default_rng(seed)
    identity = [f"i{number // photographs}" for number in range(individuals * photographs)]
    n = len(identity)
    same = np.zeros((n, k), dtype=bool)
    same[np.arange(n), rng.integers(0, k, n)] = True
    hidden = np.zeros((splits, individuals), dtype=bool)
    for row in hidden:
        row[rng.permutation(individuals)[: individuals // 2]] = True
    is_unknown = np.repeat(hidden, photographs, axis=1)
    noise = rng.normal(size=(2, n, k)).astype(np.float32)
    columns = {"similarity": noise[0] + signal * same, "inliers": np.exp(noise[1] + signal * same)}
    return pseudo_queries(identity, ~is_unknown, is_unknown, same, columns)
