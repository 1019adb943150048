"""The matcher without weights: mutual nearest neighbours, the ratio test and a geometric check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.config import RerankConfig
from animalclef.errors import StaleArtefactError
from animalclef.features.local.unit_descriptors import comparable
from animalclef.matching.jobs import FeatureReader, IsDone, Job, Matched, by_query
from animalclef.structures import Correspondences, FloatArray, LocalFeatures

__all__ = ["MutualNearest"]


class MutualNearest:
    """Scores of a pair: `matches` after the ratio test, `inliers` that agree on one transform, `inlier_weight`.

    Inliers are counted by distinct places.

    `inlier_weight` sums (1 - ratio) over the inliers, in units of 0.1: a distinctive match counts more than a doubtful
    one.
    """

    columns = ("matches", "inliers", "inlier_weight")

    def __init__(self, config: RerankConfig) -> None:
        self.config = config

    def match(self, query: LocalFeatures, candidates: Sequence[LocalFeatures]) -> FloatArray:
        """Scores of one image against several, (candidates, 3); (a, b) and (b, a) score the same."""
        scores = np.zeros((len(candidates), len(self.columns)), dtype=np.float32)
        filled = [row for row, candidate in enumerate(candidates) if len(candidate)]
        _check_extractors(query, candidates)
        if not len(query) or not filled:
            return scores
        descriptors = comparable(query.descriptors)
        for block in _blocks(filled, [len(candidate) for candidate in candidates], len(query)):
            together = comparable(np.concatenate([candidates[row].descriptors for row in block]))
            ends = np.cumsum([len(candidates[row]) for row in block])[:-1]
            for row, similarity in zip(block, np.split(descriptors @ together.T, ends, axis=1), strict=True):
                scores[row] = self._score(query, candidates[row], similarity)
        return scores

    def match_jobs(self, jobs: Sequence[Job], is_done: IsDone, read: FeatureReader, workers: int) -> Iterator[Matched]:
        """One batch per query, holding what is not done."""
        return by_query(self.match, jobs, is_done, read, workers)

    def at_once(self, workers: int) -> int:
        """Queries that are matched at the same time."""
        return workers

    def correspondences(self, query: LocalFeatures, candidate: LocalFeatures) -> Correspondences:
        """The matches that the scores of the pair are counted from; confidence is 1 - ratio."""
        _check_extractors(query, [candidate])
        if not len(query) or not len(candidate):
            none_xy, nothing = np.zeros((0, 2), np.float32), np.zeros(0, np.float32)
            return Correspondences(none_xy, none_xy, nothing, np.zeros(0, dtype=bool))
        similarity = comparable(query.descriptors) @ comparable(candidate.descriptors).T
        return self._matched(query, candidate, similarity)

    def _score(self, query: LocalFeatures, candidate: LocalFeatures, similarity: FloatArray) -> FloatArray:
        matched = self._matched(query, candidate, similarity)
        counted = distinct_places(matched)
        weight = 10 * matched.confidence[counted].sum()
        return np.array([len(matched), len(counted), weight], dtype=np.float32)

    def _matched(self, query: LocalFeatures, candidate: LocalFeatures, similarity: FloatArray) -> Correspondences:
        first, second, ratio = mutual_matches(similarity, self.config.ratio)
        swapped = candidate.key < query.key  # the geometric check is not symmetric: it always runs the same way
        if swapped:
            order = np.argsort(second, kind="stable")
            first, second, ratio = first[order], second[order], ratio[order]
        query_xy, gallery_xy = query.keypoints_xy[first], candidate.keypoints_xy[second]
        goal = query if swapped else candidate
        tolerance_px = self.config.tolerance * max(goal.image_size_wh)
        ends = (gallery_xy, query_xy) if swapped else (query_xy, gallery_xy)
        agrees = agreeing(*ends, self.config.geometry, tolerance_px)
        return Correspondences(query_xy, gallery_xy, 1 - ratio, agrees)


def distinct_places(matched: Correspondences) -> NDArray[np.int64]:
    """Return rows of the inliers that count: of several at one place of either photograph only the most distinctive.

    A keypoint with two orientations is one place, however often it was matched.
    """
    rows = np.flatnonzero(matched.is_inlier)
    rows = rows[np.argsort(-matched.confidence[rows], kind="stable")]
    for places in (matched.query_xy, matched.gallery_xy):
        _, first = np.unique(places[rows], axis=0, return_index=True)
        rows = rows[np.sort(first)]
    return np.sort(rows)


def _blocks(rows: Sequence[int], sizes: Sequence[int], keypoints: int, most: int = 1 << 20) -> Iterator[list[int]]:
    """Yield candidates that are compared in one product, so many that its result fits the cache (4 MiB)."""
    block: list[int] = []
    for row in rows:
        if block and (len(block) == 8 or (sum(sizes[one] for one in block) + sizes[row]) * keypoints > most):
            yield block
            block = []
        block.append(row)
    if block:
        yield block


def _check_extractors(query: LocalFeatures, candidates: Sequence[LocalFeatures]) -> None:
    others = {candidate.extractor for candidate in candidates} - {query.extractor}
    if others:
        raise StaleArtefactError(
            f"The features of {query.key} were made by {query.extractor}, those beside them by {min(others)}. "
            "Use another --run, or --overwrite."
        )


def mutual_matches(
    similarity: FloatArray, most_ratio: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    """Pairs (row, column) that are each other's best and pass the ratio test in both directions; rows rise.

    `similarity` (m, n) holds dot products of unit vectors; the ratio is of Euclidean distances, the larger of the two
    directions. Where there is no second neighbour the ratio is 0; two that are equally near are no match.
    """
    every = np.arange(len(similarity))
    best_column = similarity.argmax(axis=1)
    best = similarity[every, best_column]
    rows = np.flatnonzero(best == similarity.max(axis=0)[best_column])
    rows, ratio = _passing(similarity[rows], rows, best_column[rows], most_ratio)
    columns = best_column[rows]
    kept, other_ratio = _passing(similarity[:, columns].T, np.arange(len(rows)), rows, most_ratio)
    return rows[kept], columns[kept], np.maximum(ratio[kept], other_ratio)


def _passing(
    similarity: FloatArray, names: NDArray[np.int64], best: NDArray[np.int64], most_ratio: float
) -> tuple[NDArray[np.int64], FloatArray]:
    """Names of the rows whose best column passes the ratio test against their second best, and their ratios."""
    every = np.arange(len(similarity))
    first = similarity[every, best]
    if similarity.shape[1] < 2:
        return names, np.zeros(len(names), np.float32)
    others = np.array(similarity, order="C")
    others[every, best] = -1
    second = others.max(axis=1, initial=-1)
    ratio = np.sqrt(np.maximum(1 - first, 0) / np.maximum(1 - second, 1e-6)).astype(np.float32)
    kept = (ratio <= most_ratio) & (second < first)
    return names[kept], ratio[kept]


def agreeing(from_xy: FloatArray, to_xy: FloatArray, geometry: str, tolerance_px: float) -> NDArray[np.bool_]:
    """Which matches follow the one transform that most follow; none where there are too few to tell."""
    needed = {"similarity": 3, "affine": 4, "homography": 5}[geometry]
    if len(from_xy) < needed:
        return np.zeros(len(from_xy), dtype=bool)
    if geometry == "homography":
        _, mask = cv2.findHomography(from_xy, to_xy, cv2.USAC_MAGSAC, tolerance_px, maxIters=1000, confidence=0.999)
    elif geometry == "affine":
        _, mask = cv2.estimateAffine2D(
            from_xy, to_xy, method=cv2.RANSAC, ransacReprojThreshold=tolerance_px, maxIters=500, refineIters=0
        )
    else:
        _, mask = cv2.estimateAffinePartial2D(
            from_xy, to_xy, method=cv2.RANSAC, ransacReprojThreshold=tolerance_px, maxIters=500, refineIters=0
        )
    return np.zeros(len(from_xy), dtype=bool) if mask is None else mask.ravel().astype(bool)
