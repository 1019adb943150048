"""Write one photograph to disk, normally or as one of the odd cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from animalclef.synthetic.photograph import Photograph
from animalclef.synthetic.plan import Oddity

__all__ = ["TINY_SIZE_WH", "store_photograph"]

TINY_SIZE_WH = (16, 11)
_ORIENTATION_TAG, _TURN_RIGHT = 0x0112, 6


def store_photograph(path: Path, photo: Photograph, oddity: Oddity, rng: np.random.Generator) -> None:
    """Write a photograph as JPEG of varying quality, or as its oddity asks.

    `tiny` shrinks it to 16 x 11 pixels, `grey` has a single channel, `exif` stores it lying on its side with an
    Orientation tag, `cutout` is a PNG with transparent background.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    quality = int(rng.integers(55, 96))
    picture = Image.fromarray(photo.pixels)
    if oddity == "cutout":
        Image.fromarray(np.dstack([photo.pixels, photo.mask])).save(path, "PNG")
    elif oddity == "tiny":
        picture.resize(TINY_SIZE_WH, Image.Resampling.LANCZOS).save(path, "JPEG", quality=90)
    elif oddity == "grey":
        picture.convert("L").save(path, "JPEG", quality=quality)
    elif oddity == "exif":
        exif = Image.Exif()
        exif[_ORIENTATION_TAG] = _TURN_RIGHT
        picture.transpose(Image.Transpose.ROTATE_90).save(path, "JPEG", quality=quality, exif=exif)
    else:
        picture.save(path, "JPEG", quality=quality)
