"""How far a validated number can be believed: its interval over individuals, and whether probabilities hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from animalclef.data.splits import OpenSetSplits
from animalclef.decision import Reliability, Summary

__all__ = ["interval", "redrawn", "reliability", "summarise"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def redrawn(splits: OpenSetSplits, hits: tuple[Bools, Bools], seed: int, draws: int = 1000) -> Floats:
    """(draws,): the score, the mean over splits, when individuals are drawn with replacement.

    `hits` says which pseudo-queries are answered right as known and as unknown. A draw in which a split has lost one of
    its two roles leaves that split out.
    """
    names, who = np.unique(splits.identity.astype(str), return_inverse=True)
    known, known_there = _per_individual(splits.is_known, who, len(names), hits[0])
    unknown, unknown_there = _per_individual(splits.is_unknown, who, len(names), hits[1])
    rng = np.random.default_rng([seed, 5])
    times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws).astype(np.float64)
    counts = times @ known_there.T, times @ unknown_there.T
    with np.errstate(invalid="ignore", divide="ignore"):
        score = np.sqrt((times @ known.T / counts[0]) * (times @ unknown.T / counts[1]))
    usable = np.isfinite(score)
    return np.asarray(np.where(usable, score, 0).sum(axis=1) / np.maximum(usable.sum(axis=1), 1))


def interval(draws: Floats) -> tuple[float, float]:
    """The middle 95 %."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def summarise(nested: Sequence[float], tuned: Sequence[float], draws: Sequence[Floats]) -> Summary:
    """The mean over data sets, each redrawn by itself."""
    low, high = interval(np.mean(draws, axis=0))
    return Summary(nested=float(np.mean(nested)), low=low, high=high, optimism=float(np.mean(tuned) - np.mean(nested)))


def reliability(probability: Floats, same: Bools, bins: int = 10) -> Reliability:
    """Pairs sorted into bins of equal width by their probability.

    >>> reliability(np.array([0.05, 0.07, 0.95]), np.array([False, False, True])).pairs
    (2, 1)
    """
    place = np.minimum((probability * bins).astype(np.int64), bins - 1)
    pairs = np.bincount(place, minlength=bins)
    filled = pairs > 0
    said = np.bincount(place, weights=probability, minlength=bins)[filled] / pairs[filled]
    seen = np.bincount(place, weights=same.astype(np.float64), minlength=bins)[filled] / pairs[filled]
    error = float((pairs[filled] * np.abs(said - seen)).sum() / max(pairs.sum(), 1))
    return Reliability(said=tuple(said.tolist()), seen=tuple(seen.tolist()), pairs=tuple(pairs[filled].tolist()),
                       error=error)  # fmt: skip


def _per_individual(role: Bools, who: NDArray[np.int64], count: int, hit: Bools) -> tuple[Floats, Floats]:
    """(splits, individuals): the share of an individual's photographs that are hit, and whether it has the role."""
    member = np.zeros((len(who), count))
    member[np.arange(len(who)), who] = 1.0
    there = role.astype(np.float64) @ member
    share = (role * hit).astype(np.float64) @ member / np.maximum(there, 1)
    return share, (there > 0).astype(np.float64)
