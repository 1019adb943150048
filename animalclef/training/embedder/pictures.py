"""The photographs of a training, decoded once and kept reduced."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import PIL
from numpy.typing import NDArray

from animalclef.artefacts import FloatArray, ImageTable, SetAside
from animalclef.config import fingerprint
from animalclef.config.photographs import DataConfig
from animalclef.data.decode import UnreadableImageError, read_image
from animalclef.data.encounters import thumbnail
from animalclef.progress import Progress
from animalclef.store.shards import Entry, ShardStore
from animalclef.threads import one_thread_each, worker_threads

__all__ = ["LARGER", "Pictures", "keep_pictures"]

logger = logging.getLogger(__name__)

LARGER = 1.25
"""The long side of a kept copy, as a multiple of the network's: crops and zooms still have pixels to draw on."""
_CHUNK = 64


class Pictures:
    """Reduced copies by content key."""

    def __init__(self, store: ShardStore) -> None:
        self.store = store

    def pixels(self, key: str) -> NDArray[np.uint8]:
        """(H, W, 3) RGB."""
        return self.store.get(key)["pixels"].astype(np.uint8, copy=False)

    def thumbnails(self, keys: list[str]) -> Mapping[str, FloatArray]:
        """What near-duplicates are found by."""
        return {key: self.store.get(key)["thumbnail"].astype(np.float32) for key in dict.fromkeys(keys)}


def keep_pictures(
    table: ImageTable, folder: Path, image_size: int, config: DataConfig, workers: int, progress: Progress
) -> tuple[Pictures, list[SetAside]]:
    """Decode what is not kept yet, cut to its box, into a store below `folder`; and what cannot be decoded.

    Chunks are written as they come, so a killed run goes on where it was. `table` knows its content keys.
    """
    reading = config.model_copy(update={"decode_long_side": max(64, round(LARGER * image_size))})
    store = ShardStore(folder / fingerprint(1, reading.decode_long_side, cv2.__version__, PIL.__version__))
    first_row = {key: row for row, key in reversed(list(enumerate(table.key)))}
    missing = sorted(first_row[key] for key in store.verify(table.key))
    reason_of: dict[str, str] = {}

    def look(row: int) -> Entry | str:
        try:
            pixels = read_image(table, row, reading).pixels
        except UnreadableImageError as error:
            return str(error)
        return {"pixels": pixels, "thumbnail": thumbnail(pixels)}

    with (
        one_thread_each(),
        worker_threads(workers) as pool,
        progress.task("reducing photographs", len(missing), "images") as advance,
    ):
        for start in range(0, len(missing), _CHUNK):
            chunk = missing[start : start + _CHUNK]
            made = dict(zip([table.key[row] for row in chunk], pool.map(look, chunk), strict=True))
            store.put({key: entry for key, entry in made.items() if not isinstance(entry, str)})
            reason_of |= {key: why for key, why in made.items() if isinstance(why, str)}
            advance(len(chunk))
    rows = [row for row, key in enumerate(table.key) if key in reason_of]
    return Pictures(store), [
        SetAside(table.image_id[row], table.path[row], "gallery", reason_of[table.key[row]]) for row in rows
    ]
