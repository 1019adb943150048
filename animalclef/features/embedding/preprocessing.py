"""Prepare photographs as a network's input: resize, then normalise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
import torch
from PIL import Image

from animalclef.structures import DecodedImage, FloatArray
from animalclef.structures.arrays import Pixels

__all__ = ["RESIZERS", "Preprocessing"]

Resizer = Callable[[Pixels, tuple[int, int]], Pixels]
_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
_CORNER_SHARE = 0.8  # of each side of the photograph that a corner crop shows


@dataclass(frozen=True)
class Preprocessing:
    """Resized without keeping the aspect ratio by `resize` (a key of `RESIZERS`), then (value / 255 - mean) / std."""

    size_wh: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: str

    def views(self, image: DecodedImage, crops: int = 1) -> Pixels:
        """Return (crops, H, W, 3) RGB: the whole photograph, and with five crops its corners."""
        pixels, resizer = image.pixels, RESIZERS[self.resize]
        height, width = (max(1, round(side * _CORNER_SHARE)) for side in pixels.shape[:2])
        parts = [pixels]
        for down, right in _CORNERS[: crops - 1]:
            top, left = down * (pixels.shape[0] - height), right * (pixels.shape[1] - width)
            parts.append(np.ascontiguousarray(pixels[top : top + height, left : left + width]))
        return np.stack([resizer(part, self.size_wh) for part in parts])

    def normalised(self, pixels: Pixels) -> FloatArray:
        """Return (3, H, W) float32 of (H, W, 3) bytes, computed in numpy as timm's own transforms do."""
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        values = (pixels.astype(np.float32) / 255 - mean) / std
        return np.ascontiguousarray(values.transpose(2, 0, 1), dtype=np.float32)

    def normalise(
        self, pixels: torch.Tensor, device: torch.device | str, dtype: torch.dtype = torch.float32
    ) -> torch.Tensor:
        """Return (b, 3, H, W) on the device, channels last in memory, of (b, H, W, 3) bytes."""
        mean = torch.tensor(self.mean, device=device) * 255
        std = torch.tensor(self.std, device=device) * 255
        values = (pixels.to(device, non_blocking=True).float() - mean) / std
        return values.permute(0, 3, 1, 2).to(dtype)


def _opencv_adaptive(pixels: Pixels, size_wh: tuple[int, int]) -> Pixels:
    shrinks = pixels.shape[0] * pixels.shape[1] > size_wh[0] * size_wh[1]
    return _opencv(pixels, size_wh, cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def _opencv(pixels: Pixels, size_wh: tuple[int, int], interpolation: int) -> Pixels:
    return np.asarray(cv2.resize(pixels, size_wh, interpolation=interpolation), dtype=np.uint8)


def _pillow(pixels: Pixels, size_wh: tuple[int, int], resample: Image.Resampling) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize(size_wh, resample), dtype=np.uint8)


# torchvision's Resize of a PIL image is Pillow's, which averages when it shrinks; OpenCV's linear one does not.
RESIZERS: Mapping[str, Resizer] = MappingProxyType(
    {
        "pil-bilinear": lambda pixels, size_wh: _pillow(pixels, size_wh, Image.Resampling.BILINEAR),
        "pil-bicubic": lambda pixels, size_wh: _pillow(pixels, size_wh, Image.Resampling.BICUBIC),
        "opencv-linear": lambda pixels, size_wh: _opencv(pixels, size_wh, cv2.INTER_LINEAR),
        "opencv-adaptive": _opencv_adaptive,
    }
)
