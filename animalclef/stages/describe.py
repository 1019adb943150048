"""Decode every photograph once and hand it to everything that wants a look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Protocol

from animalclef.artefacts import DecodedImage, ImageTable, SetAside
from animalclef.config import DataConfig
from animalclef.data.decode import UnreadableImageError, read_image
from animalclef.data.encounters import thumbnail
from animalclef.progress import Progress
from animalclef.store.shards import Entry, ShardStore
from animalclef.threads import one_thread_each, worker_threads

__all__ = ["Extractor", "Look", "ThumbnailExtractor", "describe"]


class Extractor(Protocol):
    """Makes one store entry per image."""

    def describe(self, images: Sequence[DecodedImage], pool: Executor) -> list[Entry]:
        """Entries of the given images, in their order; `pool` has the run's worker threads."""
        ...


@dataclass(frozen=True)
class Look:
    """An extractor and the store its entries go to."""

    extractor: Extractor
    store: ShardStore


class ThumbnailExtractor:
    """The thumbnail that near-duplicates are found by."""

    def describe(self, images: Sequence[DecodedImage], pool: Executor) -> list[Entry]:
        """`thumbnail`: (1024,) float32."""
        return [{"thumbnail": thumbnail(image.pixels)} for image in images]


def describe(
    images: ImageTable, looks: Sequence[Look], config: DataConfig, workers: int, progress: Progress, chunk: int = 64
) -> list[SetAside]:
    """Fill every store with an entry for every image; the images that cannot be decoded come back set aside.

    Only what is absent or damaged is made. Each chunk is written before the next is begun.

    Raises:
        DataError: a file changed since it was first read.
    """
    wanted = {key for look in looks for key in look.store.verify(images.key)}
    first_row = {key: row for row, key in reversed(list(enumerate(images.key)))}
    rows = [row for key, row in sorted(first_row.items(), key=lambda item: item[1]) if key in wanted]
    reason_of: dict[str, str] = {}
    with (
        one_thread_each(),
        worker_threads(workers) as pool,
        progress.task("describing photographs", len(rows), "images") as advance,
    ):
        for chunk_rows, decoded in _decoded_chunks(images, rows, config, pool, chunk):
            good = {key: image for key, image in decoded.items() if isinstance(image, DecodedImage)}
            reason_of.update({key: str(error) for key, error in decoded.items() if key not in good})
            for look in looks:
                keys = look.store.missing(good)
                entries = look.extractor.describe([good[key] for key in keys], pool)
                look.store.put(dict(zip(keys, entries, strict=True)))
            advance(len(chunk_rows))
    return [
        SetAside(image_id, path, "query" if query else "gallery", reason_of[key])
        for image_id, path, query, key in zip(images.image_id, images.path, images.is_query, images.key, strict=True)
        if key in reason_of
    ]


Decoded = dict[str, DecodedImage | UnreadableImageError]


def _decoded_chunks(
    images: ImageTable, rows: list[int], config: DataConfig, pool: Executor, chunk: int
) -> Iterator[tuple[list[int], Decoded]]:
    """Decode a chunk while the one before it is being described."""
    chunks = [rows[start : start + chunk] for start in range(0, len(rows), chunk)]
    job: Callable[[int], DecodedImage | UnreadableImageError] = lambda row: _try_read(images, row, config)  # noqa: E731
    ahead: list[Future[DecodedImage | UnreadableImageError]] = [pool.submit(job, row) for row in next(iter(chunks), [])]
    for number, chunk_rows in enumerate(chunks):
        now = [future.result() for future in ahead]
        following = chunks[number + 1] if number + 1 < len(chunks) else []
        ahead = [pool.submit(job, row) for row in following]
        yield chunk_rows, {images.key[row]: image for row, image in zip(chunk_rows, now, strict=True)}


def _try_read(images: ImageTable, row: int, config: DataConfig) -> DecodedImage | UnreadableImageError:
    try:
        return read_image(images, row, config)
    except UnreadableImageError as error:
        return error
    except MemoryError:
        return UnreadableImageError("not enough memory to decode it")
