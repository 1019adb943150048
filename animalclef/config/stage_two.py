"""Settings of stage two: local features and matching."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from animalclef.config.base import Settings

__all__ = ["KeypointConfig", "RerankConfig"]


class KeypointConfig(Settings):
    """Stage two: local features."""

    extractor: Literal["sift"] = "sift"
    long_side: int = Field(512, ge=64, description="larger photographs are scaled down to this long side")
    least_long_side: int = Field(256, ge=32, description="smaller photographs are scaled up to this long side")
    max_keypoints: int = Field(512, ge=8)
    contrast_threshold: float = Field(0.02, gt=0)
    equalise: bool = Field(True, description="even out contrast locally before detection (CLAHE)")


class RerankConfig(Settings):
    """Stage two: matching the shortlist."""

    matcher: Literal["mutual-nearest", "none"] = Field(
        "mutual-nearest", description="mutual nearest neighbours, ratio test, geometric verification"
    )
    ratio: float = Field(0.9, gt=0, le=1, description="largest allowed nearest-to-second-nearest distance ratio")
    geometry: Literal["similarity", "affine", "homography"] = "similarity"
    tolerance: float = Field(0.02, gt=0, description="largest reprojection error, as a share of the long side")
