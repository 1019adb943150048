"""Open images of every kind that the API accepts: paths, PIL images, arrays, or a data set."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageOps

from animalclef.api.datasets import Dataset, PathLike, check_kind
from animalclef.config import DataConfig
from animalclef.data.decode import UnreadableImageError, decode, read_image, reduced
from animalclef.data.hashing import read_key
from animalclef.data.pixels import to_rgb
from animalclef.errors import DataError
from animalclef.runtime.regular_files import read_regular
from animalclef.runtime.wording import counted
from animalclef.structures import WHOLE_XYWHR, DecodedImage, ImageTable, Skipped

__all__ = ["Image", "Images", "Photograph", "in_chunks", "open_image", "open_images", "tell_skipped"]

logger = logging.getLogger(__name__)

Image = PathLike | PilImage.Image | NDArray[np.uint8]
Images = Image | Sequence[Image] | Dataset

_CHUNK = 32  # photographs that are held at once
_REDUCED = DataConfig()
_WHOLE = _REDUCED.model_copy(update={"decode_long_side": 1 << 30})
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


def open_images(images: Images, skip: Callable[[Skipped], None], *, whole: bool = False) -> Iterator[Photograph]:
    """Yield the images upright as 8-bit RGB, one at a time, reduced to a long side of 1,024 pixels unless `whole`.

    A JPEG file is reduced while it is decoded, so its pixels differ slightly from those of the picture opened before.
    An image's `image_id` is that of the data set's row, its path, or its number in the sequence. `skip` gets each
    photograph of a data set that cannot be used.

    Raises:
        DataError: a file of no data set is not there, or is not a photograph.
        TypeError: an image is of another kind.
        ValueError: an image is empty, or an array is not (h, w, 3) uint8.
    """
    settings = _WHOLE if whole else _REDUCED
    if isinstance(images, Dataset):
        yield from _rows(images.table.images, settings, skip)
        return
    single = isinstance(images, str | os.PathLike | PilImage.Image) or (
        isinstance(images, np.ndarray) and images.ndim in (2, 3)
    )
    if not single and (isinstance(images, Mapping | pd.DataFrame) or not isinstance(images, Iterable)):
        check_kind("images", images, Dataset, f"{_EXPECTED}, or a list of them, or a Dataset")
    listed: Iterable[Any] = [images] if single else images  # type: ignore[assignment]
    for number, given in enumerate(listed):
        name = os.fspath(given) if isinstance(given, str | os.PathLike) else str(number)
        yield Photograph(name, _opened(given, settings))


def _rows(table: ImageTable, settings: DataConfig, skip: Callable[[Skipped], None]) -> Iterator[Photograph]:
    for row, image_id in enumerate(table.image_id):
        try:
            image = read_image(table, row, settings)
        except (UnreadableImageError, DataError) as error:
            _, reason = read_key(table.root / table.path[row], table.bbox_xywhr[row])
            skip(table.skipped(row, reason or str(error)))
        else:
            yield Photograph(str(image_id), image)


def tell_skipped(skipped: Sequence[Skipped], used: int) -> None:
    """Warn of the photographs of a data set that were skipped; `used` is the number of the others.

    Raises:
        DataError: there are no others.
    """
    if not skipped:
        return
    first = f"(first: {skipped[0].path}: {skipped[0].reason})"
    if not used:
        raise DataError(f"No photograph of the data set can be used {first}.")
    logger.warning("%s skipped %s.", counted(len(skipped), "photograph", "was"), first)


def in_chunks(photographs: Iterable[Photograph]) -> Iterator[list[Photograph]]:
    """Yield the photographs in lists, so that few are held at once."""
    left = iter(photographs)
    while some := list(islice(left, _CHUNK)):
        yield some


def open_image(image: Image) -> DecodedImage:
    """Return one image."""
    return _opened(image, _REDUCED)


def _opened(image: Image, settings: DataConfig) -> DecodedImage:
    if isinstance(image, PilImage.Image):
        if not image.width or not image.height:
            raise ValueError(f"images: expected pictures with pixels, got one of {image.width} x {image.height}.")
        pixels, alpha = to_rgb(ImageOps.exif_transpose(image))
        return reduced(pixels, alpha, settings.decode_long_side, pixels.shape[1::-1])
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ValueError(f"images: expected filled arrays (h, w, 3) of uint8, got {image.shape} of {image.dtype}.")
        return reduced(image, None, settings.decode_long_side, image.shape[1::-1])
    check_kind("images", image, (str, os.PathLike), _EXPECTED)
    path = Path(image)
    try:
        return decode(read_regular(path), WHOLE_XYWHR, settings.decode_long_side, settings.max_pixels)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnreadableImageError as error:
        raise DataError(f"{path}: {error}") from error
