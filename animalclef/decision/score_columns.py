"""Names of score columns: what kind of number each holds."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["CONTEXT", "NULL", "base_of", "is_count", "scores_among"]

CONTEXT = frozenset({"photographs", "days_apart", "query_keypoints", "gallery_keypoints", "query_side", "gallery_side"})
"""Covariates of a pair, which earlier versions stored beside the scores: never a score."""

NULL = "/null"
"""Ending of a column in scales above the location of the null model, see `transfer`."""

_COUNTS = frozenset({"matches", "inliers", "inlier_weight", "consistency", "confidence_sum"})
_COUNT_PREFIXES = ("matches_", "inliers_")


def is_count(name: str) -> bool:
    """Return whether a column counts something: such a score is taken as log(1 + score).

    `inliers:NAME` are the inliers of one of several matchers. A column in null scales is of logarithms already.

    >>> is_count("matches_0.5"), is_count("inliers:sift"), is_count("similarity"), is_count("inliers/null")
    (True, True, False, False)
    """
    kind = name.partition(":")[0]
    return not name.endswith(NULL) and (kind in _COUNTS or kind.startswith(_COUNT_PREFIXES))


def base_of(name: str) -> str:
    """Return the score column that a column in null scales is made of.

    >>> base_of("inliers:sift/null"), base_of("similarity")
    ('inliers:sift', 'similarity')
    """
    return name.removesuffix(NULL)


def scores_among(names: Iterable[str]) -> list[str]:
    """Return the columns that say how alike two photographs are, sorted."""
    return sorted(name for name in names if name not in CONTEXT)
