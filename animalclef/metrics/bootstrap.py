"""Uncertainty of a score over individuals: bootstrap intervals, and the influence of each individual."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from animalclef.data.pseudo_query import OpenSetSplits
from animalclef.metrics.threshold_sweep import Roles
from animalclef.structures.arrays import BoolArray, Floats

__all__ = [
    "influence_of_individuals",
    "interval_over_individuals",
    "mean_interval",
    "of_other_queries",
    "paired_difference",
    "standard_error",
    "wilson_interval",
]


_LEVEL, _Z = 0.95, 1.96


def interval_over_individuals(
    known_hit: BoolArray,
    unknown_hit: BoolArray,
    splits: OpenSetSplits,
    *,
    draws: int = 1000,
    seed: int = 0,
    of_next: bool = True,
) -> tuple[float, float]:
    """Return the ends of a 95% interval of the score over pseudo-queries (the mean over splits of sqrt(BAKS * BAUS)).

    `known_hit` says which pseudo-queries are named right with their individual in the gallery, `unknown_hit` which are
    called new without it, (p,) each. Individuals are drawn with replacement; all photographs of one come with it.

    With `of_next` the interval is for the score of other queries, as `of_other_queries` has it. Where all draws score
    0, or all score 1, the ends are those of BAKS and BAUS by Wilson's interval.
    """
    name, who = np.unique(splits.identity.astype(str), return_inverse=True)
    if not len(name) or not len(splits.is_known):
        return float("nan"), float("nan")
    rng = np.random.default_rng([seed, 4])
    counts = rng.multinomial(len(name), np.full(len(name), 1 / len(name)), size=draws).astype(np.float64)
    whole = np.ones((1, len(name)))
    known, unknown = _share(known_hit, splits.is_known, who), _share(unknown_hit, splits.is_unknown, who)
    here = float(_score(whole, known, unknown)[0])
    drawn = _score(counts, known, unknown)
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return 0.0, 1.0
    low, high = np.quantile(drawn, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    ends = min(float(low), here), max(float(high), here)
    if ends[0] == ends[1] and here in (0.0, 1.0):
        ends = _wilson_ends(known, unknown)
    return of_other_queries(here, *ends) if of_next else ends


def wilson_interval(share: float, count: float) -> tuple[float, float]:
    """Return the ends of Wilson's 95% interval of a share that was seen among `count` independent cases.

    >>> low, high = wilson_interval(1.0, 10)
    >>> round(low, 2), round(high, 2)
    (0.72, 1.0)
    """
    middle = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z * np.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2)) / (1 + _Z**2 / count)
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def _wilson_ends(known: tuple[Floats, Floats], unknown: tuple[Floats, Floats]) -> tuple[float, float]:
    """Return the ends of sqrt(BAKS * BAUS) from those of its factors, each over the individuals that have its role."""
    ends = []
    for share, has_role in (known, unknown):
        mine = has_role.any(axis=1)
        count = np.maximum(has_role.sum(axis=1), 1)
        ends.append(wilson_interval(float(((share * has_role).sum(axis=1) / count)[mine].mean()), int(mine.sum())))
    (low, high), (other_low, other_high) = ends
    return float(np.sqrt(low * other_low)), float(np.sqrt(high * other_high))


def influence_of_individuals(hits: tuple[BoolArray, BoolArray], roles: Roles, individual: NDArray[np.int64]) -> Floats:
    """Return, (individuals,), the first-order change of the score with the weight of each individual (Efron 1982).

    `hits` says which pseudo-queries are right as known and as unknown; see `standard_error`.
    """
    if not len(roles.known):
        return np.zeros(int(individual.max(initial=-1)) + 1)
    known = _deviation(roles.known, hits[0], roles.unknown @ hits[1])
    unknown = _deviation(roles.unknown, hits[1], roles.known @ hits[0])
    total = (known + unknown).mean(axis=0)
    added = np.bincount(individual, weights=total, minlength=int(individual.max(initial=-1)) + 1)
    return np.asarray(added, dtype=np.float64)


def _deviation(role: Floats, hit: BoolArray, other: Floats) -> Floats:
    """Return, (splits, p), how much each pseudo-query moves sqrt(BAKS * BAUS); `other` is the other factor."""
    share = np.asarray(role @ hit, dtype=np.float64)
    slope = 0.5 * np.sqrt(other / np.maximum(share, 0.02))
    deviation: Floats = hit[None, :].astype(np.float64) - share[:, None]
    return np.asarray(slope[:, None] * role * deviation, dtype=np.float64)


def of_other_queries(score: float, low: float, high: float) -> tuple[float, float]:
    """Widen the interval of an expected score to that of the score of other queries of as many individuals.

    The next score scatters about the mean as much as this one does, so both ends lie sqrt(2) times as far away.
    """
    wider = float(np.sqrt(2))
    return max(0.0, score - wider * (score - low)), min(1.0, score + wider * (high - score))


def mean_interval(parts: Collection[tuple[float, float, float]]) -> tuple[float, float, float] | None:
    """Return score, low and high of the mean over data sets, from those of each; their errors are independent.

    The distances from the score add in squares. `None` without a data set.
    """
    if not parts:
        return None
    score, low, high = (np.array(values) for values in zip(*parts, strict=True))
    mean = float(score.mean())
    below, above = (float(np.sqrt(((end - score) ** 2).sum())) / len(score) for end in (low, high))
    return mean, max(0.0, mean - below), min(1.0, mean + above)


def _share(hit: BoolArray, role: BoolArray, who: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return, (individuals, splits), the share of an individual's hits in a role, and whether it has that role."""
    member = np.zeros((int(who.max()) + 1, len(who)))
    member[who, np.arange(len(who))] = 1.0
    count = member @ role.T
    hits = member @ (role & hit).T
    return np.divide(hits, count, out=np.zeros_like(hits), where=count > 0), (count > 0).astype(np.float64)


def _score(counts: Floats, known: tuple[Floats, Floats], unknown: tuple[Floats, Floats]) -> Floats:
    """Return, (draws,), the score with each individual counted so often; NaN where no split has both roles."""
    factors = []
    for share, has_role in (known, unknown):
        total = counts @ has_role
        factors.append(np.divide(counts @ share, total, out=np.full_like(total, np.nan), where=total > 0))
    score = np.sqrt(factors[0] * factors[1])
    some = np.isfinite(score)
    mean = np.where(some, score, 0.0).sum(axis=1) / np.maximum(some.sum(axis=1), 1)
    return np.asarray(np.where(some.any(axis=1), mean, np.nan))


def standard_error(influence: Floats) -> float:
    """Return the standard error of a figure over individuals, from the influence of each (infinitesimal jackknife).

    Of the difference of two figures over the same individuals it is that of the difference of their influences.

    >>> standard_error(np.array([0.3, -0.4]))
    0.5
    """
    return float(np.sqrt((influence**2).sum()))


def paired_difference(
    first: tuple[BoolArray, BoolArray], second: tuple[BoolArray, BoolArray], splits: OpenSetSplits
) -> tuple[float, float]:
    """Return how far the second score is behind the first, and the standard error of that difference.

    Both are hits (known, unknown), (p,) each, of the same pseudo-queries in the same splits.
    """
    name, who = np.unique(splits.identity.astype(str), return_inverse=True)
    if not len(name) or not len(splits.is_known):
        return float("nan"), float("nan")
    roles, whole = Roles.of(splits), np.ones((1, len(name)))
    scores, influence = [], []
    for known, unknown in (first, second):
        shares = _share(known, splits.is_known, who), _share(unknown, splits.is_unknown, who)
        scores.append(float(_score(whole, *shares)[0]))
        influence.append(influence_of_individuals((known, unknown), roles, who))
    return scores[0] - scores[1], standard_error(influence[0] - influence[1])
