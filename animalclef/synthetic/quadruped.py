"""Draw a cat-like animal in profile, head to the right: ribbons for trunk, neck, head, tail, ears and legs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from animalclef.synthetic.ribbons import Ribbon, ribbon
from animalclef.synthetic.species import BodyStyle

__all__ = ["EYE_XY", "NOSE_XY", "TAIL_ROOT_XY", "quadruped_ribbons"]

Points = list[tuple[float, float]]

EYE_XY = (1.35, -0.27)
NOSE_XY = (1.487, -0.178)
TAIL_ROOT_XY = (-0.12, -0.1)

_TRUNK: Points = [(-0.14, 0.01), (0.12, -0.02), (0.45, 0.0), (0.8, 0.02), (1.02, 0.02)]
_NECK: Points = [(0.84, -0.01), (1.03, -0.1), (1.22, -0.2)]
_SKULL: Points = [(1.16, -0.21), (1.25, -0.225), (1.335, -0.21), (1.405, -0.175), (1.45, -0.15)]
_EAR: Points = [(1.235, -0.315), (1.213, -0.385), (1.19, -0.44)]
_FORELEG: Points = [(0.9, 0.04), (0.85, 0.27), (0.9, 0.5), (0.89, 0.72), (0.9, 0.775), (0.97, 0.79)]
_HINDLEG: Points = [(0.05, 0.02), (0.13, 0.26), (-0.06, 0.5), (-0.03, 0.72), (-0.01, 0.775), (0.06, 0.79)]
_FORE_WIDTH = (0.17, 0.115, 0.08, 0.062, 0.058, 0.046)
_HIND_WIDTH = (0.22, 0.16, 0.08, 0.058, 0.058, 0.046)


def quadruped_ribbons(style: BodyStyle, rng: np.random.Generator) -> list[Ribbon]:
    """Return parts from far to near in a random stance, body units."""
    roll = rng.normal(0.0, 0.14)
    arch, stride = rng.normal(0.0, 0.02), rng.uniform(0.0, 2 * math.pi)
    effort = rng.uniform(0.1, 0.42)
    head = _head(style, rng)
    legs = [_leg(style, kind, stride + phase, effort) for kind, phase in _GAIT]
    far = [_dimmed(leg) for leg in legs[:2]]
    return [head[0], *far, _tail(style, rng), _trunk(style, arch, roll), *head[1:], *legs[2:]]


_GAIT: tuple[tuple[str, float], ...] = (("fore", 0.0), ("hind", math.pi * 0.8), ("hind", 0.0), ("fore", math.pi))


def _trunk(style: BodyStyle, arch: float, roll: float) -> Ribbon:
    pose = [(x, y - arch * math.sin(math.pi * min(max(x, 0.0), 1.0))) for x, y in _TRUNK]
    up = [g * style.girth for g in (0.16, 0.21, 0.195, 0.21, 0.18)]
    down = [g * style.girth for g in (0.17, 0.22, 0.25, 0.27, 0.21)]
    return ribbon(_TRUNK, pose, up, down, depth=0.85, roll_rad=roll, n=32)


def _head(style: BodyStyle, rng: np.random.Generator) -> list[Ribbon]:
    """Return far ear, neck, skull and near ear; the head nods about the withers."""
    nod, tilt = rng.normal(0.05, 0.2), rng.normal(0.0, 0.15)
    root, nape = _NECK[0], _NECK[-1]

    def posed(points: Points, shift: float = 0.0) -> Points:
        tilted = _turned([(x + shift, y) for x, y in points], nape, tilt)
        return _turned(tilted, root, nod)

    size = style.head
    neck = ribbon(_NECK, _turned(_NECK, root, nod), (0.19, 0.17, 0.14 * size), (0.24, 0.2, 0.15 * size), lift=0.02)
    upper = [w * size for w in (0.12, 0.158, 0.145, 0.092, 0.058)]
    lower = [w * size for w in (0.12, 0.14, 0.14, 0.115, 0.082)]
    skull = ribbon(_SKULL, posed(_SKULL), upper, lower, lift=0.05, wrap=0.0, blend=0.04)
    ear_width = [w * size for w in (0.07, 0.072, 0.03)]
    near = ribbon(_EAR, posed(_EAR), ear_width, lift=0.15, depth=0.4, wrap=0.0, n=10)
    far = ribbon(_EAR, posed(_EAR, 0.07), ear_width, lift=-0.1, depth=0.5, wrap=0.0, n=10, dim=0.6)
    return [far, neck, skull, near]


def _tail(style: BodyStyle, rng: np.random.Generator) -> Ribbon:
    """Return a tail that hangs, swings or lifts; at rest it lies straight out to the left on the sheet."""
    length, n = 0.85 * style.tail, 9
    step = length / (n - 1)
    rest = [(TAIL_ROOT_XY[0] - step * i, TAIL_ROOT_XY[1]) for i in range(n)]
    start, curl = rng.normal(0.95, 0.3), rng.normal(-0.16, 0.16)
    angles = math.pi - start - curl * np.arange(n - 1)
    steps = step * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    pose = np.concatenate([[TAIL_ROOT_XY], TAIL_ROOT_XY + np.cumsum(steps, axis=0)]).astype(np.float32)
    thick = [0.075, 0.055, 0.05, 0.05, 0.04]
    return ribbon(rest[::-1], pose[::-1], thick[::-1], lift=-0.04, n=30)


def _leg(style: BodyStyle, kind: str, phase: float, effort: float) -> Ribbon:
    """Return one leg swung about the hip and bent at the knee; `phase` runs through the stride."""
    fore = kind == "fore"
    rest = _FORELEG if fore else _HINDLEG
    points = [(x, y * style.limb) for x, y in rest]
    swing, bend = effort * math.sin(phase), effort * max(0.0, math.cos(phase)) * (0.8 if fore else 0.6)
    pose = _turned(points, points[0], swing)
    for joint, share in ((1, 0.7), (2, -1.2), (3, 0.5)):
        pose[joint:] = _turned(pose[joint:], pose[joint], share * bend * (1.0 if fore else -1.0))
    pose[3:] = _turned(pose[3:], pose[3], -0.6 * swing)
    return ribbon(points, pose, _FORE_WIDTH if fore else _HIND_WIDTH, lift=0.03, blend=0.09, n=32)


def _dimmed(leg: Ribbon) -> Ribbon:
    """Return the same leg on the far side."""
    shift = np.array([0.07, -0.025], dtype=np.float32)
    return Ribbon(leg.rest_xy, leg.pose_xy + shift, leg.half_width * 0.95, lift=-0.35, dim=0.5, blend=0.02)


def _turned(points: Sequence[tuple[float, float]], centre: tuple[float, float], angle_rad: float) -> Points:
    """Return points turned about `centre`, clockwise on the screen for a positive angle."""
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    cx, cy = centre
    return [(cx + cos * (x - cx) - sin * (y - cy), cy + sin * (x - cx) + cos * (y - cy)) for x, y in points]
