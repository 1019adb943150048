"""The matches that a network finds between two images, and the counts that become scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from animalclef.structures import FloatArray

__all__ = ["COUNT_COLUMNS", "MATCH_LEVELS", "PairMatches"]

MATCH_LEVELS = (0.2, 0.5, 0.8)  # confidences above which matches are counted

COUNT_COLUMNS = ("matches", "confidence_sum", *(f"matches_{level}" for level in MATCH_LEVELS))


@dataclass(frozen=True, eq=False)
class PairMatches:
    """Matched keypoints of one pair, each keypoint at most once; empty where only counts were asked for.

    >>> matches = PairMatches.of(np.array([0, 4]), np.array([7, 2]), np.array([0.9, 0.3], np.float32))
    >>> dict(zip(COUNT_COLUMNS, matches.counts.round(1).tolist()))["matches_0.5"]
    1.0
    """

    counts: FloatArray  # (5,) in the order of COUNT_COLUMNS
    left: NDArray[np.int64]  # (n,) rows of the left image's keypoints, rising
    right: NDArray[np.int64]  # (n,) rows of the right image's keypoints
    confidence: FloatArray  # (n,) in (0, 1]

    @classmethod
    def of(cls, left: NDArray[np.int64], right: NDArray[np.int64], confidence: FloatArray) -> PairMatches:
        """Return the matches with their counts; `left` rises."""
        levels = [(confidence > level).sum() for level in MATCH_LEVELS]
        return cls(np.array([len(left), confidence.sum(), *levels], np.float32), left, right, confidence)

    @classmethod
    def none(cls) -> PairMatches:
        """Return the matches of a pair that has none."""
        return cls.of(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
