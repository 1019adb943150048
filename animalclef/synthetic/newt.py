"""Draw a newt from above: one long bent trunk with four legs and their toes."""

from __future__ import annotations

import math

import numpy as np

from animalclef.structures.arrays import FloatArray
from animalclef.synthetic.fields import floats
from animalclef.synthetic.ribbons import Ribbon, ribbon, widths
from animalclef.synthetic.species import BodyStyle

__all__ = ["EYE_XY", "newt_ribbons"]

EYE_XY = (1.845, 0.066)
"""One eye on the sheet; the other mirrors it in y."""

_N = 64
_LENGTH = 2.0
_GIRTH = (0.006, 0.032, 0.047, 0.06, 0.072, 0.088, 0.118, 0.132, 0.134, 0.126, 0.112, 0.086, 0.098, 0.102, 0.05)
# Where a leg leaves the trunk, as a share of the length from the tail tip, and how far back it points at rest.
_LEGS = ((0.49, -0.5), (0.80, 0.45))


def newt_ribbons(style: BodyStyle, rng: np.random.Generator) -> list[Ribbon]:
    """Return parts from far to near in a random posture, body units."""
    spine = _bent_spine(style, rng)
    rest = np.stack([np.linspace(0.0, _LENGTH, _N), np.zeros(_N)], axis=1).astype(np.float32)
    limbs = [part for share, lean in _LEGS for side in (-1, 1) for part in _leg(style, spine, share, lean, side, rng)]
    half = widths([w * style.girth for w in _GIRTH], _N)
    head = 1.0 + (style.head - 1.0) * (np.linspace(0, 1, _N) > 0.8)
    sides = np.stack([half * head, half * head], axis=1).astype(np.float32)
    trunk = Ribbon(rest, spine, sides, lift=0.0, depth=0.85, roll_rad=rng.normal(0, 0.16), blend=0.03)
    return [*limbs, trunk]


def _bent_spine(style: BodyStyle, rng: np.random.Generator) -> FloatArray:
    """Return the spine (n, 2) from tail tip to snout; the tail curls more than the trunk."""
    s = np.linspace(0.0, 1.0, _N)
    trunk, tail = rng.normal(0.0, 0.8), rng.normal(0.0, 2.4)
    wave = rng.normal(0.0, 0.7) * np.sin(2 * math.pi * s + rng.uniform(0, 2 * math.pi))
    turn = trunk * (s - 0.65) + wave + tail * np.minimum(s - 0.48, 0.0) + rng.normal(0, 0.35) * np.maximum(s - 0.85, 0)
    stretch = np.where(s < 0.45, style.tail, 1.0)
    step = _LENGTH / (_N - 1) * stretch[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    points = np.cumsum(step, axis=0)
    return floats(points - points.mean(axis=0))


def _leg(
    style: BodyStyle, spine: FloatArray, share: float, lean: float, side: int, rng: np.random.Generator
) -> list[Ribbon]:
    """Return one leg and its four toes on one `side` of the trunk (-1 or 1)."""
    index = int(share * (_N - 1))
    tangent = spine[index + 1] - spine[index - 1]
    heading = math.atan2(float(tangent[1]), float(tangent[0]))
    outward = heading + side * (math.pi / 2 + 0.35 * rng.normal() - lean)
    elbow = outward + side * (math.copysign(0.7, lean) + 0.35 * rng.normal())
    upper, lower = 0.17 * style.limb, 0.16 * style.limb
    hip = spine[index] + 0.05 * _unit(outward)
    knee = hip + upper * _unit(outward)
    foot = knee + lower * _unit(elbow)
    rest_hip = (_LENGTH * share, side * 0.06)
    rest = [rest_hip, (rest_hip[0], side * 0.23), (rest_hip[0], side * 0.39)]
    pose = np.stack([hip, knee, foot]).astype(np.float32)
    leg = ribbon(rest, pose, (0.052, 0.038, 0.036), lift=-0.03, n=14)
    ankle = math.atan2(float(foot[1] - knee[1]), float(foot[0] - knee[0]))
    return [*(_toe(foot, ankle + spread, rest[-1]) for spread in (-0.75, -0.25, 0.25, 0.75)), leg]


def _toe(foot: FloatArray, angle_rad: float, rest_xy: tuple[float, float]) -> Ribbon:
    tip = foot + 0.085 * _unit(angle_rad)
    pose = np.stack([foot, 0.5 * (foot + tip), tip]).astype(np.float32)
    rest = [(rest_xy[0] + 0.03 * i, rest_xy[1]) for i in range(3)]
    return ribbon(rest, pose, (0.02, 0.014, 0.009), lift=-0.05, n=5)


def _unit(angle_rad: float) -> FloatArray:
    return np.array([math.cos(angle_rad), math.sin(angle_rad)], dtype=np.float32)
