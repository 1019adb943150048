"""Build bodies of ribbons: tapered bands along a curve, each with a map of its skin to the coat sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicHermiteSpline, PchipInterpolator

from animalclef.structures.arrays import FloatArray
from animalclef.synthetic.fields import floats, smoothstep

__all__ = ["BodyMap", "Camera", "Ribbon", "curve", "draw_body", "ribbon", "widths"]

_STEP_PX = 2  # geometry is worked out on every second pixel and drawn up smoothly
_FAR = -9.0


@dataclass(frozen=True, eq=False)
class Ribbon:
    """One part of a body in rest and in pose, body units (x to the head, y down)."""

    rest_xy: FloatArray  # (n, 2) curve on the coat sheet
    pose_xy: FloatArray  # (n, 2) the same points in the photograph's body plane
    half_width: FloatArray  # (n, 2) on the left and on the right of the curve
    lift: float = 0.0  # height of the part's rim above the body plane
    depth: float = 1.0  # roundness: height of the middle line over half width
    blend: float = 0.05  # height range in which the part merges with what lies below
    roll_rad: float = 0.0  # turn about the curve: slides the skin across
    wrap: float = 1.0  # 1 winds the sheet round the part, 0 lays it flat
    dim: float = 1.0  # brightness (far legs are darker)

    def __post_init__(self) -> None:
        n = len(self.rest_xy)
        if not self.rest_xy.shape == self.pose_xy.shape == self.half_width.shape == (n, 2) or n < 3:
            shapes = (self.rest_xy.shape, self.pose_xy.shape, self.half_width.shape)
            raise ValueError(f"A ribbon needs three arrays of one shape (n >= 3, 2), got {shapes}.")


@dataclass(frozen=True, eq=False)
class Camera:
    """Affine view: pixel = linear @ body + offset."""

    linear: NDArray[np.float64]  # (2, 2) pixels per body unit
    offset_xy: NDArray[np.float64]  # (2,) pixels
    image_size_wh: tuple[int, int]

    @property
    def px_per_unit(self) -> float:
        """Return the geometric mean scale."""
        return float(np.sqrt(abs(np.linalg.det(self.linear))))


@dataclass(frozen=True, eq=False)
class BodyMap:
    """A body as the camera sees it, one value per pixel."""

    alpha: FloatArray  # (H, W) 0-1
    sheet_xy: FloatArray  # (H, W, 2) place on the coat sheet, body units
    height: FloatArray  # (H, W) towards the camera, pixels
    dim: FloatArray  # (H, W) brightness of the part


def curve(points_xy: Sequence[tuple[float, float]] | FloatArray, n: int = 28) -> FloatArray:
    """Return a smooth curve (n, 2) through the control points."""
    points = np.asarray(points_xy, dtype=np.float64)
    chord = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    slopes = np.gradient(points, chord, axis=0)
    return floats(CubicHermiteSpline(chord, points, slopes)(np.linspace(0.0, chord[-1], n)))


def widths(values: Sequence[float] | FloatArray, n: int = 28) -> FloatArray:
    """Return half widths (n,) smoothly through evenly spread values, never below 0.004."""
    knots = np.linspace(0.0, 1.0, len(values))
    drawn = floats(PchipInterpolator(knots, values)(np.linspace(0.0, 1.0, n)))
    return np.maximum(drawn, np.float32(0.004))


def ribbon(
    rest: Sequence[tuple[float, float]],
    pose: Sequence[tuple[float, float]] | FloatArray,
    left: Sequence[float],
    right: Sequence[float] | None = None,
    *,
    n: int = 28,
    **settings: float,
) -> Ribbon:
    """Return a part from control points and half widths (left and right are equal when only one is given)."""
    sides = np.stack([widths(left, n), widths(left if right is None else right, n)], axis=1)
    return Ribbon(curve(rest, n), curve(pose, n), sides, **settings)


def draw_body(ribbons: Sequence[Ribbon], camera: Camera) -> BodyMap:
    """Merge the parts, first to last, into the maps a renderer needs."""
    width, height = camera.image_size_wh
    columns = np.arange(0, width + _STEP_PX, _STEP_PX, dtype=np.float32)
    rows = np.arange(0, height + _STEP_PX, _STEP_PX, dtype=np.float32)
    # Planes: rim distance, height, sheet x, sheet y, brightness.
    planes = np.zeros((5, len(rows), len(columns)), dtype=np.float32)
    planes[:2] = _FAR
    planes[4] = 1.0
    for part in ribbons:
        _merge(planes, part, camera)
    return _full_size(planes, camera)


def _merge(planes: FloatArray, part: Ribbon, camera: Camera) -> None:
    """Draw one part over the planes (in place; they belong to `draw_body`)."""
    window = _window(part, camera, planes.shape[1:])
    if window is None:
        return
    rows, columns = window
    grid_x, grid_y = np.meshgrid(np.arange(columns.start, columns.stop), np.arange(rows.start, rows.stop))
    pixels = np.stack([grid_x, grid_y], axis=-1).reshape(-1, 2).astype(np.float32) * np.float32(_STEP_PX)
    body_xy = (pixels - np.float32(camera.offset_xy)) @ np.linalg.inv(camera.linear).T.astype(np.float32)
    rim, top, sheet = _surface(part, body_xy)
    shape = (rows.stop - rows.start, columns.stop - columns.start)
    view = planes[:, rows, columns]
    new = np.stack([rim, top, sheet[:, 0], sheet[:, 1], np.full_like(rim, part.dim)]).reshape(5, *shape)
    share = np.clip(0.5 + 0.5 * (new[1] - view[1]) / part.blend, 0.0, 1.0)
    share = share * share * (3.0 - 2.0 * share)
    # Beside what is already drawn the nearer part always wins, however low it lies.
    share = np.maximum(share, smoothstep(0.0, -0.012, view[0]) * (new[0] > view[0]))
    view[0] = np.maximum(view[0], new[0])
    view[1:] += share * (new[1:] - view[1:])


def _window(part: Ribbon, camera: Camera, shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    """Return grid rows and columns that the part can touch, or None when it lies outside."""
    margin = (float(part.half_width.max()) + 0.06) * float(np.linalg.norm(camera.linear, 2))
    points = part.pose_xy @ camera.linear.T + camera.offset_xy
    low = np.maximum(np.floor((points.min(axis=0) - margin) / _STEP_PX).astype(int), 0)
    high = np.minimum(np.ceil((points.max(axis=0) + margin) / _STEP_PX).astype(int) + 1, [shape[1], shape[0]])
    if (high <= low).any():
        return None
    return slice(low[1], high[1]), slice(low[0], high[0])


def _surface(part: Ribbon, points_xy: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return rim distance (m,), height (m,) and sheet place (m, 2) of the points (m, 2), all in body units."""
    along, across, over = _along(part.pose_xy, points_xy)
    left, right = _sample(part.half_width, along).T
    width = np.where(across < 0, left, right)
    reach = np.hypot(across, over)
    rim = width - reach
    bulge = np.sqrt(np.maximum(1.0 - (reach / width) ** 2, 0.0))
    middle = np.sqrt(left * right)  # an uneven part is as thick as its mean width
    top = part.lift + part.depth * middle * bulge - 4.0 * np.maximum(-rim, 0.0)
    sheet = _skin(part, along, across / width, width, over)
    return rim, top.astype(np.float32), sheet


def _skin(part: Ribbon, along: FloatArray, ratio: FloatArray, width: FloatArray, over: FloatArray) -> FloatArray:
    """Return sheet places (m, 2): curve parameter `along`, relative offset `ratio` (-1..1), `over` past an end."""
    clipped = np.clip(ratio, -1.0, 1.0)
    angle = 0.8 * (np.arcsin(clipped) + np.float32(part.roll_rad)) + (ratio - clipped)
    offset = width * (part.wrap * angle + (1.0 - part.wrap) * ratio)
    centre = _sample(part.rest_xy, along)
    normal = _sample(_normals(part.rest_xy), along)
    ahead = np.stack([normal[:, 1], -normal[:, 0]], axis=1) * np.where(along <= 0, -over, over)[:, None]
    return floats(centre + normal * offset[:, None] + ahead)


def _normals(points_xy: FloatArray) -> FloatArray:
    """Return unit normals (n, 2): the tangent turned a quarter towards +y when it points to +x."""
    tangent = np.gradient(points_xy, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
    return np.stack([-tangent[:, 1], tangent[:, 0]], axis=1).astype(np.float32)


def _sample(table: FloatArray, along: FloatArray) -> FloatArray:
    """Return rows of `table` (n, k) at fractional positions `along` (m,), linear in between, (m, k)."""
    place = np.clip(along, 0.0, len(table) - 1.0)
    low = np.minimum(place.astype(np.intp), len(table) - 2)
    share = (place - low)[:, None]
    return floats(table[low] * (1.0 - share) + table[low + 1] * share)


def _along(curve_xy: FloatArray, points_xy: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the nearest curve place: index (m,) in samples, signed offset (m,), distance past an end (m,)."""
    nearest = np.argmin((curve_xy**2).sum(axis=1) - 2.0 * points_xy @ curve_xy.T, axis=1)
    tangent = np.gradient(curve_xy, axis=0)
    spacing = np.linalg.norm(tangent, axis=1) + 1e-9
    tangent = tangent / spacing[:, None]
    normal = _normals(curve_xy)
    bend = np.gradient(np.unwrap(np.arctan2(tangent[:, 1], tangent[:, 0]))) / spacing
    delta = points_xy - curve_xy[nearest]
    across = (delta * normal[nearest]).sum(axis=1)
    ahead = (delta * tangent[nearest]).sum(axis=1)
    # Arc length runs faster on the inside of a bend: correct the step by its curvature.
    ahead = ahead / np.clip(1.0 - bend[nearest] * across, 0.4, 2.5)
    across = across - 0.5 * bend[nearest] * ahead**2
    last = len(curve_xy) - 1
    past = np.where(nearest == 0, np.maximum(-ahead, 0), np.where(nearest == last, np.maximum(ahead, 0), 0))
    index = np.clip(nearest + ahead / spacing[nearest], 0, last)
    return index.astype(np.float32), across.astype(np.float32), past.astype(np.float32)


def _full_size(planes: FloatArray, camera: Camera) -> BodyMap:
    """Draw the coarse planes up to the image and turn the rim distance into an antialiased mask."""
    width, height = camera.image_size_wh
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    matrix = np.array([[1 / _STEP_PX, 0, 0], [0, 1 / _STEP_PX, 0]])
    rim, top, sheet_x, sheet_y, dim = (
        floats(cv2.warpAffine(plane, matrix, (width, height), flags=flags)) for plane in planes
    )
    rim_px = np.clip(rim * camera.px_per_unit, -4.0, 4.0)
    alpha = np.clip(0.5 + rim_px / np.maximum(np.hypot(*np.gradient(rim_px)), 0.3), 0.0, 1.0)
    return BodyMap(
        alpha=alpha.astype(np.float32),
        sheet_xy=np.stack([sheet_x, sheet_y], axis=-1),
        height=np.maximum(top, -0.05) * np.float32(camera.px_per_unit),
        dim=dim,
    )
