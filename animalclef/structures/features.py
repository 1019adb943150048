"""Keypoints of one image, and those that two images share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

import numpy as np
from numpy.typing import NDArray

from animalclef.runtime.wording import counted
from animalclef.structures.arrays import BoolArray, FloatArray, check_rows, check_shape, select_rows

__all__ = ["ContentKey", "Correspondences", "LocalFeatures", "MatchKey"]

ContentKey = NewType("ContentKey", str)
"""Digest of a file's bytes and its box: the key of its features in a store."""

MatchKey = NewType("MatchKey", str)
"""The content key, or a digest of it with mask and view: one side of a pair in the pair log."""


@dataclass(frozen=True, eq=False)
class LocalFeatures:
    """Keypoints of one image with a descriptor each; `key` is the match key.

    >>> one = np.ones(1, np.float32)
    >>> LocalFeatures(MatchKey("k"), np.ones((1, 2), np.float32), np.ones((1, 128)), one, one, (640, 480))
    LocalFeatures(1 keypoint x 128, sift, of an image of 640 x 480)
    """

    key: MatchKey
    keypoints_xy: FloatArray  # (m, 2) pixels of the image at its original size
    descriptors: NDArray[np.generic]  # (m, d)
    scale: FloatArray  # (m,) diameter in pixels
    orientation_rad: FloatArray  # (m,)
    image_size_wh: tuple[int, int]
    confidence: FloatArray | None = None  # (m,) detection score, the higher the surer; None where there is none
    extractor: str = "sift"  # descriptors of different extractors cannot be compared

    def __post_init__(self) -> None:
        m = len(self.keypoints_xy)
        check_shape("keypoints_xy", self.keypoints_xy, (m, 2))
        check_shape("descriptors", self.descriptors, (m, None))
        check_rows(self, m, "scale", "orientation_rad", "confidence")

    def __len__(self) -> int:
        return len(self.keypoints_xy)

    def __repr__(self) -> str:
        width, height = self.image_size_wh
        size = f"{counted(len(self), 'keypoint')} x {self.descriptors.shape[1]}"
        return f"LocalFeatures({size}, {self.extractor}, of an image of {width} x {height})"

    def select(self, rows: NDArray[np.generic]) -> LocalFeatures:
        """Return the given keypoints (indices or a mask), in that order."""
        return select_rows(self, rows, "keypoints_xy", "descriptors", "scale", "orientation_rad", "confidence")


@dataclass(frozen=True, eq=False)
class Correspondences:
    """Matched keypoints of one pair of images, for drawing; the scores of a pair are counted from these.

    >>> ends = np.zeros((2, 2), np.float32)
    >>> Correspondences(ends, ends, np.ones(2, np.float32), np.array([True, False]))
    Correspondences(2 matched keypoints, 1 inlier)
    """

    query_xy: FloatArray  # (n, 2) pixels of the query at its original size
    gallery_xy: FloatArray  # (n, 2)
    confidence: FloatArray  # (n,) in [0, 1]
    is_inlier: BoolArray  # (n,) agrees with the one transform that most follow
    is_outside: BoolArray | None = None  # (n,) an end lies outside its animal's mask; None where no mask is known

    def __post_init__(self) -> None:
        n = len(self.query_xy)
        check_shape("query_xy", self.query_xy, (n, 2))
        check_shape("gallery_xy", self.gallery_xy, (n, 2))
        check_rows(self, n, "confidence", "is_inlier", "is_outside")

    def __len__(self) -> int:
        return len(self.query_xy)

    def __repr__(self) -> str:
        return (
            f"Correspondences({counted(len(self), 'matched keypoint')}, {counted(int(self.is_inlier.sum()), 'inlier')})"
        )
