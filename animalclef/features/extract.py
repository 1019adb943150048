"""Decode every photograph once and hand it to everything that wants a look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from animalclef.config import DataConfig
from animalclef.data.decode import UnreadableImageError, read_image
from animalclef.data.encounters import thumbnail
from animalclef.runtime.progress import Progress
from animalclef.runtime.threads import one_thread_each, worker_threads
from animalclef.store.shard_store import Entry, ShardStore
from animalclef.structures import DecodedImage, ImageTable, Skipped

__all__ = ["NO_MEMORY", "ExtractionJob", "Extractor", "ThumbnailExtractor", "extract_features"]

_UNREDUCED, _FULL_CHUNK = 1_000_000, 8  # long side; whole photographs in memory at once

NO_MEMORY = "not enough memory to decode it"


class Extractor(Protocol):
    """Makes one store entry per image; with `in_batches` its last bits may depend on the images beside it."""

    @property
    def in_batches(self) -> bool:
        """Whether images are described together."""
        ...

    def extract_features(self, images: Sequence[DecodedImage], pool: Executor) -> list[Entry]:
        """Entries of the given images, in their order; `pool` has the run's worker threads."""
        ...


@dataclass(frozen=True)
class ExtractionJob:
    """An extractor and the store its entries go to."""

    extractor: Extractor
    store: ShardStore


class ThumbnailExtractor:
    """The thumbnail that near-duplicates are found by."""

    in_batches = False

    def extract_features(self, images: Sequence[DecodedImage], pool: Executor) -> list[Entry]:
        """`thumbnail`: (1024,) float32."""
        return [{"thumbnail": thumbnail(image.pixels)} for image in images]


def extract_features(
    images: ImageTable,
    looks: Sequence[ExtractionJob],
    unreadable: ShardStore,
    config: DataConfig,
    workers: int,
    progress: Progress,
    chunk: int = 32,
) -> list[Skipped]:
    """Fill every store with an entry for every image; return the images that cannot be decoded.

    An extractor with `decodes_fully` gets photographs at full size, others at `config.decode_long_side`.

    Only what is absent or damaged is made, chunk by chunk, each written before the next is begun. The chunks' borders
    never move, and an extractor that works in batches describes a chunk whole: it sees the same batches after an
    interruption. `unreadable` remembers why an image could not be decoded.

    Raises:
        DataError: a file changed since it was first read.
    """
    full = [job for job in looks if getattr(job.extractor, "decodes_fully", False)]
    rest = [job for job in looks if job not in full]
    skipped: dict[str, Skipped] = {}
    if full:
        unreduced = config.model_copy(update={"decode_long_side": _UNREDUCED})
        found = _extract(images, full, unreadable, unreduced, workers, progress, min(chunk, _FULL_CHUNK))
        skipped |= {item.image_id: item for item in found}
    if rest or not full:
        found = _extract(images, rest, unreadable, config, workers, progress, chunk)
        skipped |= {item.image_id: item for item in found}
    return [skipped[image_id] for image_id in images.image_id if image_id in skipped]


def _extract(
    images: ImageTable,
    looks: Sequence[ExtractionJob],
    unreadable: ShardStore,
    config: DataConfig,
    workers: int,
    progress: Progress,
    chunk: int,
) -> list[Skipped]:
    broken = set(images.key) - set(unreadable.verify(images.key))
    lacking = [(look.extractor.in_batches, set(look.store.verify(images.key)) - broken) for look in looks]
    first_row = {key: row for row, key in reversed(list(enumerate(images.key)))}
    rows = sorted(first_row.values())
    whole = [rows[start : start + chunk] for start in range(0, len(rows), chunk)]
    chunks = [part for part in (_needed(images, part, lacking, broken) for part in whole) if part]
    reason_of = {key: unreadable.get(key)["reason"].tobytes().decode() for key in broken}
    with (
        one_thread_each(),
        worker_threads(workers) as pool,
        worker_threads(workers) as ahead,  # of their own: what a network waits for must not queue behind the next chunk
        progress.task("describing photographs", sum(map(len, chunks)), "images") as advance,
    ):
        for decoded in _decoded_chunks(images, chunks, config, ahead):
            good = {key: image for key, image in decoded.items() if isinstance(image, DecodedImage)}
            for look in looks:
                missing = look.store.missing(good)
                shown = list(good) if look.extractor.in_batches and missing else missing
                entries = dict(
                    zip(shown, look.extractor.extract_features([good[key] for key in shown], pool), strict=True)
                )
                look.store.put({key: entries[key] for key in missing})
            failed = {key: str(error) for key, error in decoded.items() if isinstance(error, UnreadableImageError)}
            unreadable.put({key: {"reason": np.frombuffer(why.encode(), np.uint8)} for key, why in failed.items()})
            reason_of.update({key: failed.get(key, NO_MEMORY) for key in decoded.keys() - good.keys()})
            advance(len(decoded))
    return [
        Skipped(image_id, path, "query" if query else "gallery", reason_of[key])
        for image_id, path, query, key in zip(images.image_id, images.path, images.is_query, images.key, strict=True)
        if key in reason_of
    ]


Lacking = list[tuple[bool, set[str]]]
Tried = DecodedImage | UnreadableImageError | MemoryError


def _needed(images: ImageTable, part: list[int], lacking: Lacking, broken: set[str]) -> list[int]:
    """Rows of a chunk that must be decoded: those that lack something, or all where a batch is to be made again."""
    keys = {images.key[row] for row in part}
    together = any(in_batches and keys & absent for in_batches, absent in lacking)
    wanted = keys - broken if together else {key for _, absent in lacking for key in keys & absent}
    return [row for row in part if images.key[row] in wanted]


def _decoded_chunks(
    images: ImageTable, chunks: list[list[int]], config: DataConfig, pool: Executor
) -> Iterator[dict[str, Tried]]:
    """Decode a chunk while the one before it is being described."""
    job: Callable[[int], Tried] = lambda row: _try_read(images, row, config)  # noqa: E731
    ahead: list[Future[Tried]] = [pool.submit(job, row) for row in next(iter(chunks), [])]
    for number, chunk_rows in enumerate(chunks):
        now = [future.result() for future in ahead]
        following = chunks[number + 1] if number + 1 < len(chunks) else []
        ahead = [pool.submit(job, row) for row in following]
        yield {images.key[row]: image for row, image in zip(chunk_rows, now, strict=True)}


def _try_read(images: ImageTable, row: int, config: DataConfig) -> Tried:
    try:
        return read_image(images, row, config)
    except (UnreadableImageError, MemoryError) as error:
        return error
