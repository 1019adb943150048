"""Whether probabilities can be believed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from animalclef.decision.decision_model import Reliability

__all__ = ["reliability"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


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
