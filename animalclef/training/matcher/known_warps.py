"""Warp a photograph so that the origin of every pixel is known: homography, thin plate, light, blur, occlusion."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.config.training import WarpConfig
from animalclef.structures.arrays import Floats, Pixels
from animalclef.training.appearance import out_of_focus, shrunk

__all__ = ["Warp", "Warped", "degrade", "draw_warp"]

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
