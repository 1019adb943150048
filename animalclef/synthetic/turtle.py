"""Draw a sea turtle from above: flippers and head under a domed carapace of scutes."""

from __future__ import annotations

import math

import numpy as np

from animalclef.structures.arrays import FloatArray
from animalclef.synthetic.fields import floats, rotation
from animalclef.synthetic.ribbons import Ribbon, ribbon
from animalclef.synthetic.species import BodyStyle

__all__ = ["EYE_XY", "carapace_half_width", "scute_seeds", "turtle_ribbons"]

EYE_XY = (0.76, 0.062)
_CARAPACE_WIDTH = (0.05, 0.16, 0.24, 0.3, 0.345, 0.378, 0.4, 0.41, 0.408, 0.395, 0.365, 0.31, 0.22, 0.1)
"""Half widths, evenly spread from the tail end to the neck."""

_TAIL_X, _NECK_X = -0.56, 0.44
_SHELL = [(_TAIL_X, 0.0), (-0.2, 0.0), (0.1, 0.0), (_NECK_X, 0.0)]
_HEAD = [(0.4, 0.0), (0.55, 0.0), (0.72, 0.0), (0.84, 0.0)]
_FRONT = [(0.3, 0.22), (0.42, 0.42), (0.36, 0.66), (0.16, 0.86), (-0.06, 0.95)]
_REAR = [(-0.4, 0.14), (-0.56, 0.26), (-0.7, 0.34), (-0.8, 0.38)]


def carapace_half_width(x: FloatArray) -> FloatArray:
    """Return the half width of the shell at body place `x`."""
    knots = np.linspace(_TAIL_X, _NECK_X, len(_CARAPACE_WIDTH))
    return np.interp(x, knots, _CARAPACE_WIDTH).astype(np.float32)


def scute_seeds(rng: np.random.Generator) -> tuple[FloatArray, int]:
    """Return centres (n, 2) of the scutes and the number of large ones; the rest form the rim.

    Five or six vertebral scutes, four or five pairs of costal ones, a dozen pairs of marginal ones.
    """
    vertebral = int(rng.choice([5, 5, 5, 6]))
    xs = np.linspace(-0.47, 0.35, vertebral) + rng.normal(0, 0.022, vertebral)
    large = [(x, rng.normal(0, 0.014)) for x in xs]
    for side in (-1, 1):
        costal = int(rng.choice([4, 4, 5, 5]))
        xs = np.linspace(-0.36, 0.28, costal) + rng.normal(0, 0.026, costal)
        large += [(x, side * (0.215 + rng.normal(0, 0.016))) for x in xs]
    rim: list[tuple[float, float]] = []
    for angle in np.linspace(0.0, 2 * math.pi, 25)[:-1] + rng.normal(0, 0.03, 24):
        x = -0.06 + 0.54 * math.cos(angle)
        rim.append((x, 0.415 * math.sin(angle) * (1.0 + 0.02 * rng.normal())))
    return np.array([*large, *rim], dtype=np.float32), len(large)


def turtle_ribbons(style: BodyStyle, rng: np.random.Generator) -> list[Ribbon]:
    """Return parts from far to near in a random swimming stroke, body units."""
    stroke = rng.normal(0.0, 0.3)
    limbs: list[Ribbon] = []
    for side in (-1, 1):
        limbs.append(_flipper(style, _REAR, (0.06, 0.1, 0.105, 0.03), side, rng.normal(0, 0.25), 0.0))
        swing = stroke + rng.normal(0, 0.18)
        limbs.append(_flipper(style, _FRONT, (0.11, 0.12, 0.115, 0.085, 0.015), side, swing, rng.normal(0, 0.2)))
    girth = [w * style.girth for w in _CARAPACE_WIDTH]
    roll = rng.normal(0, 0.1)
    shell = ribbon(_SHELL, _SHELL, girth, lift=0.1, depth=0.55, blend=0.02, wrap=0.35, roll_rad=roll, n=40)
    return [*limbs, _head(style, rng), shell]


def _head(style: BodyStyle, rng: np.random.Generator) -> Ribbon:
    bend = rng.normal(0, 0.2)
    pose = [(x, bend * max(x - 0.42, 0.0)) for x, _ in _HEAD]
    size = style.head
    return ribbon(_HEAD, pose, [w * size for w in (0.1, 0.105, 0.12, 0.03)], lift=0.0, wrap=0.3, blend=0.02)


def _flipper(
    style: BodyStyle, points: list[tuple[float, float]], width: tuple[float, ...], side: int, swing: float, bend: float
) -> Ribbon:
    """Return one limb swung about its root, its outer half bent further; `side` -1 mirrors it."""
    flat = np.array(points, dtype=np.float32)
    flat = flat[0] + (flat - flat[0]) * np.float32(style.limb)
    pose = _turned(flat, flat[0], swing)
    middle = len(pose) // 2
    pose[middle:] = _turned(pose[middle:], pose[middle], bend)
    mirror = np.array([1, side], dtype=np.float32)
    rest = [(float(x), float(side * y)) for x, y in flat]
    return ribbon(rest, pose * mirror, width, lift=-0.06, depth=0.35, blend=0.02, wrap=0.0, n=26)


def _turned(points: FloatArray, centre: FloatArray, angle_rad: float) -> FloatArray:
    return floats((points - centre) @ floats(rotation(-angle_rad)) + centre)
