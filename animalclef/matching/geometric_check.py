"""Check matches by geometry: which of them follow the one transform that most follow, and how many places they are.

A keypoint of SIFT has an orientation and a size besides its place. A chance match rarely turns and grows as the
transform does, even where its place fits, so all three are asked (as in HotSpotter, Crall et al. 2013).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.structures import Correspondences, FloatArray, LocalFeatures

__all__ = ["agreeing", "distinct_places", "inliers_of"]

Bools = NDArray[np.bool_]
Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
Numbers = NDArray[np.floating]

_MOST_TURN_RAD = np.radians(30)
_MOST_GROWTH = 1.5  # of a keypoint's size beside that of the transform, either way


def inliers_of(
    start: LocalFeatures, goal: LocalFeatures, rows: tuple[Rows, Rows], geometry: str, tolerance: float
) -> Bools:
    """Return which matches (keypoint rows of both images) follow one transform from `start` to `goal`, (n,).

    `tolerance` is a share of the goal's long side. Orientations and sizes count where both images' features have them.
    """
    from_xy, to_xy = start.keypoints_xy[rows[0]], goal.keypoints_xy[rows[1]]
    kept, transform = _agreeing(from_xy, to_xy, geometry, tolerance * max(goal.image_size_wh))
    if transform is None or not (start.has_shapes and goal.has_shapes):
        return kept
    first, second = rows[0][kept], rows[1][kept]
    angle_rad = start.orientation_rad[first]
    turn_rad, growth = (
        goal.orientation_rad[second] - angle_rad,
        goal.scale[second] / np.maximum(start.scale[first], 1e-6),
    )
    kept[kept] = _turn_and_grow_along(transform, from_xy[kept], angle_rad, turn_rad, growth)
    return kept


def agreeing(from_xy: FloatArray, to_xy: FloatArray, geometry: str, tolerance_px: float) -> Bools:
    """Return which places follow the transform that most follow (RANSAC), (n,); none where there are too few."""
    return _agreeing(from_xy, to_xy, geometry, tolerance_px)[0]


def _agreeing(
    from_xy: FloatArray, to_xy: FloatArray, geometry: str, tolerance_px: float
) -> tuple[Bools, Floats | None]:
    """Return which places follow the transform that most follow, and the transform, (2, 3) or (3, 3)."""
    nothing = np.zeros(len(from_xy), dtype=bool)
    needed = {"similarity": 3, "affine": 4, "homography": 5}[geometry]
    if len(from_xy) < needed:
        return nothing, None
    if geometry == "homography":
        found, mask = cv2.findHomography(from_xy, to_xy, cv2.USAC_MAGSAC, tolerance_px, maxIters=1000, confidence=0.999)
    else:
        estimate = cv2.estimateAffine2D if geometry == "affine" else cv2.estimateAffinePartial2D
        found, mask = estimate(
            from_xy, to_xy, method=cv2.RANSAC, ransacReprojThreshold=tolerance_px, maxIters=500, refineIters=0
        )
    return (nothing, None) if mask is None else (mask.ravel().astype(bool), found)


def _turn_and_grow_along(
    transform: Floats, from_xy: FloatArray, angle_rad: Numbers, turn_rad: Numbers, growth: Numbers
) -> Bools:
    """Return which keypoints turn and grow as the transform does at their place, (n,).

    `angle_rad` are orientations in the first image; `turn_rad` and `growth` say how they and the sizes change.
    """
    change = _jacobians(transform, from_xy)
    ahead = np.stack([np.cos(angle_rad), np.sin(angle_rad)], axis=1)
    there = (change * ahead[:, None, :]).sum(axis=2)
    turned = np.arctan2(there[:, 1], there[:, 0]) - angle_rad
    area = np.abs(change[:, 0, 0] * change[:, 1, 1] - change[:, 0, 1] * change[:, 1, 0])
    grown = np.sqrt(np.maximum(area, 1e-12))
    off = np.abs(np.mod(turn_rad - turned + np.pi, 2 * np.pi) - np.pi)
    ratio = np.abs(np.log(np.maximum(growth, 1e-6) / grown))
    return np.asarray((off <= _MOST_TURN_RAD) & (ratio <= np.log(_MOST_GROWTH)))


def _jacobians(transform: Floats, from_xy: FloatArray) -> Floats:
    """Return the transform's linear part at each place, (n, 2, 2)."""
    if transform.shape[0] == 2:
        return np.broadcast_to(transform[:, :2], (len(from_xy), 2, 2))
    homogeneous = np.column_stack([from_xy, np.ones(len(from_xy))]) @ transform.T
    depth = homogeneous[:, 2]
    depth = np.where(np.abs(depth) < 1e-9, 1e-9, depth)[:, None, None]
    there = homogeneous[:, :2, None] / depth
    return np.asarray((transform[:2, :2] - there * transform[2:, :2]) / depth)


def distinct_places(matched: Correspondences) -> Rows:
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
