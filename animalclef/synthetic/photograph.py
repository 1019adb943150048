"""Render one photograph of one animal: pose, camera, place, light and sensor."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.structures.arrays import FloatArray
from animalclef.synthetic.bodies import pose_body
from animalclef.synthetic.coats import Animal, body_of, coat_of
from animalclef.synthetic.fields import floats, fractal_noise, rotation, smoothstep
from animalclef.synthetic.foreground import draw_foreground
from animalclef.synthetic.places import HORIZON, place_canvas
from animalclef.synthetic.ribbons import Camera, Ribbon, draw_body
from animalclef.synthetic.shading import ground_shadow, lit_body, ragged, shadow_below
from animalclef.synthetic.species import BodyFamily, Species
from animalclef.synthetic.visits import Light, Visit

__all__ = ["Photograph", "box_around", "photograph"]

_FILL: dict[BodyFamily, tuple[float, float]] = {"quadruped": (0.74, 1.0), "newt": (0.92, 1.15), "turtle": (0.72, 1.02)}


@dataclass(frozen=True, eq=False)
class Photograph:
    """A rendered photograph, the animal's mask, and the place on its coat that each pixel shows."""

    pixels: NDArray[np.uint8]  # (H, W, 3) sRGB
    mask: NDArray[np.uint8]  # (H, W) 0-255, the whole animal, also where something covers it
    sheet_xy: FloatArray  # (H, W, 2) place on the coat sheet, body units; means nothing outside the mask

    def __post_init__(self) -> None:
        if self.sheet_xy.shape != (*self.mask.shape, 2):
            raise ValueError(f"Expected a coat map of {self.mask.shape} pixels, got {self.sheet_xy.shape}.")
        if self.pixels.shape != (*self.mask.shape, 3):
            raise ValueError(f"Expected a mask of the picture's size, got {self.pixels.shape} and {self.mask.shape}.")


def photograph(animal: Animal, visit: Visit, side: str, rng: np.random.Generator) -> Photograph:
    """Render one side of an animal during a visit; pose, camera and sensor come from `rng`.

    `side` is one of `animal.species.sides`; an animal seen from its left looks to the left.

    Raises:
        ValueError: the species has no such side.
    """
    coat, style = coat_of(animal, side), body_of(animal)
    size = _image_size(animal.species, rng)
    parts = pose_body(style, rng)
    camera = _frame(parts, animal.species, size, rng, mirrored=side == "left")
    body = draw_body(parts, camera)
    alpha = ragged(body, style.fur, rng)
    skin = lit_body(body, coat, visit.light, style.gloss, camera.px_per_unit)
    scene = _background(visit, animal.species, camera, alpha, rng)
    scene = scene + alpha[..., None] * (_veiled(skin, visit.light, rng) - scene)
    if rng.random() < animal.species.clutter:
        colour, cover = draw_foreground(visit.habitat, size, rng)
        scene = scene + cover[..., None] * (colour * _overall(visit.light) - scene)
    return Photograph(_developed(scene, visit.light, rng), np.round(255.0 * alpha).astype(np.uint8), body.sheet_xy)


def box_around(
    shown: NDArray[np.bool_], outwards: tuple[float, float], rng: np.random.Generator
) -> tuple[slice, slice] | None:
    """Return the rows and columns of a mask's box, each edge a random share of the side further out; `None` without."""
    if not shown.any():
        return None
    box = []
    for axis, length in ((1, shown.shape[0]), (0, shown.shape[1])):
        at = np.flatnonzero(shown.any(axis=axis))
        before, after = rng.uniform(*outwards, 2) * (at[-1] + 1 - at[0])
        box.append(slice(max(0, round(at[0] - before)), min(length, round(at[-1] + 1 + after))))
    return box[0], box[1]


def _image_size(species: Species, rng: np.random.Generator) -> tuple[int, int]:
    """Return width and height around the species' median, up to a third larger or smaller."""
    zoom, shape = np.clip(np.exp(rng.normal(0.0, (0.12, 0.07))), 0.7, 1.4)
    width, height = species.image_size_wh
    return max(round(float(width * zoom * shape)), 48), max(round(float(height * zoom / shape)), 48)


def _frame(
    parts: list[Ribbon], species: Species, size_wh: tuple[int, int], rng: np.random.Generator, *, mirrored: bool
) -> Camera:
    """Return a view that turns, foreshortens and frames the body; sometimes an end is cut off."""
    family = species.body.family
    turn = rng.normal(0.0, 0.07)
    if family != "quadruped":
        turn = float(rng.uniform(0, 2 * math.pi) if family == "newt" else np.clip(rng.normal(0.0, 0.2), -0.35, 0.35))
    view = np.diag([-1.0 if mirrored else 1.0, 1.0]) @ _foreshortening(family, rng)
    linear = rotation(turn) @ view
    points = np.concatenate([part.pose_xy for part in parts]) @ linear.T
    low, high = points.min(axis=0) - 0.1, points.max(axis=0) + 0.1
    fill = rng.uniform(*_FILL[family])
    scale = float(fill * min(size_wh[0] / (high[0] - low[0]), size_wh[1] / (high[1] - low[1])))
    slack = (1.0 - min(fill, 1.0)) * 0.5 * np.array(size_wh) + 0.02 * np.array(size_wh)
    centre = 0.5 * np.array(size_wh) + rng.uniform(-1.0, 1.0, 2) * slack
    return Camera(scale * linear, centre - scale * 0.5 * (low + high), size_wh)


def _foreshortening(family: BodyFamily, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the linear map (2, 2) of a body turned away from the camera about a random axis."""
    if family == "quadruped":
        return np.diag([math.cos(float(np.clip(rng.normal(0.0, 0.32), -0.8, 0.8))), 1.0])
    tilt = min(abs(rng.normal(0.0, 0.45 if family == "turtle" else 0.3)), 0.9)
    axis = rng.uniform(0, math.pi)
    return rotation(axis) @ np.diag([1.0, math.cos(tilt)]) @ rotation(-axis)


def _background(
    visit: Visit, species: Species, camera: Camera, alpha: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Return the lit place (H, W, 3) with the animal's shadow on it."""
    canvas = _cropped(place_canvas(visit.habitat, visit.place_seed), species, camera, alpha, rng)
    if species.body.family == "quadruped":
        shadow = ground_shadow(alpha, visit.light, camera.px_per_unit)
    else:
        lift = 0.05 if species.body.family == "newt" else rng.uniform(0.1, 0.6)
        shadow = shadow_below(alpha, visit.light, camera.px_per_unit, lift)
    out_of_focus = 0.3 + 0.004 * camera.image_size_wh[0] * rng.random()
    canvas = floats(cv2.GaussianBlur(canvas, (0, 0), out_of_focus))
    depth = 0.6 if visit.light.mode == "infrared" else 1.0
    return floats(canvas * _overall(visit.light) * depth * (1.0 - shadow[..., None]))


def _overall(light: Light) -> FloatArray:
    """Return the light on objects without relief, linear RGB (3,)."""
    return floats(0.55 * floats(light.direct) + 0.8 * floats(light.ambient))


def _cropped(
    canvas: FloatArray, species: Species, camera: Camera, alpha: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Return a window of the place: seen from the side its feet line meets the animal's feet, from above any window."""
    width, height = camera.image_size_wh
    room_h, room_w = canvas.shape[:2]
    largest = min(room_w / width, room_h / height)
    if species.body.family == "quadruped":
        zoom = largest * rng.uniform(0.62, 0.86)
        rows = np.flatnonzero(alpha.max(axis=1) > 0.5)
        foot = float(rows[-1]) if len(rows) else 0.8 * height
        top = room_h * rng.uniform(HORIZON + 0.22, 0.84) - foot * zoom
        matrix = np.array([[zoom, 0.0, rng.uniform(0, room_w - zoom * width)], [0.0, zoom, top]])
        matrix[1, 2] = np.clip(matrix[1, 2], 0.0, room_h - zoom * height)
    else:
        zoom = min(float(np.exp(rng.uniform(-0.25, 0.45))) * 300.0 / max(width, 250), 0.7 * largest)
        spin = zoom * rotation(rng.uniform(0, 2 * math.pi))
        centre = np.array([room_w, room_h]) * rng.uniform(0.3, 0.7, 2)
        offset = centre - spin @ np.array([0.5 * width, 0.5 * height])
        matrix = np.concatenate([spin, offset[:, None]], axis=1)
    flags = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
    warped = cv2.warpAffine(canvas, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT)
    return floats(warped)


def _veiled(skin: FloatArray, light: Light, rng: np.random.Generator) -> FloatArray:
    """Add a net of sunlight on the animal under water, and the haze and blue tint of the water."""
    if light.mode != "water":
        return skin
    net = smoothstep(0.5, 0.0, np.abs(fractal_noise(rng, skin.shape[:2], 0.2 * skin.shape[1], octaves=2)))
    lit = skin * (1.0 + rng.uniform(0.0, 0.9) * (net[..., None] - 0.3))
    veil = floats([0.05, 0.2, 0.25])
    return floats(lit + rng.uniform(0.12, 0.6) * (veil - lit))


def _developed(scene: FloatArray, light: Light, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a linear scene (H, W, 3) as sRGB pixels, most of them well exposed, a few poorly, more under water."""
    infrared, scale = light.mode == "infrared", max(scene.shape[1] / 400.0, 0.6)  # blur grows with the image
    poor = rng.random() < (0.25 if light.mode == "water" else 0.18)
    balance = floats(np.exp(rng.normal(0.0, 0.07, 3)))
    noise = rng.gamma(2.0, 0.003) * (1.6 if infrared else 1.0)
    brightness = float(0.2 * np.exp(rng.normal(0.0, 0.28)))
    defocus_px = float(scale * (rng.uniform(1.0, 2.2) if poor else rng.uniform(0.3, 0.9)))
    shake_px = float(scale * rng.exponential(5.0 if poor else 1.0))
    energy = _blurred(scene, defocus_px, shake_px, rng.uniform(0.0, math.pi))
    vignette = float(rng.uniform(0.3, 0.8) if infrared else rng.uniform(0.0, 0.3))
    if infrared:
        energy = np.repeat((energy @ floats([0.45, 0.4, 0.15]))[..., None], 3, axis=2)
    energy = energy * _falloff(energy.shape[0], energy.shape[1], vignette)
    energy = energy * _exposure(energy, brightness) * (1.0 if infrared else balance)
    read = noise * rng.standard_normal((*energy.shape[:2], 1 if infrared else 3), dtype=np.float32)
    grain = floats(read * (0.6 + 2.0 * np.sqrt(np.maximum(energy, 0.0))))  # read noise and shot noise
    positive = floats(np.maximum(energy + grain, 0.0))
    rolled = positive * (1.0 + positive / 6.0) / (1.0 + positive)  # a soft shoulder
    return np.asarray(np.round(255.0 * np.clip(1.25 * rolled, 0.0, 1.0) ** (1.0 / 2.2)), dtype=np.uint8)


def _exposure(light: FloatArray, brightness: float) -> float:
    """Return the gain that brings the mean to the wanted level without clipping highlights."""
    sample = light[::4, ::4].mean(axis=2)
    bright = float(np.quantile(sample, 0.98))
    return min(brightness / max(float(sample.mean()), 1e-4), 3.8 * brightness / max(bright, 1e-4))


def _blurred(scene: FloatArray, defocus_px: float, shake_px: float, shake_rad: float) -> FloatArray:
    soft = cv2.GaussianBlur(scene, (0, 0), max(defocus_px, 0.3))
    length = int(shake_px)
    if length < 2:
        return floats(soft)
    kernel = np.zeros((2 * length + 1, 2 * length + 1), dtype=np.float32)
    dx, dy = 0.5 * length * math.cos(shake_rad), 0.5 * length * math.sin(shake_rad)
    start, end = (round(length - dx), round(length - dy)), (round(length + dx), round(length + dy))
    cv2.line(kernel, start, end, 1.0, 1)
    return floats(cv2.filter2D(soft, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT))


def _falloff(height: int, width: int, strength: float) -> FloatArray:
    """Return the darkening towards the corners, (H, W, 1)."""
    y = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None]
    x = np.linspace(-1.0, 1.0, width, dtype=np.float32)[None, :]
    return floats(1.0 - strength * 0.5 * (x * x + y * y))[..., None]
