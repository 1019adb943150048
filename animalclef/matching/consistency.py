"""Measure how many matches of a pair agree with their neighbours, where no one transform fits the whole animal.

A keypoint of SIFT has a size and an orientation, so a single match says how its surroundings turn and grow (as in
HotSpotter, Crall et al. 2013). Matches that predict each other's places vote for each other, and the strength of the
largest such group is the largest eigenvalue of their votes (spectral matching, Leordeanu and Hebert 2005). A body that
bends moves its far parts apart and keeps near ones together, so near matches count more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from animalclef.structures import FloatArray, LocalFeatures

__all__ = ["LOOSE_RATIO", "consistency"]

Rows = NDArray[np.int64]

LOOSE_RATIO = 0.97  # of the ratio test: neighbours tell right matches from wrong ones, so doubtful matches may come in
_MOST = 100  # matches that are compared, the most distinctive ones
_ERROR = 0.35  # of a predicted place, as a share of the distance to it: at this error a vote is down to 37%
_NEAR = 0.3  # of the long side: at this distance a vote is down to 37%
_SAME_PLACE = 0.01  # of the long side: nearer matches count as one and do not vote for each other
_LEAST_COSINE = np.cos(np.radians(35))  # of the angle between the turns of two matches
_MOST_GROWTH = np.log(1.7)  # between the growths of two matches
_SURE = 0.02  # is added to 1 - ratio, so that a doubtful match keeps a little weight
_STEPS = 10  # of the power iteration


def consistency(one: LocalFeatures, other: LocalFeatures, rows: tuple[Rows, Rows], ratio: FloatArray) -> float:
    """Return how strongly the matches `rows` (keypoints of both images, (n,) each) agree with their neighbours, >= 0.

    `ratio` (n,) is that of the ratio test: a distinctive match weighs more. Chance matches rarely agree with others.
    """
    if len(ratio) > _MOST:
        best = np.sort(np.argsort(ratio, kind="stable")[:_MOST])
        rows, ratio = (rows[0][best], rows[1][best]), ratio[best]
    if len(ratio) < 2:
        return 0.0
    votes = _votes(one, other, *rows)
    weight = np.sqrt(1 - ratio + np.float32(_SURE))
    votes *= weight[:, None] * weight[None, :]
    return _largest_eigenvalue(votes)


def _votes(one: LocalFeatures, other: LocalFeatures, first: Rows, second: Rows) -> FloatArray:
    """Return how well each two matches predict each other's place, (n, n), symmetric, 0 to 1.

    A match turns a step to a neighbour by `turn` and stretches it by exp(growth), and so predicts the neighbour's place
    in the other image; `missed` is the squared error of that prediction divided by the squared predicted length.
    """
    turn = (other.orientation_rad[second] - one.orientation_rad[first]).astype(np.float32)
    growth = np.log(np.maximum(other.scale[second], 1e-6) / np.maximum(one.scale[first], 1e-6)).astype(np.float32)
    cosine, sine, stretch = np.cos(turn), np.sin(turn), np.exp(growth)
    step_x, step_y = (_steps(one.keypoints_xy[first, axis]) for axis in (0, 1))
    there_x, there_y = (_steps(other.keypoints_xy[second, axis]) for axis in (0, 1))
    along, across = (stretch * cosine)[:, None], (stretch * sine)[:, None]
    missed = (along * step_x - across * step_y - there_x) ** 2 + (across * step_x + along * step_y - there_y) ** 2
    length, length_there = step_x**2 + step_y**2, there_x**2 + there_y**2
    missed /= np.maximum(np.square(stretch)[:, None] * length, np.float32(1e-9))
    side, side_there = max(one.image_size_wh), max(other.image_size_wh)
    votes = np.exp(np.maximum(missed, missed.T) * np.float32(-(_ERROR**-2)) - length / np.float32((_NEAR * side) ** 2))
    votes *= (length > (_SAME_PLACE * side) ** 2) & (length_there > (_SAME_PLACE * side_there) ** 2)
    votes *= np.outer(cosine, cosine) + np.outer(sine, sine) > _LEAST_COSINE
    votes *= np.abs(growth[:, None] - growth[None, :]) < _MOST_GROWTH
    return votes


def _steps(places: FloatArray) -> FloatArray:
    """Return the steps from each place to each other one, (n, n)."""
    return np.asarray(places[None, :] - places[:, None], dtype=np.float32)


def _largest_eigenvalue(matrix: FloatArray) -> float:
    """Return the largest eigenvalue of a symmetric matrix without negative entries, by power iteration."""
    vector, value = np.ones(len(matrix), np.float32), 0.0
    for _ in range(_STEPS):
        vector = matrix @ vector
        value = float(np.sqrt(np.square(vector).sum()))
        if value < 1e-9:
            return 0.0
        vector /= np.float32(value)
    return value
