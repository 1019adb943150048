"""The probability that two photographs show one individual, from scores in units of the data set's own strangers.

Scores of queries among each other and of database photographs among each other come from lists of different lengths.
Both are measured in scales above the location of the null model (see `decision.null_model`), which is fitted on the
middle of the candidate lists: there are strangers, whoever the photographs show.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from animalclef.decision.calibrators import shaped, sigmoid
from animalclef.decision.fit_calibrators import fit_logistic
from animalclef.decision.null_model import Null
from animalclef.decision.score_columns import NULL, is_count, scores_among
from animalclef.decision.transfer import prior_decision, scale_free_columns
from animalclef.structures import PairScores, StrArray
from animalclef.structures.arrays import BoolArray, Floats, rows_in
from animalclef.structures.clusters import LinkedPairs

__all__ = ["LinkModel", "fit_link_model", "link_inputs", "linked_pairs", "nulls_of_lists", "prior_link_model"]


_MIDDLE = (0.25, 0.5)  # part of each list, best first, that holds strangers for certain and still high scores
_LOWEST = -5.0  # scales, of a pair without a score
_HIGHEST = 60.0
_RIDGE = 10.0
_EULER = 0.5772156649
# Limits of location and scale of log(1 + inliers) of strangers' best candidates, by the number of photographs. On six
# real data sets location is 1.4 to 1.8 and scale .06 to .18 among 12 individuals; among more they are 1.7 to 2.0 and
# .06 to .26. So they depend on the geometric check more than on the animals.
_STRANGERS = ((100, 1.8, 0.2), (math.inf, 2.0, 0.3))


@dataclass(frozen=True)
class LinkModel:
    """A logistic regression on scores in units of the null model; it holds for any data set."""

    columns: tuple[str, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    slopes: tuple[float, ...]
    intercept: float

    def log_odds(self, inputs: Floats) -> Floats:
        """Return the log-odds of pairs that they show one individual, (p,); `inputs` come from `link_inputs`."""
        standard = (inputs - np.array(self.mean)) / np.array(self.spread)
        return np.asarray(standard @ np.array(self.slopes) + self.intercept)

    def probability(self, pairs: LinkedPairs, nulls: Mapping[str, Null]) -> Floats:
        """Return the probability of every pair that it shows one individual, (p,)."""
        return sigmoid(self.log_odds(link_inputs(pairs, nulls, self.columns)))


def fit_link_model(inputs: Floats, columns: Sequence[str], same: BoolArray, weight: Floats | None = None) -> LinkModel:
    """Fit on pairs of different encounters; `inputs` (p, columns) come from `link_inputs`.

    A column that would lower the probability as it rises is left out. With one class only every pair has the smoothed
    share of matching pairs.
    """
    weight = np.ones(len(same)) if weight is None else weight
    if not same.any() or same.all():
        share, flat = (float(weight @ same) + 1) / (float(weight.sum()) + 2), (0.0,) * len(columns)
        return LinkModel(tuple(columns), flat, (1.0,) * len(columns), flat, float(np.log(share / (1 - share))))
    mean = np.average(inputs, axis=0, weights=weight)
    spread = np.sqrt(np.average((inputs - mean) ** 2, axis=0, weights=weight))
    spread = np.where(spread < 1e-9, 1.0, spread)
    standard = (inputs - mean) / spread
    used, slopes, intercept = list(range(len(columns))), np.zeros(len(columns)), 0.0
    while used:
        found, intercept = fit_logistic(standard[:, used], same, weight, ridge=_RIDGE)
        if (found >= 0).all():
            slopes[used] = found
            break
        used.pop(int(found.argmin()))
    return LinkModel(
        tuple(columns), tuple(mean.tolist()), tuple(spread.tolist()), tuple(slopes.tolist()), float(intercept)
    )


def prior_link_model(columns: Sequence[str]) -> LinkModel:
    """Return the model for photographs without any names: how unlikely a pair is among strangers."""
    [(name, curve)] = prior_decision(columns).calibrators.items()
    at_zero, at_one = curve.log_odds(np.array([0.0, 1.0])).tolist()
    return LinkModel((name.removesuffix(NULL),), (0.0,), (1.0,), (at_one - at_zero,), at_zero)


def link_inputs(pairs: LinkedPairs, nulls: Mapping[str, Null], columns: Sequence[str]) -> Floats:
    """Return the columns in scales above the location of their null models, (p, columns)."""
    there = {name: values for name, values in pairs.columns.items() if name in nulls}
    free = scale_free_columns(there, nulls)
    empty = np.full(len(pairs), np.nan)
    table = np.stack([free.get(name + NULL, empty) for name in columns], axis=1).astype(np.float64)
    return np.clip(np.nan_to_num(table, nan=_LOWEST), _LOWEST, _HIGHEST)


def linked_pairs(scores: PairScores, image_id: StrArray) -> LinkedPairs:
    """Return each pair of some photographs once; where both had the other on their list, scores are averaged."""
    query, other = (rows_in(image_id, ids) for ids in (scores.query_id, scores.gallery_id))
    key = np.minimum(query, other) * len(image_id) + np.maximum(query, other)
    pair, place = np.unique(key, return_inverse=True)
    columns = {}
    for name in scores_among(scores.columns):
        values = scores.columns[name].astype(np.float64)
        known = np.isfinite(values)
        count = np.bincount(place[known], minlength=len(pair))
        total = np.bincount(place[known], weights=values[known], minlength=len(pair))
        columns[name] = np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
    return LinkedPairs(image_id, pair // max(len(image_id), 1), pair % max(len(image_id), 1), columns)


def nulls_of_lists(scores: PairScores) -> dict[str, Null]:
    """Fit the null model of every column on candidate lists whose best members may be anybody.

    Of n scores with an exponential tail the r-th largest lies at location + scale (gamma - H(r-1)) on average, where H
    are harmonic numbers and location and scale are those of the largest (Renyi's representation of order statistics).
    The line is fitted on the middle ranks, where there are strangers. Where all photographs show few animals, other
    photographs of the same animal stand there; so location and scale of verified matches (`inliers`) have a bound.
    """
    query, place = np.unique(scores.query_id.astype(str), return_inverse=True)
    nulls = {name: _null_of_list(shaped(scores.columns[name], log=is_count(name)), place, len(query))
             for name in scores_among(scores.columns)}  # fmt: skip
    if (null := nulls.get("inliers")) is not None:
        location, scale = next(bound[1:] for bound in _STRANGERS if len(query) <= bound[0])
        bounded = {"location": min(null.location, location), "scale": min(null.scale, scale)}
        nulls["inliers"] = null.model_copy(update=bounded)
    return nulls


def _null_of_list(value: Floats, query: NDArray[np.int64], queries: int) -> Null:
    known = np.isfinite(value)
    value, query = value[known], query[known]
    if not len(value):
        return Null(location=0.0, scale=1.0, photographs=0, individuals=1)
    order = np.lexsort((-value, query))
    value, query = value[order], query[order]
    start = np.searchsorted(query, np.arange(queries))
    rank = np.arange(len(value)) - start[query]  # from 0
    length = np.bincount(query, minlength=queries)[query]
    reduced = _EULER - np.concatenate([[0.0], np.cumsum(1 / np.arange(1, max(rank.max(), 1) + 1))])[rank]
    used = (rank >= np.floor(_MIDDLE[0] * length)) & (rank <= np.ceil(_MIDDLE[1] * length))
    x, y = reduced[used], value[used]
    spread = float(np.var(x))
    scale = float(np.mean((x - x.mean()) * (y - y.mean()))) / spread if spread > 1e-12 else 0.0
    scale = scale if scale > 1e-6 else max(abs(float(y.mean())) * 0.1, 1e-3)
    location = float(y.mean() - scale * x.mean())
    return Null(location=location, scale=scale, photographs=queries, individuals=max(int(length.mean()), 1))
