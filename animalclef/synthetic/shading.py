"""Light a body: rounded shading, contact darkness, wet highlights and its shadow."""

from __future__ import annotations

import cv2
import numpy as np

from animalclef.structures.arrays import FloatArray
from animalclef.synthetic.coats import Coat
from animalclef.synthetic.fields import floats, fractal_noise, smoothstep, wide_blur
from animalclef.synthetic.ribbons import BodyMap
from animalclef.synthetic.visits import Light

__all__ = ["ground_shadow", "lit_body", "ragged", "shadow_below"]


def lit_body(body: BodyMap, coat: Coat, light: Light, gloss: float, px_per_unit: float) -> FloatArray:
    """Return the reflected light, linear RGB (H, W, 3); 0 in rows and columns that the body does not reach."""
    picture = np.zeros((*body.alpha.shape, 3), dtype=np.float32)
    reached = np.flatnonzero(body.alpha.max(axis=1) > 0), np.flatnonzero(body.alpha.max(axis=0) > 0)
    if len(reached[0]):
        window = tuple(slice(max(int(at[0]) - 6, 0), int(at[-1]) + 7) for at in reached)
        part = BodyMap(body.alpha[window], body.sheet_xy[window], body.height[window], body.dim[window])
        picture[window] = _lit(part, coat, light, gloss, px_per_unit)
    return picture


def _lit(body: BodyMap, coat: Coat, light: Light, gloss: float, px_per_unit: float) -> FloatArray:
    texel = coat.sheet.texel(body.sheet_xy)
    u, v = np.ascontiguousarray(texel[..., 0]), np.ascontiguousarray(texel[..., 1])
    skin = floats(cv2.remap(coat.colour, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))
    relief = floats(cv2.remap(coat.relief, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))
    normal = _normals(body.height, relief * px_per_unit)
    lamp = np.array(light.towards_xyz, dtype=np.float32)
    facing = np.clip((normal @ lamp + 0.15) / 1.15, 0.0, 1.0)[..., None]
    openness = _openness(body, px_per_unit)
    sky = (0.62 - 0.38 * normal[..., 1:2] * (1.0 if lamp[1] < -0.3 else 0.0)) * openness
    energy = facing * floats(light.direct) * (0.45 + 0.55 * openness) + sky * floats(light.ambient)
    shaded = skin * energy * body.dim[..., None]
    if gloss > 0.0:
        shaded = shaded + gloss * _highlight(normal, lamp, light)
    return floats(shaded)


def _normals(height: FloatArray, relief: FloatArray) -> FloatArray:
    """Return unit normals (H, W, 3) of a height field in pixels, z to the camera."""
    smooth = cv2.GaussianBlur(height, (0, 0), 1.2) + cv2.GaussianBlur(relief, (0, 0), 0.6)
    slope_x = cv2.Scharr(smooth, cv2.CV_32F, 1, 0, scale=1 / 32)
    slope_y = cv2.Scharr(smooth, cv2.CV_32F, 0, 1, scale=1 / 32)
    length = np.sqrt(slope_x**2 + slope_y**2 + 1.0)
    return np.stack([-slope_x / length, -slope_y / length, 1.0 / length], axis=-1).astype(np.float32)


def _openness(body: BodyMap, px_per_unit: float) -> FloatArray:
    """Return 0-1 (H, W, 1): low in the creases between parts, where little sky is visible."""
    inside = np.maximum(body.height, 0.0)
    hollow = (wide_blur(inside, 0.07 * px_per_unit) - inside) / (0.07 * px_per_unit)
    return floats(np.clip(1.0 - 0.9 * np.maximum(hollow, 0.0), 0.3, 1.0))[..., None]


def _highlight(normal: FloatArray, lamp: FloatArray, light: Light) -> FloatArray:
    """Return the mirror light of a wet skin (Blinn-Phong), linear RGB."""
    half = lamp + np.array([0.0, 0.0, 1.0], dtype=np.float32)
    half /= np.linalg.norm(half)
    glint = np.clip(normal @ half, 0.0, 1.0)
    broad = (glint * glint * glint) ** 4
    strength = 0.55 * broad**5 + 0.12 * broad
    return floats(strength[..., None] * floats(light.direct))


def ragged(body: BodyMap, fur: float, rng: np.random.Generator) -> FloatArray:
    """Return the body's mask (H, W) with an outline broken by hair."""
    if fur <= 0.0:
        return body.alpha
    soft = cv2.GaussianBlur(body.alpha, (0, 0), 1.1 + 0.6 * fur)
    tufts = 0.16 * fur * fractal_noise(rng, body.alpha.shape, 3.5, octaves=2)
    return smoothstep(0.2, 0.8, soft + tufts * (1.0 - np.abs(2.0 * soft - 1.0)))


def shadow_below(alpha: FloatArray, light: Light, px_per_unit: float, lift: float) -> FloatArray:
    """Return the shadow (H, W), 0-1, on a ground from above; `lift` is the body's distance from it, body units."""
    x, y, z = light.towards_xyz
    shift = -lift * px_per_unit * np.array([x, y]) / max(z, 0.3)
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], dtype=np.float64)
    cast = cv2.warpAffine(alpha, matrix, alpha.shape[::-1])
    direct = wide_blur(cast, (0.025 + 0.3 * lift) * px_per_unit)
    close = wide_blur(alpha, (0.04 + 0.3 * lift) * px_per_unit)
    strong = 0.65 if light.mode in ("sun", "dusk", "flash") else 0.3
    return floats(np.clip(strong * direct + 0.35 * close, 0.0, 0.85))


def ground_shadow(alpha: FloatArray, light: Light, px_per_unit: float) -> FloatArray:
    """Return the shadow (H, W), 0-1, of an animal standing on level ground seen from the side."""
    rows = np.flatnonzero(alpha.max(axis=1) > 0.5)
    if len(rows) == 0:
        return np.zeros_like(alpha)
    foot = float(rows[-1]) - 0.03 * px_per_unit
    squash, slant = 0.16, -0.5 * light.towards_xyz[0]
    matrix = np.array([[1.0, slant, -slant * foot], [0.0, squash, foot * (1.0 - squash)]])
    cast = cv2.warpAffine(alpha, matrix, alpha.shape[::-1])
    strong = {"sun": 0.75, "dusk": 0.6, "infrared": 0.25}.get(light.mode, 0.5)
    direct = wide_blur(cast, 0.035 * px_per_unit)
    return floats(np.clip(1.3 * strong * direct, 0.0, 0.85))
