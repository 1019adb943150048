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
from animalclef.structures.arrays import Floats, Pixels
from animalclef.training.appearance import out_of_focus, shrunk

__all__ = ["LONG_SIDE_PX", "Source", "View", "Warp", "Warped", "degrade", "draw_warp", "make_views"]

FeatureExtractor = Callable[[NDArray[np.uint8]], LocalFeatures]

LONG_SIDE_PX = 512.0
"""Distances are in pixels of a photograph of this long side."""
_STEP_PX = 8


@dataclass(frozen=True, eq=False)
class Warp:
    """A map from a view to its source: a thin-plate spline, then a homography.

    Places are (x, y) with whole numbers at pixel centres.
    """

    to_source: Floats  # (3, 3) homography from view to source
    controls_xy: Floats  # (k, 2) control points in the view, k = 0 without a spline
    weights: Floats  # (k + 3, 2) of the spline that is added to the view's places first

    @property
    def is_homography(self) -> bool:
        """Return whether there is no spline."""
        return not len(self.controls_xy)

    def source_of(self, places_xy: Floats) -> Floats:
        """Return the source places of places (n, 2) of the view."""
        bent = places_xy
        if not self.is_homography:
            basis = np.concatenate([_kernel(places_xy, self.controls_xy), np.ones((len(bent), 1)), places_xy], axis=1)
            bent = places_xy + basis @ self.weights
        moved = np.concatenate([bent, np.ones((len(bent), 1))], axis=1) @ self.to_source.T
        return np.asarray(moved[:, :2] / moved[:, 2:])

    def source_map(self, size_wh: tuple[int, int]) -> NDArray[np.float32]:
        """Return the source place of every pixel of a view, (H, W, 2), for `cv2.remap`.

        Computed on every eighth pixel and interpolated, which is exact to a few hundredths of a pixel.
        """
        width, height = size_wh
        columns, rows = -(-width // _STEP_PX) + 1, -(-height // _STEP_PX) + 1
        grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2).astype(np.float64)
        coarse = self.source_of(grid * _STEP_PX).reshape(rows, columns, 2).astype(np.float32)
        shrink = np.array([[1 / _STEP_PX, 0, 0], [0, 1 / _STEP_PX, 0]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(coarse, shrink, size_wh, flags=flags), dtype=np.float32)


def draw_warp(size_wh: tuple[int, int], config: WarpConfig, rng: np.random.Generator) -> Warp:
    """Draw a random warp of a photograph of the given size; its middle stays in view."""
    size = np.array(size_wh, dtype=np.float64)
    middle = (size - 1) / 2
    turn = np.radians(rng.uniform(-25, 25) if rng.random() < config.upright else rng.uniform(-180, 180))
    zoom = config.most_zoom ** rng.uniform(-1, 1)
    shift = rng.uniform(-0.1, 0.1, 2) * size
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * (size - 1)
    cos, sin = np.cos(turn) / zoom, np.sin(turn) / zoom
    source = (corners - middle) @ np.array([[cos, sin], [-sin, cos]]) + middle + shift
    source += rng.uniform(-1, 1, (4, 2)) * config.perspective * size / zoom
    to_source = cv2.getPerspectiveTransform(corners.astype(np.float32), source.astype(np.float32))
    controls, weights = np.zeros((0, 2)), np.zeros((0, 2))
    if rng.random() < config.thin_plate:
        lattice = np.stack(np.meshgrid(np.linspace(0, 1, 4), np.linspace(0, 1, 4)), axis=-1).reshape(-1, 2)
        controls = lattice * (size - 1)
        weights = _spline(controls, rng.normal(0, config.bend * size.max(), controls.shape))
    return Warp(np.asarray(to_source, dtype=np.float64), controls, weights)


def _kernel(places_xy: Floats, controls_xy: Floats) -> Floats:
    """Return the thin-plate kernel r^2 log r^2, (n, k)."""
    gap = ((places_xy[:, None] - controls_xy[None]) ** 2).sum(axis=2)
    return np.asarray(gap * np.log(np.maximum(gap, 1e-12)))


def _spline(controls_xy: Floats, offsets: Floats) -> Floats:
    """Return weights (k + 3, 2) of the thin-plate spline that takes each control point to its offset."""
    k = len(controls_xy)
    affine = np.concatenate([np.ones((k, 1)), controls_xy], axis=1)
    left = np.block([[_kernel(controls_xy, controls_xy), affine], [affine.T, np.zeros((3, 3))]])
    return np.asarray(np.linalg.solve(left, np.concatenate([offsets, np.zeros((3, 2))])))


@dataclass(frozen=True, eq=False)
class Warped:
    """A view: its pixels, and a mask of those that show the source, uncovered and within its edges."""

    pixels: Pixels  # (H, W, 3)
    is_source: NDArray[np.bool_]  # (H, W)


def degrade(pixels: Pixels, map_xy: NDArray[np.float32], config: WarpConfig, rng: np.random.Generator) -> Warped:
    """Warp a photograph, and change its light, sharpness, noise and occlusion at random."""
    height, width = pixels.shape[:2]
    border = cv2.BORDER_REFLECT_101 if rng.random() < 0.5 else cv2.BORDER_CONSTANT
    fill = tuple(int(value) for value in rng.integers(0, 256, 3))
    view = cv2.remap(pixels, map_xy, None, cv2.INTER_LINEAR, borderMode=border, borderValue=fill)
    inside = (map_xy >= 0).all(axis=2) & (map_xy <= np.array([width - 1, height - 1])).all(axis=2)
    if rng.random() < config.occlusion:
        view, covered = _occluded(view, rng)
        inside &= ~covered
    if rng.random() < config.light:
        view = _relit(view, rng)
    if rng.random() < config.blur:
        view = out_of_focus(view, rng.uniform(0.5, 2.0)) if rng.random() < 0.5 else shrunk(view, rng.uniform(0.4, 0.9))
    if rng.random() < config.noise:
        grain = np.float32(rng.uniform(2, 12)) * rng.standard_normal(view.shape, dtype=np.float32)
        view = np.clip(view + grain, 0, 255).round().astype(np.uint8)
    return Warped(view, np.asarray(inside))


def _occluded(view: Pixels, rng: np.random.Generator) -> tuple[Pixels, NDArray[np.bool_]]:
    """Cover one to three blobs, plain or filled with another part of the photograph."""
    height, width = view.shape[:2]
    covered = np.zeros((height, width), dtype=np.uint8)
    for _ in range(rng.integers(1, 4)):
        centre = rng.uniform(0, 1, 2) * (width, height)
        angles = np.sort(rng.uniform(0, 2 * np.pi, 8))
        radii = rng.uniform(0.04, 0.2, 8) * max(width, height)
        blob = centre + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        cv2.fillPoly(covered, [blob.round().astype(np.int32)], 1)
    over = np.roll(view, (height // 3, width // 3), axis=(0, 1))
    if rng.random() < 0.5:
        over = np.broadcast_to(rng.integers(0, 256, 3).astype(np.uint8), view.shape)
    return np.where(covered[..., None] > 0, over, view), covered > 0


def _relit(view: Pixels, rng: np.random.Generator) -> Pixels:
    """Change exposure, contrast and white balance, and add a gradient of light across the photograph."""
    height, width = view.shape[:2]
    values = (view.astype(np.float32) / 255) ** np.float32(np.exp(rng.normal(0, 0.3)))
    angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.5)
    x, y = np.linspace(-1, 1, width)[None], np.linspace(-1, 1, height)[:, None]
    slope = (1 + depth * (np.cos(angle) * x + np.sin(angle) * y)).astype(np.float32)
    gain = (np.exp(rng.normal(0, 0.2)) * np.exp(rng.normal(0, 0.06, 3))).astype(np.float32)
    return np.asarray(np.clip(values * slope[..., None] * gain * 255, 0, 255).round(), dtype=np.uint8)


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
