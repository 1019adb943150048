"""Scores relative to the other candidates of the same query, and to what strangers reach in the data set.

- `NAME/lead`: the difference to the best candidate of any other individual. For counts, which are taken as logarithms,
  it is the logarithm of a ratio (Lowe's ratio test, for individuals).
- `NAME/excess`: the difference to the mean of the ten best candidates that do not show the best individual, which is
  what strangers reach for this very query (test normalisation, "T-norm", of speaker verification: Auckenthaler, Carey
  and Lloyd-Thomas 2000).
- `NAME/null`: scales above the location of the data set's null model (zero normalisation, "Z-norm").

Divided by the null model's scale all three are free of units, and what is learned from one data set holds for another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from animalclef.decision.calibrators import shaped
from animalclef.decision.null_model import Null
from animalclef.decision.score_columns import EXCESS, LEAD, NULL, base_of, is_count, scores_among

__all__ = ["best_of_others", "relative_columns", "scale_free_columns", "with_relative"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Columns = Mapping[str, NDArray[np.generic]]

_COHORT = 10


def relative_columns(columns: Columns, visible: Bools, who: Integers, names: Collection[str]) -> dict[str, Floats]:
    """Return the named `/lead` and `/excess` columns, each (q, k); NaN where the score is NaN or nothing is visible."""
    found: dict[str, Floats] = {}
    for base in sorted({base_of(name) for name in names}):
        if base not in columns:
            continue
        value = shaped(columns[base], log=is_count(base))
        known = visible & np.isfinite(value)
        level = np.where(known, value, -np.inf)
        for ending, reference in ((LEAD, best_of_others), (EXCESS, _cohort)):
            if base + ending in names:
                found[base + ending] = np.where(known, value - reference(level, who), np.nan)
    return found


def with_relative(columns: Columns, visible: Bools, who: Integers, names: Collection[str]) -> Columns:
    """Return the columns and the relative ones among `names`."""
    wanted = {name for name in names if name.endswith((LEAD, EXCESS))}
    return {**columns, **relative_columns(columns, visible, who, wanted)} if wanted else columns


def scale_free_columns(
    columns: Mapping[str, NDArray[np.float32]], nulls: Mapping[str, Null]
) -> dict[str, NDArray[np.float32]]:
    """Return every score column as `NAME/null`, in scales above the location of its null model; covariates stay.

    Their differences, `/null/lead` and `/null/excess`, are then free of units as well.
    """
    scores = scores_among(columns)
    found = {name: values for name, values in columns.items() if name not in scores}
    for name in scores:
        found[name + NULL] = nulls[name].excess(shaped(columns[name], log=is_count(name))).astype(np.float32)
    return found


def best_of_others(level: Floats, who: Integers) -> Floats:
    """Return, (q, k), the best value in the row among candidates of other individuals.

    `level` is minus infinity where nothing is known. A row without others holds its own lowest value, so that the lead
    is not negative.
    """
    if not level.size:
        return level
    rows = np.arange(len(level))
    top = level.argmax(axis=1)
    best, leader = level[rows, top], who[rows, top]
    of_leader = who == leader[:, None]
    second = np.where(of_leader, -np.inf, level).max(axis=1)
    lowest = np.where(np.isfinite(level), level, np.inf).min(axis=1)
    second = np.where(np.isfinite(second), second, np.where(np.isfinite(lowest), lowest, 0.0))
    return np.where(of_leader, second[:, None], np.where(np.isfinite(best), best, 0.0)[:, None])


def _cohort(level: Floats, who: Integers) -> Floats:
    """Return, (q, 1), the mean of the ten best values that do not show the row's best individual."""
    if not level.size:
        return np.zeros((len(level), 1))
    rows = np.arange(len(level))
    leader = who[rows, level.argmax(axis=1)]
    others = np.where(who == leader[:, None], -np.inf, level)
    count = min(_COHORT, level.shape[1])
    top = -np.partition(-others, count - 1, axis=1)[:, :count]
    found = np.isfinite(top)
    mean = np.where(found, top, 0.0).sum(axis=1) / np.maximum(found.sum(axis=1), 1)
    lowest = np.where(np.isfinite(level), level, np.inf).min(axis=1)
    lowest = np.where(np.isfinite(lowest), lowest, 0.0)
    return np.where(found.any(axis=1), mean, lowest)[:, None]
