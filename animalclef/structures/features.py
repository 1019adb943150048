"""Keypoints of one image, and those that two images share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NewType

import numpy as np
from numpy.typing import NDArray

from animalclef.structures.arrays import BoolArray, FloatArray, check_shape

__all__ = ["ContentKey", "Correspondences", "LocalFeatures", "MatchKey"]

ContentKey = NewType("ContentKey", str)
"""Digest of a file's bytes and its box: the key of its features in a store."""

MatchKey = NewType("MatchKey", str)
"""The content key, or a digest of it with mask and view: one side of a pair in the pair log."""


@dataclass(frozen=True, eq=False)
class LocalFeatures:
    """Keypoints of one image with a descriptor each; `key` is the match key."""

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
        check_shape("scale", self.scale, (m,))
        check_shape("orientation_rad", self.orientation_rad, (m,))
        if self.confidence is not None:
            check_shape("confidence", self.confidence, (m,))

    def __len__(self) -> int:
        return len(self.keypoints_xy)

    def select(self, rows: NDArray[np.generic]) -> LocalFeatures:
        """The given keypoints (indices or a mask), in that order."""
        names = ("keypoints_xy", "descriptors", "scale", "orientation_rad")
        confidence = None if self.confidence is None else self.confidence[rows]
        return replace(self, confidence=confidence, **{name: getattr(self, name)[rows] for name in names})


@dataclass(frozen=True, eq=False)
class Correspondences:
    """Matched keypoints of one pair of images, for drawing; the scores of a pair are counted from these."""

    query_xy: FloatArray  # (n, 2) pixels of the query at its original size
    gallery_xy: FloatArray  # (n, 2)
    confidence: FloatArray  # (n,) in [0, 1]
    is_inlier: BoolArray  # (n,) agrees with the one transform that most follow
    is_outside: BoolArray | None = None  # (n,) an end lies outside its animal's mask; None where no mask is known

    def __post_init__(self) -> None:
        n = len(self.query_xy)
        check_shape("query_xy", self.query_xy, (n, 2))
        check_shape("gallery_xy", self.gallery_xy, (n, 2))
        check_shape("confidence", self.confidence, (n,))
        check_shape("is_inlier", self.is_inlier, (n,))
        if self.is_outside is not None:
            check_shape("is_outside", self.is_outside, (n,))

    def __len__(self) -> int:
        return len(self.query_xy)
