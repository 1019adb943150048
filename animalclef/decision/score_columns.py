"""Names of score columns: what kind of number each holds."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["CONTEXT", "EXCESS", "LEAD", "NULL", "base_of", "is_count", "is_relative", "scores_among"]

CONTEXT = frozenset({"photographs", "days_apart", "query_keypoints", "gallery_keypoints", "query_side", "gallery_side"})
"""Covariates of a pair: never a score, but what a score may depend on."""

LEAD, EXCESS, NULL = "/lead", "/excess", "/null"
"""Endings of relative columns, see `relative_scores`."""

_COUNTS = frozenset({"matches", "inliers", "inlier_weight", "confidence_sum", *CONTEXT})
_COUNT_PREFIXES = ("matches_", "inliers_")


def is_count(name: str) -> bool:
    """Return whether a column counts something: such a score is taken as log(1 + score).

    `inliers:NAME` are the inliers of one of several matchers. A relative column is a difference of logarithms already.

    >>> is_count("matches_0.5"), is_count("inliers:sift"), is_count("similarity"), is_count("inliers/lead")
    (True, True, False, False)
    """
    kind = name.partition(":")[0]
    return not is_relative(name) and (kind in _COUNTS or kind.startswith(_COUNT_PREFIXES))


def is_relative(name: str) -> bool:
    """Return whether a column is worked out from the candidate list of a query."""
    return name.endswith((LEAD, EXCESS, NULL))


def base_of(name: str) -> str:
    """Return the score column that a relative column is made of.

    >>> base_of("inliers:sift/lead"), base_of("similarity")
    ('inliers:sift', 'similarity')
    """
    return name.rpartition("/")[0] if is_relative(name) else name


def scores_among(names: Iterable[str]) -> list[str]:
    """Return the columns that say how alike two photographs are, sorted."""
    return sorted(name for name in names if name not in CONTEXT)
