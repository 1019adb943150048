"""Make views of the photographs to train on: local features, and the place of each keypoint on the subject.

All views of one subject share a surface: the photograph itself where all views are warps of it, the animal's coat where
photographs were rendered. Two keypoints of two views are the same point where their places on the surface agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.config.training import WarpConfig
from animalclef.structures import FloatArray, LocalFeatures
from animalclef.training.matcher.known_warps import degrade, draw_warp

__all__ = ["LONG_SIDE_PX", "Source", "View", "make_views"]

FeatureExtractor = Callable[[NDArray[np.uint8]], LocalFeatures]

LONG_SIDE_PX = 512.0
"""Distances are in pixels of a photograph of this long side."""


@dataclass(frozen=True, eq=False)
class Source:
    """A photograph and the surface it shows."""

    pixels: NDArray[np.uint8]  # (H, W, 3)
    surface_xy: FloatArray  # (H, W, 2) place on the surface, any unit
    on_surface: NDArray[np.bool_]  # (H, W)

    @classmethod
    def flat(cls, pixels: NDArray[np.uint8]) -> Source:
        """Return a photograph that is its own surface, in pixels."""
        height, width = pixels.shape[:2]
        grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
        return cls(pixels, grid, np.ones((height, width), dtype=bool))


@dataclass(frozen=True, eq=False)
class View:
    """Local features of one view, and what is known about each keypoint (m)."""

    keypoints_xy: FloatArray  # (m, 2) pixels
    descriptors: NDArray[np.generic]  # (m, d)
    scale: FloatArray  # (m,) pixels
    orientation_rad: FloatArray  # (m,)
    size_wh: NDArray[np.int32]  # (2,)
    surface_xy: FloatArray  # (m, 2) place on the surface
    surface_turn_rad: FloatArray  # (m,) orientation on the surface
    surface_scale: FloatArray  # (m,) scale on the surface
    px_per_unit: FloatArray  # (m,) pixels (of a long side of 512) per surface unit there
    on_surface: NDArray[np.bool_]  # (m,) False: the place is not known, or shows something else
    background: NDArray[np.bool_]  # (m,) True: shows the photograph, but not its subject
    to_source: NDArray[np.float64]  # (3, 3) homography from this view to its photograph, zeros where it is bent

    def __post_init__(self) -> None:
        m = len(self.keypoints_xy)
        for name in ("descriptors", "scale", "surface_xy", "surface_turn_rad", "px_per_unit", "on_surface"):
            if len(getattr(self, name)) != m:
                raise ValueError(f"{name}: expected {m} rows, got {len(getattr(self, name))}.")

    def __len__(self) -> int:
        return len(self.keypoints_xy)

    def entry(self) -> dict[str, NDArray[np.generic]]:
        """Return the arrays by name, to be stored."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def of(cls, entry: Mapping[str, NDArray[np.generic]]) -> View:
        """Return the view of an `entry`."""
        return cls(**entry)  # type: ignore[arg-type]

    def select(self, rows: NDArray[np.int64]) -> View:
        """Return a view of some of the keypoints."""
        whole = {"size_wh", "to_source"}
        return View(**{name: array if name in whole else array[rows] for name, array in self.entry().items()})  # type: ignore[arg-type]


def make_views(source: Source, extract: FeatureExtractor, config: WarpConfig, rng: np.random.Generator) -> list[View]:
    """Return the photograph as it is, and `config.views - 1` warped and degraded views of it."""
    height, width = source.pixels.shape[:2]
    views = [_extracted(source, ~source.on_surface, np.eye(3), extract)]
    for _ in range(config.views - 1):
        warp = draw_warp((width, height), config, rng)
        map_xy = warp.source_map((width, height))
        seen = degrade(source.pixels, map_xy, config, rng)
        surface = cv2.remap(source.surface_xy, map_xy, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        shown = cv2.remap(source.on_surface.astype(np.uint8), map_xy, None, cv2.INTER_NEAREST) > 0
        known, background = shown & seen.is_source, ~shown & seen.is_source
        homography = warp.to_source if warp.is_homography else np.zeros((3, 3))
        views.append(_extracted(Source(seen.pixels, surface, known), background, homography, extract))
    return views


def _extracted(
    seen: Source, background: NDArray[np.bool_], to_source: NDArray[np.float64], extract: FeatureExtractor
) -> View:
    """Extract features, with the surface map read at each keypoint."""
    height, width = seen.pixels.shape[:2]
    features = extract(seen.pixels)
    nearest = np.clip(np.round(features.keypoints_xy), 0, [width - 1, height - 1]).astype(np.int64)
    column, row = nearest.T
    jacobian = _jacobian(seen.surface_xy, column, row)
    area = np.abs(np.linalg.det(jacobian))
    place = seen.surface_xy[row, column] + np.einsum("nij,nj->ni", jacobian, features.keypoints_xy - nearest)
    angle = features.orientation_rad
    forward = np.einsum("nij,nj->ni", jacobian, np.stack([np.cos(angle), np.sin(angle)], axis=1))
    unit_per_px = np.sqrt(np.maximum(area, 1e-12))
    return View(
        keypoints_xy=features.keypoints_xy,
        descriptors=features.descriptors,
        scale=features.scale,
        orientation_rad=angle,
        size_wh=np.array([width, height], dtype=np.int32),
        surface_xy=place.astype(np.float32),
        surface_turn_rad=np.arctan2(forward[:, 1], forward[:, 0]).astype(np.float32),
        surface_scale=(features.scale * unit_per_px).astype(np.float32),
        px_per_unit=(LONG_SIDE_PX / max(width, height) / unit_per_px).astype(np.float32),
        on_surface=seen.on_surface[row, column] & (area > 1e-12),
        background=background[row, column],
        to_source=to_source,
    )


def _jacobian(surface_xy: FloatArray, column: NDArray[np.int64], row: NDArray[np.int64]) -> FloatArray:
    """Return the change of the surface place per pixel, (n, 2, 2); the last axis is x, y of the photograph."""
    height, width = surface_xy.shape[:2]
    left, right = np.maximum(column - 1, 0), np.minimum(column + 1, width - 1)
    above, below = np.maximum(row - 1, 0), np.minimum(row + 1, height - 1)
    along_x = (surface_xy[row, right] - surface_xy[row, left]) / np.maximum(right - left, 1)[:, None]
    along_y = (surface_xy[below, column] - surface_xy[above, column]) / np.maximum(below - above, 1)[:, None]
    return np.stack([along_x, along_y], axis=2)
