"""Collect the data of the charts: queries with a truth, stored pseudo-queries, or queries alone."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.answer_curve import reliability
from animalclef.decision.decision_model import DatasetDecision, Reliability
from animalclef.decision.fusion import fuse_lists
from animalclef.decision.trial_evaluator import numbered
from animalclef.errors import AnimalClefError
from animalclef.evaluation.outcomes import Answers, sweep_thresholds
from animalclef.metrics.threshold_sweep import Sweep
from animalclef.store.finished_run import FinishedRun
from animalclef.structures.arrays import Floats

__all__ = ["Evidence", "evidence_of"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Evidence:
    """Probabilities of best individuals in one data set, and the figures that follow from them."""

    dataset: str
    source: str  # "queries", "pseudo-queries", or "queries, truth unknown"
    threshold: float
    known: Floats  # best probability of every query whose individual is in the gallery
    unknown: Floats  # of every other query; of all queries without a truth
    sweep: Sweep | None = None
    reliability: Reliability | None = None
    ranks: Floats | None = None  # rank of the true individual, infinity where it was not a candidate


def evidence_of(run: FinishedRun, answers: Answers | None) -> list[Evidence]:
    """Return one per data set with queries: from the truth, or from stored pseudo-queries without one."""
    stored: Mapping[str, PseudoQueries] = {} if answers is not None else _stored_pseudo_queries(run)
    found = []
    for name in run.images.queries.datasets:
        decision = run.decision.of(name)
        part = None if answers is None else answers.of(name)
        if part is not None and len(part):
            found.append(_of_answers(name, part, run, decision.threshold))
        elif name in stored and len(stored[name]):
            found.append(_of_pseudo_queries(name, stored[name], decision))
        else:
            mine = run.images.queries.dataset == name
            nothing = np.zeros(0)
            found.append(
                Evidence(name, "queries, truth unknown", decision.threshold, nothing, run.predictions.probability[mine])
            )
    return found


def _of_answers(name: str, part: Answers, run: FinishedRun, threshold: float) -> Evidence:
    both = bool(part.known.any() and not part.known.all())
    truth = dict(zip(part.image_id, part.truth, strict=True))
    rows = np.array([one in truth for one in run.ranked.query_id], dtype=bool)
    pairs = zip(run.ranked.query_id[rows], run.ranked.identity[rows], strict=True)
    same = np.array([truth[query_id] == who for query_id, who in pairs], dtype=bool)
    return Evidence(
        dataset=name,
        source="queries",
        threshold=threshold,
        known=part.probability[part.known],
        unknown=part.probability[~part.known],
        sweep=part.sweep(threshold) if both else None,
        reliability=reliability(run.ranked.probability[rows], same),
        ranks=part.rank[part.known],
    )


def _of_pseudo_queries(name: str, pseudo: PseudoQueries, decision: DatasetDecision) -> Evidence:
    """Use the stored pseudo-queries; the calibrators were fitted on them, so the curves are slightly optimistic."""
    probability, whole = _fused(pseudo, pseudo.as_known, decision)
    findable = (pseudo.same & pseudo.as_known).any(axis=1)
    best, right = _best(whole, pseudo.as_known, pseudo.same)
    without, _ = _best(_fused(pseudo, pseudo.as_unknown, decision)[1], pseudo.as_unknown, pseudo.same)
    swept = None
    if pseudo.can_be_scored:
        swept = sweep_thresholds(best, right, without, pseudo.splits, decision.threshold)
    order = np.argsort(-np.where(pseudo.as_known, whole, -1.0), axis=1, kind="stable")
    hits = np.take_along_axis(pseudo.same & pseudo.as_known, order, axis=1)  # best candidate first
    return Evidence(
        dataset=name,
        source="pseudo-queries",
        threshold=decision.threshold,
        known=np.maximum(best[findable], 0.0),
        unknown=np.maximum(without, 0.0),
        sweep=swept,
        reliability=reliability(probability[pseudo.as_known], pseudo.same[pseudo.as_known]),
        ranks=hits[findable].argmax(axis=1) + 1.0,
    )


def _fused(pseudo: PseudoQueries, visible: NDArray[np.bool_], decision: DatasetDecision) -> tuple[Floats, Floats]:
    """Return probabilities of pairs and of their identities among the visible candidates, as queries get them."""
    pair, whole, _ = fuse_lists(pseudo.columns, visible, numbered(pseudo), pseudo.agrees, decision)
    return pair, whole


def _best(probability: Floats, visible: NDArray[np.bool_], same: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Return each row's best visible probability, minus infinity without one, and whether it is the right one."""
    seen = np.where(visible, probability, -np.inf)
    rows, best = np.arange(len(seen)), seen.argmax(axis=1)
    return seen[rows, best], same[rows, best] & visible[rows, best]


def _stored_pseudo_queries(run: FinishedRun) -> Mapping[str, PseudoQueries]:
    """Return the stored pseudo-queries; none if the decision was given."""
    try:
        return run.pseudo_queries
    except AnimalClefError as error:
        logger.info("%s", error)
        return {}
