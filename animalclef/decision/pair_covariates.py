"""Circumstances of a pair that a score may depend on: how often an individual was photographed, days, sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date

import numpy as np

from animalclef.structures import FloatArray, ImageTable, MatchKey, PairScores

__all__ = ["circumstances"]

SizeReader = Callable[[MatchKey], tuple[int, int]]


def circumstances(scores: PairScores, images: ImageTable, size_of: SizeReader | None) -> dict[str, FloatArray]:
    """`photographs` of the candidate's individual in the gallery, `days_apart`, and of either side the `keypoints` and
    the long `side` in pixels; NaN where it is not known.

    Nothing here may depend on what validation hides from a gallery photograph that plays the query, or it would tell
    who that is: all photographs of an individual count, its hidden encounter too, and photographs of one day count as
    not known, since an individual's own day is hidden. `size_of` gives keypoints and long side by content key, and is
    left out where nothing was extracted.
    """
    gallery = images.gallery
    count = Counter(zip(gallery.dataset, gallery.identity, strict=True))
    row_of = images.row_of
    query = np.array([row_of[one] for one in scores.query_id], dtype=np.int64)
    candidate = np.array([row_of[one] for one in scores.gallery_id], dtype=np.int64)
    photographs = [count[who] for who in zip(images.dataset[candidate], images.identity[candidate], strict=True)]
    day = np.array([_day(one) for one in images.date])
    apart = np.abs(day[query] - day[candidate])
    columns = {"photographs": np.array(photographs), "days_apart": np.where(apart == 0, np.nan, apart)}
    if size_of is not None:
        sizes = np.array([size_of(key) for key in images.key], dtype=np.float64).reshape(len(images), 2)
        for side, rows in (("query", query), ("gallery", candidate)):
            columns |= {f"{side}_keypoints": sizes[rows, 0], f"{side}_side": sizes[rows, 1]}
    return {name: np.asarray(values, dtype=np.float32) for name, values in columns.items()}


def _day(text: str) -> float:
    try:
        return float(date.fromisoformat(text[:10]).toordinal())
    except ValueError:
        return float("nan")
