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

    matcher: Literal["mutual-nearest", "lightglue", "none"] = Field(
        "mutual-nearest", description="mutual nearest neighbours with a ratio test, or LightGlue; both verified"
    )
    ratio: float = Field(0.9, gt=0, le=1, description="largest allowed nearest-to-second-nearest distance ratio")
    geometry: Literal["similarity", "affine", "homography"] = "similarity"
    tolerance: float = Field(0.02, gt=0, description="largest reprojection error, as a share of the long side")
    backend: Literal["kornia", "lightglue"] = Field(
        "kornia", description="LightGlue: whose code runs it; lightglue is the original package, installed by hand"
    )
    weights: str | None = Field(
        None, description="LightGlue: a weight file or the name of one; default: the one for keypoints.extractor"
    )
    depth_confidence: float | None = Field(
        None, ge=-1, le=1, description="LightGlue: a pair with this share of settled keypoints is done; -1: never"
    )
    width_confidence: float | None = Field(
        None, ge=-1, le=1, description="LightGlue: keypoints this surely without a match are dropped; -1: none"
    )
    filter_threshold: float | None = Field(None, ge=0, lt=1, description="LightGlue: least confidence of a match")
    batch_size: int = Field(32, ge=1, description="LightGlue: pairs that are matched and logged together")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="LightGlue: bfloat16 where the device has units for it, float16 on older GPUs"
    )
    compile: bool = Field(False, description="LightGlue: compile the network first (minutes, worth it on a GPU)")
    verify: bool = Field(True, description="LightGlue: count the matches that agree on one transform")
