"""Keep the photographs of a training decoded and reduced, so that each is read once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

import cv2
import numpy as np
import PIL
from numpy.typing import NDArray

from animalclef.config import fingerprint
from animalclef.config.data import DataConfig
from animalclef.data.encounters import thumbnail
from animalclef.errors import DataError
from animalclef.features.extract import NO_MEMORY, ExtractionJob, extract_features
from animalclef.runtime.progress import Progress
from animalclef.store.shard_store import Entry, ShardStore
from animalclef.structures import DecodedImage, ImageTable, Skipped

__all__ = ["LARGER", "ImageCache", "cache_images"]

LARGER = 1.25
"""The long side of a cached copy, as a multiple of the network's input, so that crops and zooms stay sharp."""


class ImageCache:
    """Reduced copies by content key."""

    def __init__(self, store: ShardStore) -> None:
        self.store = store

    def pixels(self, key: str) -> NDArray[np.uint8]:
        """Return (H, W, 3) RGB."""
        return self.store.get(key)["pixels"].astype(np.uint8, copy=False)


def cache_images(
    table: ImageTable, folder: Path, image_size: int, config: DataConfig, workers: int, progress: Progress
) -> tuple[ImageCache, list[Skipped]]:
    """Decode what is not cached yet, cut to its box, into a store below `folder`; return it and what is unreadable.

    Chunks are written as they come, so an interrupted run resumes. `table` holds its content keys.

    Raises:
        DataError: there is not enough memory to decode a photograph.
    """
    reading = config.model_copy(update={"decode_long_side": max(64, round(LARGER * image_size))})
    of_this_size = folder / fingerprint(2, reading.decode_long_side, cv2.__version__, PIL.__version__)
    store, unreadable = (ShardStore(of_this_size / name) for name in ("pictures", f"unreadable-{reading.max_pixels}"))
    broken = extract_features(table, [ExtractionJob(_Reduced(), store)], unreadable, reading, workers, progress)
    if short := [one.path for one in broken if one.reason == NO_MEMORY]:  # without it another training
        raise DataError(f"{table.root / short[0]}: {NO_MEMORY}. Give fewer --workers, or leave it out.")
    return ImageCache(store), broken


class _Reduced:
    """The photograph itself, and its thumbnail."""

    in_batches = False
    decodes_fully = False

    def extract_features(self, images: Sequence[DecodedImage], pool: Executor) -> list[Entry]:
        """Return `pixels`, (H, W, 3) uint8 RGB, and `thumbnail`, (1024,) float32, of every photograph."""
        return [{"pixels": image.pixels, "thumbnail": thumbnail(image.pixels)} for image in images]
