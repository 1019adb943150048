"""Develop light into a photograph: exposure, white balance, blur, noise and the tone curve."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.synthetic.fields import FloatArray, floats

__all__ = ["Sensor", "develop", "draw_sensor"]


@dataclass(frozen=True)
class Sensor:
    """Settings of one exposure."""

    brightness: float
    """Mean linear level that the automatic exposure aims at."""
    balance: tuple[float, float, float]
    defocus_px: float
    shake_px: float
    shake_rad: float
    noise: float
    """Deviation of the read noise, linear."""
    vignette: float
    infrared: bool


def draw_sensor(rng: np.random.Generator, width_px: int, *, infrared: bool, murky: bool = False) -> Sensor:
    """Draw the settings of a photograph, most of them good, a few poor, more of them in `murky` water."""
    scale = max(width_px / 400.0, 0.6)  # blur grows with the image
    poor = rng.random() < (0.25 if murky else 0.18)
    red, green, blue = (float(g) for g in np.exp(rng.normal(0.0, 0.07, 3)))
    noise = float(rng.gamma(2.0, 0.003)) * (1.6 if infrared else 1.0)
    return Sensor(
        brightness=float(0.2 * np.exp(rng.normal(0.0, 0.28))),
        balance=(red, green, blue),
        defocus_px=float(scale * (rng.uniform(1.0, 2.2) if poor else rng.uniform(0.3, 0.9))),
        shake_px=float(scale * rng.exponential(5.0 if poor else 1.0)),
        shake_rad=float(rng.uniform(0.0, math.pi)),
        noise=noise,
        vignette=float(rng.uniform(0.3, 0.8) if infrared else rng.uniform(0.0, 0.3)),
        infrared=infrared,
    )


def develop(scene: FloatArray, sensor: Sensor, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a linear scene (H, W, 3) as sRGB pixels (H, W, 3)."""
    light = _blurred(scene, sensor)
    if sensor.infrared:
        light = np.repeat((light @ floats([0.45, 0.4, 0.15]))[..., None], 3, axis=2)
    light = light * _falloff(light.shape[0], light.shape[1], sensor.vignette)
    light = light * _exposure(light, sensor) * floats((1.0, 1.0, 1.0) if sensor.infrared else sensor.balance)
    light = light + _grain(light, sensor, rng)
    return _tone(light)


def _exposure(light: FloatArray, sensor: Sensor) -> float:
    """Return the gain that brings the mean to the wanted level without clipping highlights."""
    sample = light[::4, ::4].mean(axis=2)
    bright = float(np.quantile(sample, 0.98))
    return min(sensor.brightness / max(float(sample.mean()), 1e-4), 3.8 * sensor.brightness / max(bright, 1e-4))


def _blurred(scene: FloatArray, sensor: Sensor) -> FloatArray:
    soft = cv2.GaussianBlur(scene, (0, 0), max(sensor.defocus_px, 0.3))
    length = int(sensor.shake_px)
    if length < 2:
        return np.asarray(soft, dtype=np.float32)
    kernel = np.zeros((2 * length + 1, 2 * length + 1), dtype=np.float32)
    dx, dy = 0.5 * length * math.cos(sensor.shake_rad), 0.5 * length * math.sin(sensor.shake_rad)
    start, end = (round(length - dx), round(length - dy)), (round(length + dx), round(length + dy))
    cv2.line(kernel, start, end, 1.0, 1)
    return np.asarray(cv2.filter2D(soft, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT), dtype=np.float32)


def _falloff(height: int, width: int, strength: float) -> FloatArray:
    """Return the darkening towards the corners, (H, W, 1)."""
    y = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None]
    x = np.linspace(-1.0, 1.0, width, dtype=np.float32)[None, :]
    return np.asarray(1.0 - strength * 0.5 * (x * x + y * y), dtype=np.float32)[..., None]


def _grain(light: FloatArray, sensor: Sensor, rng: np.random.Generator) -> FloatArray:
    """Return read and shot noise, coloured by day and grey in infrared."""
    shape = (*light.shape[:2], 1 if sensor.infrared else 3)
    read = sensor.noise * rng.standard_normal(shape, dtype=np.float32)
    return np.asarray(read * (0.6 + 2.0 * np.sqrt(np.maximum(light, 0.0))), dtype=np.float32)


def _tone(light: FloatArray) -> NDArray[np.uint8]:
    """Apply a soft shoulder and gamma 2.2."""
    positive = np.maximum(light, 0.0)
    rolled = positive * (1.0 + positive / 6.0) / (1.0 + positive)
    curve = np.clip(1.25 * rolled, 0.0, 1.0) ** (1.0 / 2.2)
    return np.round(255.0 * curve).astype(np.uint8)
