"""Pair scores of pseudo-queries laid out for fast scoring of many decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from animalclef.artefacts import ImageTable, PairScores
from animalclef.data.pseudo_queries import PseudoQueries
from animalclef.data.splits import OpenSetSplits

__all__ = [
    "PseudoQueries",
    "Sweep",
    "best_as_known",
    "best_as_unknown",
    "lay_out",
    "merged",
    "score_at",
    "sweep",
    "thresholds",
]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def lay_out(scores: PairScores, gallery: ImageTable, splits: OpenSetSplits, top_k: int) -> PseudoQueries:
    """One row per pseudo-query of `splits`; `scores` holds each one's pairs in shortlist order."""
    position = {image_id: row for row, image_id in enumerate(splits.image_id)}
    mine = np.array([image_id in position for image_id in scores.query_id], dtype=bool)
    rows = np.array([position[image_id] for image_id in scores.query_id[mine]], dtype=np.int64)
    slots = _running_count(rows)
    shape = (len(position), int(slots.max()) + 1 if len(slots) else 1)
    row_of = gallery.row_of
    identity = gallery.identity[[row_of[image_id] for image_id in scores.gallery_id[mine]]]
    named = [np.full(shape, None, dtype=object) for _ in range(2)]
    named[0][rows, slots], named[1][rows, slots] = scores.gallery_id[mine], identity
    valid, same, agrees = (np.zeros(shape, dtype=bool) for _ in range(3))
    valid[rows, slots] = True
    agrees[rows, slots] = gallery.viewpoints_agree(scores.query_id[mine], scores.gallery_id[mine])
    same[rows, slots] = identity == splits.identity[rows]
    columns = {name: np.full(shape, np.nan, dtype=np.float32) for name in scores.columns}
    for name, values in scores.columns.items():
        columns[name][rows, slots] = values[mine]
    others = valid & ~same
    as_known = valid & (np.cumsum(valid, axis=1) <= top_k)
    as_unknown = others & (np.cumsum(others, axis=1) <= top_k)
    return PseudoQueries(columns, same, agrees, as_known, as_unknown, splits, *named)


@dataclass(frozen=True, eq=False)
class Sweep:
    """The score at each of some thresholds."""

    threshold: Floats  # (t,) rising
    score: Floats  # (t,) mean over splits of sqrt(BAKS * BAUS)
    baks: Floats  # (t,)
    baus: Floats  # (t,)

    def plateau(self, tolerance: float = 0.01) -> tuple[float, float]:
        """The thresholds around the best within which the score stays above (1 - tolerance) of it."""
        good = self.score >= self.score.max() * (1 - tolerance)
        low = high = int(self.score.argmax())
        while low > 0 and good[low - 1]:
            low -= 1
        while high + 1 < len(good) and good[high + 1]:
            high += 1
        return float(self.threshold[low]), float(self.threshold[high])


def thresholds(probability: Floats, pseudo: PseudoQueries) -> Floats:
    """All that can make a difference, half-way between neighbouring best values, and 0 and 1."""
    best = [best_as_known(probability, pseudo)[0], best_as_unknown(probability, pseudo)]
    values = np.unique(np.concatenate([*best, [0.0, 1.0]]))
    return np.concatenate([[0.0], (values[1:] + values[:-1]) / 2, [1.0]])


def sweep(probability: Floats, pseudo: PseudoQueries, threshold: Floats) -> Sweep:
    """Score every one of the rising thresholds exactly; `probability` is (p, k)."""
    known_best, known_right = best_as_known(probability, pseudo)
    unknown_best = best_as_unknown(probability, pseudo)
    known_weight = _weights(pseudo.splits.is_known, pseudo.splits.identity) * known_right
    unknown_weight = _weights(pseudo.splits.is_unknown, pseudo.splits.identity)
    above = known_weight.sum(axis=1, keepdims=True) - _below(threshold, known_best, known_weight)
    baks = np.round(above, 12)  # a difference of equal sums is 0, not 1e-17, whose root would count
    baus = _below(threshold, unknown_best, unknown_weight)
    score = np.sqrt(np.clip(baks, 0, 1) * np.clip(baus, 0, 1))
    return Sweep(threshold, score.mean(axis=0), baks.mean(axis=0), baus.mean(axis=0))


def merged(sweeps: Sequence[Sweep]) -> Sweep:
    """The mean of several sweeps over the same thresholds."""
    score, baks, baus = (np.mean([getattr(one, name) for one in sweeps], axis=0) for name in ("score", "baks", "baus"))
    return Sweep(sweeps[0].threshold, score, baks, baus)


def score_at(probability: Floats, threshold: float | Floats, pseudo: PseudoQueries) -> tuple[float, float, float]:
    """Score, BAKS and BAUS, means over splits; `threshold` may be one per pseudo-query."""
    known_best, known_right = best_as_known(probability, pseudo)
    known_hit = known_right & (known_best >= threshold)
    unknown_hit = best_as_unknown(probability, pseudo) < threshold
    baks = _weights(pseudo.splits.is_known, pseudo.splits.identity) @ known_hit
    baus = _weights(pseudo.splits.is_unknown, pseudo.splits.identity) @ unknown_hit
    return float(np.sqrt(baks * baus).mean()), float(baks.mean()), float(baus.mean())


def best_as_known(probability: Floats, pseudo: PseudoQueries) -> tuple[Floats, Bools]:
    """Of each pseudo-query with its individual in the gallery: the best probability, and whether it names it right."""
    seen = np.where(pseudo.as_known, probability, -1.0)
    best = seen.argmax(axis=1)
    rows = np.arange(len(seen))
    return np.maximum(seen[rows, best], 0.0), pseudo.same[rows, best] & (seen[rows, best] >= 0)


def best_as_unknown(probability: Floats, pseudo: PseudoQueries) -> Floats:
    """The best probability of each pseudo-query once its individual is hidden."""
    seen = np.where(pseudo.as_unknown, probability, -1.0)
    return np.asarray(np.maximum(seen.max(axis=1, initial=-1.0), 0.0))


def _weights(role: Bools, identity: NDArray[np.object_]) -> Floats:
    """(splits, p): what one hit adds to the balanced accuracy of its split; 0 outside the role."""
    _, who = np.unique(identity.astype(str), return_inverse=True)
    weights = np.zeros(role.shape)
    for split, rows in enumerate(role):
        if rows.any():
            count = np.bincount(who[rows], minlength=who.max() + 1)
            weights[split, rows] = 1.0 / (count[who[rows]] * np.count_nonzero(count))
    return weights


def _below(threshold: Floats, best: Floats, weight: Floats) -> Floats:
    """(splits, t): the weight of rows whose best value lies below each threshold."""
    order = np.argsort(best, kind="stable")
    total = np.concatenate([np.zeros((len(weight), 1)), np.cumsum(weight[:, order], axis=1)], axis=1)
    return np.asarray(total[:, np.searchsorted(best[order], threshold, side="left")])


def _running_count(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place of each element among the equal ones before it.

    >>> _running_count(np.array([3, 3, 5, 3]))
    array([0, 1, 0, 2])
    """
    seen: dict[int, int] = {}
    places = np.zeros(len(rows), dtype=np.int64)
    for place, row in enumerate(rows.tolist()):
        places[place] = seen.get(row, 0)
        seen[row] = places[place] + 1
    return places
