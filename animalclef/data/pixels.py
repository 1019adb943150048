"""Pillow images of any mode to 8-bit RGB and transparency, in bands of rows, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from animalclef.structures.arrays import Pixels

__all__ = ["peak_bytes", "rgb_of_deep_colour", "to_rgb"]

_BAND_PIXELS = 4_000_000
_STORED_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}  # per pixel; 4 in other modes
_LAYERED = ("RGBA", "LA", "PA", "RGBa", "La")
_BITS = (10, 12, 14, 16)
_OVERSHOOT = 1.2  # lossy wavelets exceed the largest value that the camera stored


def peak_bytes(image: Image.Image) -> int:
    """Return the bytes that decoding an image takes at most: as Pillow stores it, and as 8-bit RGB beside it."""
    alpha = 1 if image.mode in _LAYERED else 0
    return image.width * image.height * (_STORED_BYTES.get(image.mode, 4) + 3 + alpha)


def to_rgb(image: Image.Image) -> tuple[Pixels, Pixels | None]:
    """Return (H, W, 3) pixels and (H, W) opacity; `None` where the image has no transparency.

    Transparent pixels lie over mid grey. Grey values of more than 8 bits are scaled by the bits in use.
    """
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    if image.mode.startswith("I") or image.mode == "F":
        low, high = _range(image)
        for rows, band in _bands(image):
            rgb[rows] = _grey(np.asarray(band), low, high)[:, :, None]
        return rgb, None
    if image.mode in _LAYERED or "transparency" in image.info:
        alpha = np.empty((image.height, image.width), np.uint8)
        for rows, band in _bands(image):
            layered = band.convert("RGBA")
            grey = Image.new("RGBA", layered.size, (128, 128, 128, 255))
            rgb[rows] = np.asarray(Image.alpha_composite(grey, layered).convert("RGB"))
            alpha[rows] = np.asarray(layered.getchannel("A"))
        return rgb, alpha
    for rows, band in _bands(image):
        rgb[rows] = np.asarray(band.convert("RGB"))
    return rgb, None


def rgb_of_deep_colour(image: Image.Image, content: bytes) -> Image.Image:
    """Return a loaded 16-bit image in colour, or grey with transparency, with its values scaled by the bits in use.

    Pillow keeps the high byte of each value, which is black where a camera used 10, 12 or 14 of the 16 bits. An image
    that uses all 16, or is not 16-bit colour, comes back as it is.
    """
    if image.mode not in ("RGB", "RGBA", "LA") or not _is_deep(image, content):
        return image
    overshoot = _OVERSHOOT if image.format == "JPEG2000" else 1.0
    colour_bands = image.split()[: 1 if image.mode == "LA" else 3]
    if max(int(np.asarray(band).max()) for band in colour_bands) > 63 * overshoot:  # the high byte of 14 bits
        return image
    deep = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if deep is None or deep.dtype != np.uint16 or deep.ndim != 3 or deep.shape[1::-1] != image.size:
        return image
    colours = deep[:, :, 2::-1]
    high = float(colours.max())
    if high <= 255:
        return image
    full = _full_scale(high / overshoot)
    scaled = np.round(np.minimum(colours, full) * np.float32(255 / full)).astype(np.uint8)
    result = Image.fromarray(scaled)
    if image.mode != "RGB":
        result.putalpha(image.getchannel("A"))
    return result


def _is_deep(image: Image.Image, content: bytes) -> bool:
    if image.format == "PNG":
        return content[24:25] == b"\x10"
    if image.format == "TIFF":
        return 16 in tuple(image.tag_v2.get(258, ()))  # type: ignore[attr-defined]
    return image.format == "JPEG2000"  # its depth is known once it is decoded


def _bands(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    height = max(1, _BAND_PIXELS // max(1, image.width))
    if height >= image.height:
        yield slice(None), image
        return
    for top in range(0, image.height, height):
        bottom = min(image.height, top + height)
        band = image.crop((0, top, image.width, bottom))
        if "transparency" in image.info:
            band.info["transparency"] = image.info["transparency"]
        yield slice(top, bottom), band


def _range(image: Image.Image) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for _, band in _bands(image):
        values = np.nan_to_num(np.asarray(band).astype(np.float64), posinf=1e300, neginf=-1e300)
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    return low, high


def _grey(deep: NDArray[np.generic], low: float, high: float) -> Pixels:
    """Return 16-bit, 32-bit or float grey values as 8 bits: by the bits in use, as shares of 1, or else by range."""
    values = np.nan_to_num(deep.astype(np.float64), posinf=1e300, neginf=-1e300)
    if low >= 0 and 255 < high <= 65535:
        grey = values / (_full_scale(high) / 255)
    elif low >= 0 and high <= 1 and np.issubdtype(deep.dtype, np.floating):
        grey = values * 255
    elif low >= 0 and high <= 255:
        grey = values
    else:
        grey = (values - low) / max(high - low, 1e-12) * 255
    return np.asarray(np.round(np.clip(np.nan_to_num(grey), 0, 255)).astype(np.uint8))


def _full_scale(high: float) -> int:
    """Return the largest value of the fewest bits that hold `high`: 1,023, 4,095, 16,383 or 65,535."""
    return next(int(2**bits - 1) for bits in _BITS if high < 2**bits)
