"""Compare predicted probabilities with how often they came true (reliability diagram, expected calibration error)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from animalclef.decision.decision_model import Reliability

__all__ = ["reliability"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def reliability(probability: Floats, same: Bools, bins: int = 10, weight: Floats | None = None) -> Reliability:
    """Sort pairs or answers into bins of equal width by their probability, and compare it with their outcome.

    >>> reliability(np.array([0.05, 0.07, 0.95]), np.array([False, False, True])).pairs
    (2, 1)
    """
    weight = np.ones(len(probability)) if weight is None else weight
    place = np.minimum((probability * bins).astype(np.int64), bins - 1)
    pairs = np.bincount(place, minlength=bins)
    total = np.bincount(place, weights=weight, minlength=bins)
    filled = total > 0
    said = np.bincount(place, weights=weight * probability, minlength=bins)[filled] / total[filled]
    seen = np.bincount(place, weights=weight * same, minlength=bins)[filled] / total[filled]
    error = float((total[filled] * np.abs(said - seen)).sum() / max(float(total.sum()), 1e-12))
    return Reliability(said=tuple(said.tolist()), seen=tuple(seen.tolist()), pairs=tuple(pairs[filled].tolist()),
                       error=error)  # fmt: skip
