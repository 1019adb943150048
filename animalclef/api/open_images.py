"""Open images of every kind that the API accepts: paths, PIL images, arrays, or a data set."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageOps

from animalclef.api.argument_kinds import check_kind
from animalclef.api.datasets import Dataset, PathLike
from animalclef.config import DataConfig
from animalclef.data.decode import UnreadableImageError, decode, read_image, resize_long_side
from animalclef.data.pixels import to_rgb
from animalclef.errors import DataError
from animalclef.runtime.regular_files import read_regular
from animalclef.structures import WHOLE_XYWHR, DecodedImage

__all__ = ["Image", "Images", "Photograph", "in_chunks", "open_images", "pixels_of"]

Image = PathLike | PilImage.Image | NDArray[np.uint8]
Images = Image | Sequence[Image] | Dataset

_SETTINGS = DataConfig()
_EXPECTED = "the path of a photograph, a PIL image, an array (h, w, 3) of uint8"


@dataclass(frozen=True, eq=False)
class Photograph:
    """One opened image; `key` depends on its pixels alone."""

    image_id: str
    image: DecodedImage

    @property
    def key(self) -> str:
        """32 hexadecimal digits of the pixels."""
        pixels = self.image.pixels
        return hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:32]


def open_images(images: Images) -> Iterator[Photograph]:
    """Yield the images upright as 8-bit RGB, one at a time.

    An image's `image_id` is that of the data set's row, its path, or its number in the sequence.

    Raises:
        DataError: a file is not there, or is not a photograph.
        TypeError: an image is of another kind.
        ValueError: an array is not (h, w, 3) uint8.
    """
    if isinstance(images, Dataset):
        table = images.table.images
        for row, image_id in enumerate(table.image_id):
            yield Photograph(str(image_id), _read(images, row))
        return
    single = isinstance(images, str | os.PathLike | PilImage.Image) or (
        isinstance(images, np.ndarray) and images.ndim == 3
    )
    if not single and (isinstance(images, Mapping | pd.DataFrame) or not isinstance(images, Iterable)):
        check_kind("images", images, Dataset, f"{_EXPECTED}, or a list of them, or a Dataset")
    listed: Sequence[Any] = [images] if single else images  # type: ignore[assignment]
    for number, image in enumerate(listed):
        name = os.fspath(image) if isinstance(image, str | os.PathLike) else str(number)
        yield Photograph(name, _opened(image))


def in_chunks(photographs: Iterable[Photograph], size: int = 32) -> Iterator[list[Photograph]]:
    """Yield the photographs in lists, so that few are held at once."""
    left = iter(photographs)
    while some := list(islice(left, size)):
        yield some


def pixels_of(image: Image) -> NDArray[np.uint8]:
    """Return one image as (h, w, 3) RGB."""
    return next(open_images([image])).image.pixels


def _read(dataset: Dataset, row: int) -> DecodedImage:
    table = dataset.table.images
    try:
        return read_image(table, row, _SETTINGS)
    except UnreadableImageError as error:
        raise DataError(f"{table.root / table.path[row]}: {error}") from error


def _opened(image: Image) -> DecodedImage:
    if isinstance(image, PilImage.Image):
        pixels, alpha = to_rgb(ImageOps.exif_transpose(image))
        return DecodedImage(np.ascontiguousarray(pixels), alpha, (pixels.shape[1], pixels.shape[0]))
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"images: expected arrays (h, w, 3) of uint8, got {image.shape} of {image.dtype}.")
        pixels = resize_long_side(image, _SETTINGS.decode_long_side, enlarge=False)
        return DecodedImage(np.ascontiguousarray(pixels), None, (image.shape[1], image.shape[0]))
    check_kind("images", image, (str, os.PathLike), _EXPECTED)
    path = Path(image)
    try:
        return decode(read_regular(path), WHOLE_XYWHR, _SETTINGS.decode_long_side, _SETTINGS.max_pixels)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnreadableImageError as error:
        raise DataError(f"{path}: {error}") from error
