"""Decode photographs of every kind, HEIC too, to upright 8-bit RGB."""

from __future__ import annotations

import importlib
from functools import cache
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import PIL
from PIL import Image

from animalclef.config import DataConfig
from animalclef.data.hashing import content_key
from animalclef.data.pixels import peak_bytes, rgb_of_deep_colour, to_rgb
from animalclef.errors import AnimalClefError, ConfigError, DataError
from animalclef.runtime.regular_files import read_regular
from animalclef.runtime.remote_files import fetch
from animalclef.runtime.wording import first_line
from animalclef.structures import DecodedImage, FloatArray, ImageTable
from animalclef.structures.arrays import Pixels

__all__ = [
    "UnreadableImageError",
    "crop",
    "decode",
    "decoding_of",
    "read_image",
    "reduced",
    "register_heif",
    "resize_long_side",
    "upright_size_wh",
]

_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")

_PEAK_BYTES = 8  # of one pixel: as much as an ordinary photograph with transparency takes
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@cache
def register_heif() -> bool:
    """Teach Pillow to read HEIC, once; return whether a plugin is installed."""
    for name in ("pi_heif", "pillow_heif"):
        try:
            importlib.import_module(name).register_heif_opener()
        except (ImportError, OSError):
            continue
        return True
    return False


def decoding_of(config: DataConfig) -> list[object]:
    """Return what the pixels of a decoded photograph depend on beside its file: for fingerprints."""
    return [config.decode_long_side, config.max_pixels, cv2.__version__, PIL.__version__]


class UnreadableImageError(AnimalClefError):
    """A file is not a photograph that can be used."""


def decode(content: bytes, box_xywhr: FloatArray, long_side: int, max_pixels: int) -> DecodedImage:
    """Decode a file, turn it upright by its EXIF tag, and cut out its box.

    Whole photographs larger than `long_side` are decoded at a reduced scale (JPEG, in the DCT domain) and resized to
    it; boxes are cut from the full photograph first. Transparency becomes `alpha` over mid grey, 16-bit values are
    scaled to 8, and of an animation the first frame is taken.

    Raises:
        UnreadableImageError: not an image, truncated, larger than `max_pixels`, or the box lies outside.
    """
    boxed = bool(np.isfinite(box_xywhr).all())
    try:
        image, size_wh = _open(content, None if boxed else long_side, max_pixels)
        pixels, alpha = to_rgb(image)
    except (UnreadableImageError, MemoryError):
        raise
    except Exception as error:
        raise UnreadableImageError(_why(content, error)) from error
    if boxed:
        pixels, alpha = crop(pixels, alpha, box_xywhr)
        size_wh = (pixels.shape[1], pixels.shape[0])
    return reduced(pixels, alpha, long_side, size_wh)


def reduced(pixels: Pixels, alpha: Pixels | None, long_side: int, size_wh: tuple[int, int]) -> DecodedImage:
    """Return an (H, W, 3) image of size `size_wh` and its mask (H, W) with a long side of at most `long_side`."""
    pixels = resize_long_side(pixels, long_side, enlarge=False)
    alpha = None if alpha is None else np.asarray(cv2.resize(alpha, pixels.shape[1::-1], interpolation=cv2.INTER_AREA))
    return DecodedImage(np.ascontiguousarray(pixels), alpha, size_wh)


def read_image(images: ImageTable, row: int, config: DataConfig) -> DecodedImage:
    """Decode one row.

    Raises:
        UnreadableImageError: it is not a usable image.
        DataError: the file changed since it was first read.
    """
    path, box = images.root / images.path[row], images.bbox_xywhr[row]
    try:
        content = read_regular(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read any more ({error.strerror}). Start again when it is there.") from error
    if images.key[row] and content_key(content, box) != images.key[row]:
        raise DataError(f"{path}: the file changed while this run was working. Start again when it is at rest.")
    return decode(content, box, config.decode_long_side, config.max_pixels)


def upright_size_wh(path: Path) -> tuple[int, int]:
    """Return width and height of a photograph as its EXIF tag turns it; only the head of the file is read.

    Raises:
        UnreadableImageError: not an image.
        DataError: its bucket gives no answer.
    """
    register_heif()
    try:
        fetched = None if path.exists() else fetch(path)
        if fetched is None and not path.is_file():  # opening a pipe would wait for a writer
            raise OSError("no such file")
        with Image.open(path if fetched is None else BytesIO(fetched)) as image:
            turned = _orientation(image) >= 5
            width, height = _stored_size_wh(image)
            return (height, width) if turned else (width, height)
    except (ConfigError, DataError):  # a bucket gave no answer: that says nothing about the photograph
        raise
    except Exception as error:
        raise UnreadableImageError(f"{path}: not a readable image ({_reason(error)})") from error


def resize_long_side(pixels: Pixels, long_side: int, *, enlarge: bool) -> Pixels:
    """Scale an (H, W, ...) image so that its longer side is `long_side`; smaller ones only when `enlarge`."""
    height, width = pixels.shape[:2]
    scale = long_side / max(height, width)
    if scale == 1 or (scale > 1 and not enlarge):
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, size, interpolation=method), dtype=np.uint8)


def _open(content: bytes, long_side: int | None, max_pixels: int) -> tuple[Image.Image, tuple[int, int]]:
    register_heif()
    image: Image.Image = Image.open(BytesIO(content))
    width, height = image.size
    if width * height > max_pixels:
        raise UnreadableImageError(f"{width} x {height} pixels is more than data.max_pixels = {max_pixels}")
    if peak_bytes(image) > _PEAK_BYTES * max_pixels:
        needed = peak_bytes(image) // 1_000_000
        allowed = f"more than data.max_pixels = {max_pixels} allows"
        raise UnreadableImageError(f"{width} x {height} pixels in mode {image.mode} take {needed} MB, {allowed}")
    orientation = _orientation(image)
    if image.format == "TIFF":  # Pillow turns these while loading, and then removes the tag
        image.load()
        orientation = _orientation(image)
        width, height = image.size
    elif long_side is not None and image.format == "JPEG" and max(width, height) > long_side:
        scale = long_side / max(width, height)
        image.draft(None, (int(np.ceil(width * scale)), int(np.ceil(height * scale))))
    image.load()
    image = rgb_of_deep_colour(image, content)
    turn = _TURNS.get(orientation)
    if turn is None:
        return image, (width, height)
    return image.transpose(turn), (height, width) if orientation >= 5 else (width, height)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none, or none that can be read."""
    try:
        orientation = int(image.getexif().get(0x0112, 1))
    except Exception:  # noqa: BLE001 - a photograph with broken EXIF is still a photograph
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def _stored_size_wh(image: Image.Image) -> tuple[int, int]:
    """Return the size before turning: newer versions of Pillow give that of a TIFF after it."""
    if image.format != "TIFF":
        return image.size
    tags = image.tag_v2  # type: ignore[attr-defined]
    return int(tags[256]), int(tags[257])


def crop(pixels: Pixels, alpha: Pixels | None, box_xywhr: FloatArray) -> tuple[Pixels, Pixels | None]:
    """Cut a box out of an (H, W, ...) image, turned upright by its rotation.

    Raises:
        UnreadableImageError: the box lies outside.
    """
    x, y, width, height, rotation_rad = (float(value) for value in box_xywhr)
    image_height, image_width = pixels.shape[:2]
    # Pixel centres stand at whole numbers for OpenCV, at halves for the box. `turn` makes the box upright in its place.
    turn = cv2.getRotationMatrix2D((x + width / 2 - 0.5, y + height / 2 - 0.5), np.degrees(rotation_rad), 1.0)
    corners = [(u - 0.5, v - 0.5, 1) for u in (0, image_width) for v in (0, image_height)] @ turn.T + 0.5
    (first_x, first_y), (last_x, last_y) = corners.min(axis=0).round().tolist(), corners.max(axis=0).round().tolist()
    left, top = int(max(first_x, round(x))), int(max(first_y, round(y)))
    right, bottom = int(min(last_x, round(x + width))), int(min(last_y, round(y + height)))
    if right <= left or bottom <= top:
        box = f"{x:g},{y:g},{width:g},{height:g}"
        raise UnreadableImageError(f"the box {box} lies outside the photograph of {image_width} x {image_height}")
    if abs(rotation_rad) <= 1e-6:
        return pixels[top:bottom, left:right], None if alpha is None else alpha[top:bottom, left:right]
    turn[:, 2] -= (left, top)
    size = (right - left, bottom - top)
    try:
        return cv2.warpAffine(pixels, turn, size), None if alpha is None else cv2.warpAffine(alpha, turn, size)
    except cv2.error as error:
        raise UnreadableImageError("the rotated box is too large to be cut out") from error


def _why(content: bytes, error: Exception) -> str:
    if content[4:8] == b"ftyp" and content[8:12] in _HEIF_BRANDS and not register_heif():
        return "a HEIC photograph; install pi-heif (or pillow-heif) to read it"
    return f"not a readable image ({_reason(error)})"


def _reason(error: BaseException) -> str:
    return first_line(error).replace("<_io.BytesIO object at ", "<").split(" <")[0]
