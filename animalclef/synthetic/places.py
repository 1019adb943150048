"""Draw the places where animals are photographed: one wide textured canvas per place."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np

from animalclef.structures.arrays import FloatArray
from animalclef.synthetic.fields import floats, fractal_noise, linear_light, smoothstep
from animalclef.synthetic.species import Habitat, Rgb
from animalclef.synthetic.strokes import ByteImage, blades, leaf, pebble, shifted, twig

__all__ = ["HORIZON", "place_canvas"]

_SIZE_HW = (520, 720)
HORIZON = 0.4
"""Height of the horizon in places seen from the side, as a share of the canvas."""

_LEAVES: tuple[Rgb, ...] = ((126, 84, 44), (98, 66, 38), (150, 112, 66), (84, 60, 40), (112, 98, 52))
_STONES: tuple[Rgb, ...] = ((122, 116, 106), (96, 92, 88), (146, 134, 116), (84, 78, 70))


@lru_cache(maxsize=24)
def place_canvas(habitat: Habitat, seed: tuple[int, ...]) -> FloatArray:
    """Return the place's reflectance as linear RGB (520, 720, 3), read-only; the same seed is the same place."""
    rng = np.random.default_rng(seed)
    canvas = linear_light(_PLACES[habitat](rng))
    canvas.setflags(write=False)
    return canvas


def _tinted(
    rng: np.random.Generator, colours: tuple[Rgb, Rgb, Rgb], scale: float, gain: float = 0.6, grit: float = 0.1
) -> ByteImage:
    """Return noise that runs through three colours, dark to light."""
    field = fractal_noise(rng, _SIZE_HW, scale, octaves=6, gain=gain)
    share = np.clip(0.5 + 0.32 * field, 0.0, 1.0)
    stops = np.array(colours, dtype=np.float32)
    picture = np.stack([np.interp(share, (0.0, 0.5, 1.0), stops[:, c]) for c in range(3)], axis=-1)
    grain = fractal_noise(rng, _SIZE_HW, 2.0, octaves=1)[..., None]
    return _bytes(picture * np.exp(grit * grain))


def _bytes(picture: FloatArray) -> ByteImage:
    return np.asarray(np.clip(picture, 0, 255), dtype=np.uint8)


def _anywhere(rng: np.random.Generator) -> tuple[float, float]:
    return rng.uniform(0, _SIZE_HW[1]), rng.uniform(0, _SIZE_HW[0])


def _sward(picture: ByteImage, rng: np.random.Generator, n: int, length: tuple[float, float], colour: Rgb) -> None:
    """Draw short grass over the whole ground into `picture`."""
    roots = rng.random((n, 2)) * np.array([_SIZE_HW[1], _SIZE_HW[0]])
    blades(picture, rng, roots, rng.uniform(*length, n), np.full(n, 1.8), colour)


def _litter(rng: np.random.Generator) -> ByteImage:
    """Draw forest soil under fallen leaves, with twigs and stones."""
    picture = _tinted(rng, ((34, 26, 19), (70, 53, 37), (104, 82, 58)), 60.0)
    for _ in range(rng.integers(10, 50)):
        pebble(picture, rng, _anywhere(rng), rng.uniform(3, 13), shifted(_STONES[rng.integers(4)], rng, 0.15))
    for _ in range(rng.integers(160, 420)):
        leaf(picture, rng, _anywhere(rng), rng.uniform(16, 52), shifted(_LEAVES[rng.integers(5)], rng, 0.22))
    for _ in range(rng.integers(6, 20)):
        twig(picture, rng, _anywhere(rng), rng.uniform(50, 190), shifted((88, 68, 50), rng, 0.2))
    return picture


def _moss(rng: np.random.Generator) -> ByteImage:
    """Draw cushions of moss between stones."""
    picture = _tinted(rng, ((26, 30, 16), (62, 70, 34), (108, 112, 60)), 46.0, gain=0.75)
    _sward(picture, rng, int(rng.integers(600, 1000)), (5.0, 12.0), (72, 82, 40))
    for _ in range(rng.integers(6, 30)):
        pebble(picture, rng, _anywhere(rng), rng.uniform(6, 30), shifted(_STONES[rng.integers(4)], rng, 0.15))
    for _ in range(rng.integers(10, 50)):
        leaf(picture, rng, _anywhere(rng), rng.uniform(14, 40), shifted(_LEAVES[rng.integers(5)], rng, 0.2))
    return picture


def _tray(rng: np.random.Generator) -> ByteImage:
    """Draw the plain tray in which a catch is photographed, sometimes ruled, with specks of dirt."""
    tone = int(rng.integers(150, 222))
    warm = int(rng.integers(-12, 14))
    light: Rgb = (min(255, tone + 12 + warm), min(255, tone + 10), max(0, tone + 8 - warm))
    base: Rgb = (tone + warm, tone, tone - warm)
    picture = _tinted(rng, ((tone - 22, tone - 22, tone - 24), base, light), 320.0, gain=0.35, grit=0.025)
    if rng.random() < 0.5:
        pitch, ruling = int(rng.integers(40, 80)), (tone - 46, tone - 44, tone - 34)
        for start in range(rng.integers(pitch), _SIZE_HW[1], pitch):
            cv2.line(picture, (start, 0), (start + 6, _SIZE_HW[0]), ruling, 1, cv2.LINE_AA)
            cv2.line(picture, (0, start), (_SIZE_HW[1], start - 5), ruling, 1, cv2.LINE_AA)
    for _ in range(rng.integers(20, 90)):
        pebble(picture, rng, _anywhere(rng), rng.uniform(0.6, 3.2), shifted((92, 76, 58), rng, 0.3))
    return picture


def _snow_ground(rng: np.random.Generator) -> ByteImage:
    picture = _tinted(rng, ((178, 190, 208), (216, 223, 232), (242, 244, 248)), 110.0, gain=0.45)
    for _ in range(rng.integers(20, 70)):
        twig(picture, rng, _anywhere(rng), rng.uniform(20, 80), shifted((84, 66, 50), rng, 0.2))
    return picture


def _grass_ground(rng: np.random.Generator) -> ByteImage:
    dry = rng.uniform(0.0, 1.0)
    tip: Rgb = (int(128 + 52 * dry), int(128 + 16 * dry), int(66 + 24 * dry))
    picture = _tinted(rng, ((62, 54, 32), (112, 98, 58), tip), 50.0, gain=0.7)
    _sward(picture, rng, 900, (10.0, 30.0), tip)
    return picture


def _receding(ground: ByteImage, rng: np.random.Generator) -> FloatArray:
    """Draw the ground plane seen at a low angle: rows of the canvas below the horizon."""
    height, width = _SIZE_HW
    rows = np.linspace(0.06, 1.0, height - int(HORIZON * height), dtype=np.float32)[:, None]
    columns = np.arange(width, dtype=np.float32)[None, :] - width / 2
    spread = 0.9 / (0.3 + 0.9 * rows)
    x = width / 2 + columns * spread + rng.uniform(0, width)
    y = height * 1.9 * (1.0 - 1.0 / (0.42 + rows)) + 0.0 * columns
    return floats(cv2.remap(ground, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP))


def _backdrop(rng: np.random.Generator, colours: tuple[Rgb, Rgb, Rgb], trunks: int) -> FloatArray:
    """Draw out-of-focus woodland: foliage, trunks and spots of light."""
    picture = _tinted(rng, colours, 110.0)
    height, width = _SIZE_HW
    for _ in range(trunks):
        x, thick = rng.uniform(0, width), rng.uniform(8, 44)
        lean = rng.normal(0, 14)
        outline = np.array([[x, 0], [x + thick, 0], [x + 1.1 * thick + lean, height], [x + lean, height]])
        cv2.fillPoly(picture, [np.round(outline).astype(np.int32)], shifted((66, 56, 46), rng, 0.3), cv2.LINE_AA)
    soft = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), rng.uniform(4.0, 8.0))
    glow = np.zeros(_SIZE_HW, dtype=np.uint8)
    for _ in range(rng.integers(0, 40)):
        centre = (int(rng.uniform(0, width)), int(rng.uniform(0, HORIZON * height)))
        cv2.circle(glow, centre, int(rng.integers(6, 20)), int(rng.integers(20, 90)), -1, cv2.LINE_AA)
    glow_soft = cv2.GaussianBlur(glow.astype(np.float32), (0, 0), 3.0)[..., None] / 255.0
    return floats(soft + glow_soft * (np.array([206, 212, 160], dtype=np.float32) - soft))


def _landscape(rng: np.random.Generator, ground: ByteImage, backdrop: FloatArray, tuft: Rgb, tufts: int) -> ByteImage:
    """Draw ground in front of a backdrop, the seam hidden behind tufts of grass."""
    height, width = _SIZE_HW
    edge = int(HORIZON * height)
    plane = _receding(ground, rng)
    rows = np.arange(height, dtype=np.float32)[:, None] + 9.0 * fractal_noise(rng, _SIZE_HW, 70.0)
    picture = backdrop.copy()
    share = smoothstep(edge + 12.0, edge + 32.0, rows)[edge:, :, None]
    picture[edge:] += share * (plane - picture[edge:])
    blurred = cv2.GaussianBlur(picture[edge:], (0, 0), 2.6)
    far = np.linspace(1.0, 0.0, len(blurred), dtype=np.float32)[:, None, None] ** 1.5  # as out of focus
    picture[edge:] += far * (blurred - picture[edge:])
    canvas = _bytes(picture)
    for depth in np.sort(rng.random(tufts) ** 1.5):
        n, near = int(rng.integers(3, 8)), 0.35 + float(depth)
        roots = np.tile([rng.uniform(0, width), edge + 4 + float(depth) * (height - edge)], (n, 1))
        blades(canvas, rng, roots, near * rng.uniform(14, 46, n), np.full(n, 2.2 * near), tuft)
    return canvas


def _forest(rng: np.random.Generator) -> ByteImage:
    backdrop = _backdrop(rng, ((20, 26, 15), (56, 66, 34), (118, 128, 72)), int(rng.integers(4, 13)))
    return _landscape(rng, _litter(rng), backdrop, (72, 80, 44), int(rng.integers(10, 90)))


def _steppe(rng: np.random.Generator) -> ByteImage:
    backdrop = _backdrop(rng, ((92, 84, 54), (142, 132, 92), (188, 190, 178)), int(rng.integers(0, 3)))
    return _landscape(rng, _grass_ground(rng), backdrop, (142, 124, 74), int(rng.integers(60, 160)))


def _snow(rng: np.random.Generator) -> ByteImage:
    backdrop = _backdrop(rng, ((52, 58, 62), (104, 110, 114), (196, 204, 212)), int(rng.integers(4, 14)))
    return _landscape(rng, _snow_ground(rng), backdrop, (128, 110, 84), int(rng.integers(0, 40)))


def _reef(rng: np.random.Generator) -> ByteImage:
    """Draw coral heads and rubble on a deep bottom."""
    picture = _tinted(rng, ((14, 44, 54), (38, 90, 98), (92, 146, 140)), 130.0)
    palette: tuple[Rgb, ...] = ((104, 96, 70), (74, 98, 84), (128, 110, 92), (60, 76, 70), (116, 84, 84))
    for radius in np.sort(rng.uniform(4, 46, int(rng.integers(60, 170))))[::-1]:
        pebble(picture, rng, _anywhere(rng), float(radius), shifted(palette[rng.integers(5)], rng, 0.2))
    speckle = fractal_noise(rng, _SIZE_HW, 9.0, octaves=3)[..., None]
    rough = floats(picture * np.exp(0.2 * speckle))
    return _under_water(rng, rough)


def _sand(rng: np.random.Generator) -> ByteImage:
    """Draw rippled sand with shell grit."""
    picture = _tinted(rng, ((96, 118, 104), (142, 156, 132), (182, 188, 158)), 140.0, gain=0.4).astype(np.float32)
    ripples = fractal_noise(rng, _SIZE_HW, 26.0, octaves=2, stretch_xy=(5.0, 0.8))[..., None]
    return _under_water(rng, picture * np.exp(0.13 * ripples))


def _under_water(rng: np.random.Generator, picture: FloatArray) -> ByteImage:
    """Add a blue veil, blur with distance and a net of sunlight on the bottom."""
    veil = np.array([[[22, 96, 122]], [[34, 112, 118]], [[16, 70, 108]]], dtype=np.float32)[rng.integers(3)]
    share = rng.uniform(0.3, 0.65)
    net = np.abs(fractal_noise(rng, _SIZE_HW, 60.0, octaves=2, gain=0.4))
    fine = np.abs(fractal_noise(rng, _SIZE_HW, 30.0, octaves=2, gain=0.4))
    lines = smoothstep(0.35, 0.0, net) + 0.6 * smoothstep(0.35, 0.0, fine)
    bright = rng.uniform(0.06, 0.3) * cv2.GaussianBlur(lines, (0, 0), 1.5)[..., None]
    blurred = cv2.GaussianBlur(picture, (0, 0), rng.uniform(1.0, 3.0))
    return _bytes((blurred + share * (veil - blurred)) * (1.0 + bright))


_PLACES: dict[Habitat, Callable[[np.random.Generator], ByteImage]] = {
    "forest": _forest,
    "steppe": _steppe,
    "snow": _snow,
    "litter": _litter,
    "moss": _moss,
    "tray": _tray,
    "reef": _reef,
    "sand": _sand,
}
