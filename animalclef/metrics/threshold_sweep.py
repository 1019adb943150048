"""What pseudo-queries would be answered, in both of their roles, and the score of every threshold at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from animalclef.data.pseudo_query import OpenSetSplits
from animalclef.structures.arrays import BoolArray, Floats

__all__ = ["Answers", "Roles", "Sweep", "hits_of", "merged", "midpoints", "score_of", "sweep"]


@dataclass(frozen=True, eq=False)
class Answers:
    """Per pseudo-query the best identity's value with its individual in the gallery (`known`) and without (`unknown`).

    Minus infinity is no candidate: such a query is new at any threshold.
    """

    known: Floats  # (p,) log-odds, or any value that a threshold is put on
    right: BoolArray  # (p,) the best identity of `known` is the true one
    unknown: Floats  # (p,)


@dataclass(frozen=True, eq=False)
class Roles:
    """What one hit adds to BAKS and to BAUS in each split; 0 outside the role."""

    known: Floats  # (splits, p)
    unknown: Floats  # (splits, p)

    @classmethod
    def of(cls, splits: OpenSetSplits) -> Roles:
        """Every individual weighs the same, however many photographs it has."""
        _, who = np.unique(splits.identity.astype(str), return_inverse=True)
        return cls(_weights(splits.is_known, who), _weights(splits.is_unknown, who))


@dataclass(frozen=True, eq=False)
class Sweep:
    """The score at each of some thresholds."""

    threshold: Floats  # (t,) rising
    score: Floats  # (t,) mean over splits of sqrt(BAKS * BAUS)
    baks: Floats  # (t,) mean over splits
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


def midpoints(answers: Sequence[Answers]) -> Floats:
    """Every threshold that can make a difference: half-way between neighbouring values, and one beyond either end."""
    values = np.unique(np.concatenate([part for one in answers for part in (one.known, one.unknown)]))
    values = values[np.isfinite(values)]
    if not len(values):
        return np.zeros(1)
    return np.concatenate([[values[0] - 1], (values[1:] + values[:-1]) / 2, [values[-1] + 1]])


def sweep(answers: Answers, roles: Roles, threshold: Floats) -> Sweep:
    """Score every one of the rising thresholds exactly."""
    hits = roles.known * answers.right
    above = hits.sum(axis=1, keepdims=True) - _below(threshold, answers.known, hits)
    baks = np.round(above, 12)  # a difference of equal sums is 0, not 1e-17, whose root would count
    baus = np.round(_below(threshold, answers.unknown, roles.unknown), 12)
    score = np.sqrt(np.clip(baks, 0, 1) * np.clip(baus, 0, 1))
    return Sweep(threshold, score.mean(axis=0), baks.mean(axis=0), baus.mean(axis=0))


def merged(sweeps: Sequence[Sweep]) -> Sweep:
    """The mean of several data sets' sweeps over the same thresholds."""
    score, baks, baus = (np.mean([getattr(one, name) for one in sweeps], axis=0) for name in ("score", "baks", "baus"))
    return Sweep(sweeps[0].threshold, score, baks, baus)


def hits_of(answers: Answers, threshold: float | Floats) -> tuple[BoolArray, BoolArray]:
    """Which pseudo-queries are answered right as known, and as unknown; `threshold` may be one per pseudo-query."""
    named = (answers.known > -np.inf) & (answers.known >= threshold)
    named_anyway = (answers.unknown > -np.inf) & (answers.unknown >= threshold)
    return answers.right & named, ~named_anyway


def score_of(hits: tuple[BoolArray, BoolArray], roles: Roles) -> tuple[float, float, float]:
    """Score, BAKS and BAUS, means over splits."""
    baks, baus = roles.known @ hits[0], roles.unknown @ hits[1]
    return float(np.sqrt(baks * baus).mean()), float(baks.mean()), float(baus.mean())


def _weights(role: BoolArray, who: NDArray[np.int64]) -> Floats:
    if not role.size:
        return np.zeros(role.shape)
    counts = np.stack([np.bincount(who[rows], minlength=int(who.max()) + 1) for rows in role])
    present = np.maximum(np.count_nonzero(counts, axis=1), 1)[:, None]
    return np.asarray(np.where(role, 1.0 / (np.maximum(counts[:, who], 1) * present), 0.0))


def _below(threshold: Floats, best: Floats, weight: Floats) -> Floats:
    """(splits, t): the weight of rows whose best value lies below each threshold."""
    order = np.argsort(best, kind="stable")
    total = np.concatenate([np.zeros((len(weight), 1)), np.cumsum(weight[:, order], axis=1)], axis=1)
    return np.asarray(total[:, np.searchsorted(best[order], threshold, side="left")])
