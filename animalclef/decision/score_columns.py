"""What kind of number a column of pair scores holds; the only place that knows column names by heart."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["CONTEXT", "is_count", "scores_among"]

CONTEXT = frozenset({"photographs", "days_apart", "query_keypoints", "gallery_keypoints", "query_side", "gallery_side"})
"""Circumstances of a pair: never a score, but what a score may depend on."""

_COUNTS = frozenset({"matches", "inliers", "inlier_weight", "confidence_sum", *CONTEXT})
_COUNT_PREFIXES = ("matches_", "inliers_")


def is_count(name: str) -> bool:
    """Whether a column counts something: such a score is taken as log(1 + score).

    A further member of a run names itself behind a colon.

    >>> is_count("matches_0.5"), is_count("similarity"), is_count("inlier_ratio"), is_count("inliers:aliked-t16")
    (True, False, False, True)
    """
    kind = name.partition(":")[0]
    return kind in _COUNTS or kind.startswith(_COUNT_PREFIXES)


def scores_among(names: Iterable[str]) -> list[str]:
    """The columns that say how alike two photographs are, sorted."""
    return sorted(name for name in names if name not in CONTEXT)
