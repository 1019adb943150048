"""Make small copies of a run's photographs for pages and pictures."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.data.decode import UnreadableImageError, read_image, resize_long_side
from animalclef.data.masks import Masks, find_masks, read_mask
from animalclef.errors import AnimalClefError, ConfigError, DataError
from animalclef.runtime.progress import Progress
from animalclef.runtime.remote_files import store_failure
from animalclef.runtime.threads import one_thread_each, worker_threads
from animalclef.store.finished_run import FinishedRun
from animalclef.structures import DecodedImage
from animalclef.structures.arrays import BoolArray

__all__ = [
    "Copy",
    "copies_within",
    "copy_of",
    "copy_photographs",
    "data_address",
    "draw_outline",
    "failure_of_bucket",
    "mask_in_run",
    "outlined",
    "read_photograph",
]

_QUALITY = 78

_COLOUR = (255, 200, 60)


@dataclass(frozen=True)
class Copy:
    """A small JPEG of one photograph."""

    jpeg: bytes
    size_wh: tuple[int, int]


def read_photograph(run: FinishedRun, image_id: str, long_side: int) -> DecodedImage | None:
    """Read a photograph at no more than `long_side`; return `None` if it is missing or was changed.

    One in a bucket comes from there; `None` also where the bucket gives no answer.
    """
    smaller = run.config.data.model_copy(update={"decode_long_side": long_side})
    try:
        return read_image(run.images, run.row_of[image_id], smaller)
    except (ConfigError, DataError, UnreadableImageError, KeyError):
        return None


def failure_of_bucket(run: FinishedRun, absent: Iterable[str]) -> str:
    """Return why a bucket gives none of the photographs that are absent; "" where it answers, or there is none."""
    return store_failure(run.images.root / run.images.path[run.row_of[image_id]] for image_id in absent)


def copy_photographs(
    run: FinishedRun,
    image_ids: Sequence[str],
    long_side: int,
    workers: int,
    progress: Progress,
    store: Callable[[str, Copy], Copy] = lambda _, copy: copy,
) -> Iterator[tuple[str, Copy | None]]:
    """Copy photographs and yield the result of `store` for each, in their order."""

    def work(image_id: str) -> tuple[str, Copy | None]:
        image = read_photograph(run, image_id, long_side)
        return image_id, None if image is None else store(image_id, copy_of(outlined(run, image_id, image), long_side))

    with (
        one_thread_each(),
        worker_threads(workers) as pool,
        progress.task("copying photographs", len(image_ids), "images") as advance,
    ):
        for start in range(0, len(image_ids), 64):
            part = image_ids[start : start + 64]
            yield from pool.map(work, part)
            advance(len(part))


def outlined(run: FinishedRun, image_id: str, image: DecodedImage) -> DecodedImage:
    """Return the photograph with the outline of the mask that the run used, where it used one."""
    mask = mask_in_run(run, image_id, (image.pixels.shape[1], image.pixels.shape[0]))
    if mask is None:
        return image
    pixels = image.pixels.copy()
    draw_outline(pixels, mask)
    return replace(image, pixels=pixels)


def copies_within(
    run: FinishedRun, image_ids: Sequence[str], long_side: int, most_bytes: int, workers: int, progress: Progress
) -> Mapping[str, Copy | None]:
    """Copy photographs at `long_side`, or smaller so that together they take at most `most_bytes`."""
    copies = dict(copy_photographs(run, image_ids, long_side, workers, progress))
    while (total := sum(len(copy.jpeg) for copy in copies.values() if copy)) > most_bytes and long_side > 32:
        long_side = max(32, int(long_side * min(0.95, (most_bytes / total) ** 0.55)))
        copies = {name: copy and _shrunk(copy, long_side) for name, copy in copies.items()}
    return copies


def copy_of(image: DecodedImage, long_side: int) -> Copy:
    """Return a photograph as a JPEG of no more than `long_side`."""
    pixels = resize_long_side(image.pixels, long_side, enlarge=False)
    jpeg = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
    return Copy(jpeg, (pixels.shape[1], pixels.shape[0]))


def data_address(kind: str, content: bytes) -> str:
    """Return a picture as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _shrunk(copy: Copy, long_side: int) -> Copy:
    pixels = np.asarray(cv2.imdecode(np.frombuffer(copy.jpeg, np.uint8), cv2.IMREAD_COLOR))
    image = DecodedImage(np.ascontiguousarray(pixels[:, :, ::-1]).astype(np.uint8), None, copy.size_wh)
    return copy_of(image, long_side)


def mask_in_run(run: FinishedRun, image_id: str, size_wh: tuple[int, int]) -> BoolArray | None:
    """Return the mask (h, w) of a photograph, cut to its box; `None` where the run used none, or it cannot be read.

    `size_wh` is that of the photograph, or of its box.
    """
    masks, row = _masks(run), run.row_of[image_id]
    if masks is None or not masks.source[row]:
        return None
    try:
        return read_mask(run.images, row, masks.source[row], size_wh)
    except AnimalClefError:
        return None


def draw_outline(pixels: NDArray[np.uint8], mask: BoolArray) -> None:
    """Draw the mask's outline into an RGB photograph (h, w, 3); the mask may be of another scale."""
    height, width = pixels.shape[:2]
    full = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(full, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(pixels, contours, -1, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.drawContours(pixels, contours, -1, _COLOUR, 1, cv2.LINE_AA)


@lru_cache(maxsize=2)
def _masks(run: FinishedRun) -> Masks | None:
    folder = run.config.keypoints.masks
    try:
        return find_masks(run.images, None if folder is None else Path(folder))
    except AnimalClefError:
        return None
