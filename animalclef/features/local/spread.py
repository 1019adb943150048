"""Spread keypoints evenly over a photograph: a quota for every cell of a grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from animalclef.structures import FloatArray

__all__ = ["spread_order"]

_CELLS = 8  # along the long side


def spread_order(points_xy: FloatArray, size_wh: tuple[int, ...], most: int) -> NDArray[np.int64]:
    """Return rows of keypoints given strongest first: the strongest of every cell, then the second of every cell, ...

    Cells are squares, eight along the long side. At most `most` rows come back; within a round the stronger come first.

    >>> points = np.array([[1, 1], [2, 2], [3, 3], [60, 60]], dtype=np.float32)
    >>> spread_order(points, (64, 64), 3).tolist()
    [0, 3, 1]
    """
    cell = np.floor(points_xy / (max(size_wh) / _CELLS)).astype(np.int64)
    number = cell[:, 1] * (_CELLS + 1) + cell[:, 0]
    order = np.argsort(number, kind="stable")
    starts = np.flatnonzero(np.diff(number[order], prepend=-1))
    turn = np.empty(len(number), dtype=np.int64)
    turn[order] = np.arange(len(number)) - np.repeat(starts, np.diff(starts, append=len(number)))
    return np.asarray(np.lexsort((np.arange(len(number)), turn))[:most], dtype=np.int64)
