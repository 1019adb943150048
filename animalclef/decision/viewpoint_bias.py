"""Detect a shared background by viewpoints: another side of an animal shows another pattern.

Where gallery photographs of one individual are found from other sides rather than from the same one, what was found is
the event: its light, its place. Queries are of other events, so validation must not count such finds.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.score_columns import scores_among

__all__ = ["events_show_through", "from_own_side_only"]

_LEAST_FINDS = 10  # from other sides; fewer tell nothing


def events_show_through(part: PseudoQueries) -> bool:
    """Whether, by some score, right finds come from the same side less than half as often as right candidates do."""
    true = part.same & part.as_known
    usual = float(part.agrees[true].mean()) if true.any() else 1.0
    rows = np.arange(len(part))
    for name in scores_among(part.columns):
        values = np.where(part.as_known, np.nan_to_num(part.columns[name], nan=-np.inf), -np.inf)
        best = values.argmax(axis=1)
        found = true[rows, best]
        same_side = part.agrees[rows, best][found]
        if (~same_side).sum() >= _LEAST_FINDS and same_side.mean() < usual / 2:
            return True
    return False


def from_own_side_only(part: PseudoQueries, own_side: Collection[str]) -> PseudoQueries:
    """Pseudo-queries that do not see their individual from another side; known are those of `own_side`."""
    has_own_side = np.isin(part.splits.image_id.astype(str), list(own_side))
    splits = replace(part.splits, is_known=part.splits.is_known & has_own_side)
    seen = part.as_known & ~(part.same & ~part.agrees)
    return replace(part, as_known=seen, splits=splits).select(np.arange(len(part)))
