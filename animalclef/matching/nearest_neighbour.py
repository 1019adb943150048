"""Match without weights: mutual nearest neighbours, the ratio test and a geometric check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.config import RerankConfig
from animalclef.errors import StaleArtefactError
from animalclef.features.local.unit_descriptors import comparable
from animalclef.matching.consistency import LOOSE_RATIO, consistency
from animalclef.matching.jobs import FeatureReader, IsDone, Job, Matched, by_query
from animalclef.structures import Correspondences, FloatArray, LocalFeatures

__all__ = ["MutualNearest"]

_FEWEST = 3  # matches that can agree: two of them always do
_ROWS = 256  # keypoints that are compared at once: their similarities to 512 others take half a megabyte


class MutualNearest:
    """Scores of a pair: `matches` after the ratio test, `inliers` that agree on one transform, `inlier_weight`, and
    `consistency`, how strongly matches agree with their neighbours.

    Inliers are counted by distinct places.

    `inlier_weight` sums (1 - ratio) over the inliers, in units of 0.1: a distinctive match counts more than a doubtful
    one.
    """

    columns = ("matches", "inliers", "inlier_weight", "consistency")
    pairs_a_shard = 1024

    def __init__(self, config: RerankConfig) -> None:
        self.config = config

    def match(self, query: LocalFeatures, candidates: Sequence[LocalFeatures]) -> FloatArray:
        """Score one image against several, (candidates, 4); (a, b) and (b, a) score the same."""
        scores = np.zeros((len(candidates), len(self.columns)), dtype=np.float32)
        filled = [row for row, candidate in enumerate(candidates) if len(candidate)]
        _check_extractors(query, candidates)
        if not len(query) or not filled:
            return scores
        descriptors = comparable(query.descriptors)
        space = np.empty(_ROWS * max(len(candidates[row]) for row in filled), dtype=np.float32)
        for row in filled:
            found = self._found(query, candidates[row], descriptors, space)
            matched = self._checked(found, query)
            counted = distinct_places(matched)
            near = found.up_to(LOOSE_RATIO)
            agreement = consistency(near.one, near.other, (near.first, near.second), near.ratio)
            scores[row] = len(matched), len(counted), 10 * matched.confidence[counted].sum(), agreement
        return scores

    def match_jobs(self, jobs: Sequence[Job], is_done: IsDone, read: FeatureReader, workers: int) -> Iterator[Matched]:
        """Yield one batch per query, with the pairs that are not done."""
        return by_query(self.match, jobs, is_done, read, workers)

    def at_once(self, workers: int) -> int:
        """Return the number of queries that are matched at the same time."""
        return workers

    def correspondences(self, query: LocalFeatures, candidate: LocalFeatures) -> Correspondences:
        """Return the matches that the scores of the pair are counted from; confidence is 1 - ratio."""
        _check_extractors(query, [candidate])
        if not len(query) or not len(candidate):
            none_xy, nothing = np.zeros((0, 2), np.float32), np.zeros(0, np.float32)
            return Correspondences(none_xy, none_xy, nothing, np.zeros(0, dtype=bool))
        space = np.empty(_ROWS * len(candidate), dtype=np.float32)
        return self._checked(self._found(query, candidate, comparable(query.descriptors), space), query)

    def _found(
        self, query: LocalFeatures, candidate: LocalFeatures, descriptors: FloatArray, space: FloatArray
    ) -> _Matches:
        """Return the mutual matches of two images that any score is made of."""
        compared = _compare(descriptors, comparable(candidate.descriptors), space)
        rows, others, ratio = _mutual(compared, max(self.config.ratio, LOOSE_RATIO))
        if query.key <= candidate.key:
            return _Matches(query, candidate, rows, others, ratio)
        order = np.argsort(others, kind="stable")
        return _Matches(candidate, query, others[order], rows[order], ratio[order])

    def _checked(self, found: _Matches, query: LocalFeatures) -> Correspondences:
        """Return the matches that pass the ratio test, from the query, and which of them are inliers."""
        kept = found.up_to(self.config.ratio)
        from_xy, to_xy = kept.one.keypoints_xy[kept.first], kept.other.keypoints_xy[kept.second]
        agrees = agreeing(from_xy, to_xy, self.config.tolerance * max(kept.other.image_size_wh))
        ends = (from_xy, to_xy) if kept.one is query else (to_xy, from_xy)
        return Correspondences(*ends, 1 - kept.ratio, agrees)


@dataclass(frozen=True, eq=False)
class _Matches:
    """Mutual matches of two images, `one` being that with the lower key.

    Checks are not symmetric, so they always run the same way.
    """

    one: LocalFeatures
    other: LocalFeatures
    first: NDArray[np.int64]  # (n,) keypoints of `one`, rising
    second: NDArray[np.int64]  # (n,) keypoints of `other`
    ratio: FloatArray  # (n,) of the ratio test, in [0, 1]

    def up_to(self, most: float) -> _Matches:
        """Return those that pass a stricter ratio test."""
        kept = self.ratio <= most
        return _Matches(self.one, self.other, self.first[kept], self.second[kept], self.ratio[kept])


def distinct_places(matched: Correspondences) -> NDArray[np.int64]:
    """Return rows of the inliers that count: of several at one place of either photograph only the most distinctive.

    A keypoint with two orientations is one place, however often it was matched.
    """
    rows = np.flatnonzero(matched.is_inlier)
    rows = rows[np.argsort(-matched.confidence[rows], kind="stable")]
    for places in (matched.query_xy, matched.gallery_xy):
        as_one = np.ascontiguousarray(places[rows], dtype=np.float32).view(np.int64).ravel()  # x and y in 64 bits
        _, first = np.unique(as_one, return_index=True)
        rows = rows[np.sort(first)]
    return np.sort(rows)


def _check_extractors(query: LocalFeatures, candidates: Sequence[LocalFeatures]) -> None:
    others = {candidate.extractor for candidate in candidates} - {query.extractor}
    if others:
        raise StaleArtefactError(
            f"The features of {query.key} were made by {query.extractor}, those beside them by {min(others)}. "
            "Use another run folder, or overwrite it (--overwrite; in Python overwrite=True)."
        )


@dataclass(frozen=True, eq=False)
class _Compared:
    """What is kept of the similarities of two images' keypoints.

    The best and second best of each row, the best of each column, and each column's best among entries that are not
    the best of their row. Where there is no such entry it is -1.
    """

    best_column: NDArray[np.int64]  # (m,)
    best: FloatArray  # (m,)
    second: FloatArray  # (m,)
    column_best: FloatArray  # (n,)
    column_rest: FloatArray  # (n,)


def _compare(one: FloatArray, other: FloatArray, space: FloatArray) -> _Compared:
    """Compare descriptors (m, d) and (n, d) in `space`, which holds `_ROWS` * n numbers or more.

    Rows are compared a few at a time, so that they are looked through while they are in the cache.
    """
    found = _empty(len(one), len(other), one.dtype)
    for start in range(0, len(one), _ROWS):
        part = one[start : start + _ROWS]
        similarity = space[: len(part) * len(other)].reshape(len(part), len(other))
        np.matmul(part, other.T, out=similarity)
        _look_through(found, slice(start, start + _ROWS), similarity)
    return found


def _empty(m: int, n: int, dtype: np.dtype[np.generic]) -> _Compared:
    best, second = np.empty(m, dtype), np.empty(m, dtype)
    return _Compared(np.empty(m, np.int64), best, second, np.full(n, -np.inf, dtype), np.full(n, -1, dtype))


def _look_through(found: _Compared, rows: slice, similarity: FloatArray) -> None:
    """Fill in what is known of some rows from their similarities, which are changed."""
    column, every = found.best_column[rows], np.arange(len(similarity))
    similarity.argmax(axis=1, out=column)
    np.maximum(found.column_best, similarity.max(axis=0), out=found.column_best)
    found.best[rows] = similarity[every, column]
    similarity[every, column] = -1
    similarity.max(axis=1, initial=-1, out=found.second[rows])
    np.maximum(found.column_rest, similarity.max(axis=0), out=found.column_rest)


def mutual_matches(
    similarity: FloatArray, most_ratio: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    """Return pairs (row, column) that are each other's best and pass the ratio test both ways; rows rise.

    `similarity` (m, n) holds dot products of unit vectors; the ratio is of Euclidean distances, the larger of the two
    directions. Where there is no second neighbour the ratio is 0; two that are equally near are no match.
    """
    found = _empty(len(similarity), similarity.shape[1], similarity.dtype)
    _look_through(found, slice(None), np.array(similarity))
    return _mutual(found, most_ratio)


def _mutual(compared: _Compared, most_ratio: float) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    """Return the mutual matches of compared keypoints."""
    best, column, shape = compared.best, compared.best_column, (len(compared.best), len(compared.column_best))
    ratio = _ratio(best, compared.second, shape[1])
    mutual = best == compared.column_best[column]
    others = compared.column_rest.copy()  # the second best of each column that has a mutual match
    np.maximum.at(others, column[~mutual], best[~mutual])
    several = np.bincount(column[mutual], minlength=shape[1]) > 1  # equally near
    others[several] = compared.column_best[several]
    rows = np.flatnonzero(mutual & (ratio <= most_ratio))
    other_ratio = _ratio(best[rows], others[column[rows]], shape[0])
    kept = other_ratio <= most_ratio
    return rows[kept], column[rows][kept], np.maximum(ratio[rows], other_ratio)[kept]


def _ratio(best: FloatArray, second: FloatArray, neighbours: int) -> FloatArray:
    """Return ratios of distances; infinity where two are equally near, 0 where there is one neighbour alone."""
    if neighbours < 2:
        return np.zeros(len(best), np.float32)
    ratio = np.sqrt(np.maximum(1 - best, 0) / np.maximum(1 - second, 1e-6)).astype(np.float32)
    return np.where(second < best, ratio, np.float32(np.inf))


def agreeing(from_xy: FloatArray, to_xy: FloatArray, tolerance_px: float) -> NDArray[np.bool_]:
    """Return which matches follow the similarity that most follow (RANSAC); none where there are too few."""
    if len(from_xy) < _FEWEST:
        return np.zeros(len(from_xy), dtype=bool)
    _, mask = cv2.estimateAffinePartial2D(
        from_xy, to_xy, method=cv2.RANSAC, ransacReprojThreshold=tolerance_px, maxIters=500, refineIters=0
    )
    return np.zeros(len(from_xy), dtype=bool) if mask is None else mask.ravel().astype(bool)
