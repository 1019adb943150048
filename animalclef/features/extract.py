"""Decode every photograph once and hand it to everything that wants a look at it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from animalclef.config import DataConfig
from animalclef.data.decode import UnreadableImageError, read_image
from animalclef.data.encounters import thumbnail
from animalclef.engine.work import Engine, ThisMachine
from animalclef.runtime.prefetch import one_ahead
from animalclef.runtime.progress import Progress
from animalclef.runtime.threads import one_thread_each, worker_threads
from animalclef.store.shard_store import Entry, ShardStore
from animalclef.structures import DecodedImage, FloatArray, ImageTable, Skipped

__all__ = ["NO_MEMORY", "ExtractionJob", "Extractor", "ThumbnailExtractor", "extract_features", "stored_thumbnails"]

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


def stored_thumbnails(store: ShardStore, keys: Iterable[str]) -> dict[str, FloatArray]:
    """Return the thumbnails (1024,) that a store holds, by content key."""
    return {key: store.get(key)["thumbnail"].astype(np.float32) for key in dict.fromkeys(keys)}


def extract_features(
    images: ImageTable,
    looks: Sequence[ExtractionJob],
    unreadable: ShardStore,
    config: DataConfig,
    workers: int,
    progress: Progress,
    chunk: int = 32,
    engine: Engine | None = None,
) -> list[Skipped]:
    """Fill every store with an entry for every image; return the images that cannot be decoded.

    An extractor with `decodes_fully` gets photographs at full size, others at `config.decode_long_side`.

    Only what is absent or damaged is made, chunk by chunk, each written before the next is begun. The chunks' borders
    never move, and an extractor that works in batches describes a chunk whole: it sees the same batches after an
    interruption and on any engine. `unreadable` remembers why an image could not be decoded.

    Raises:
        DataError: a file changed since it was first read.
    """
    full = [job for job in looks if getattr(job.extractor, "decodes_fully", False)]
    rest = [job for job in looks if job not in full]
    skipped: dict[str, Skipped] = {}
    engine = engine or ThisMachine()
    if full:
        unreduced = config.model_copy(update={"decode_long_side": _UNREDUCED})
        found = _extract(images, full, unreadable, unreduced, workers, progress, min(chunk, _FULL_CHUNK), engine)
        skipped |= {item.image_id: item for item in found}
    if rest or not full:
        found = _extract(images, rest, unreadable, config, workers, progress, chunk, engine)
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
    engine: Engine,
) -> list[Skipped]:
    broken = set(images.key) - set(unreadable.verify(images.key))
    lacking = [(look.extractor.in_batches, set(look.store.verify(images.key)) - broken) for look in looks]
    first_row = {key: row for row, key in reversed(list(enumerate(images.key)))}
    rows = sorted(first_row.values())
    whole = [rows[start : start + chunk] for start in range(0, len(rows), chunk)]
    chunks = [part for part in (_needed(images, part, lacking, broken) for part in whole) if part]
    reason_of = {key: unreadable.get(key)["reason"].tobytes().decode() for key in broken}
    parts = (images.select(np.array(part)) for part in chunks)
    absent = [keys for _, keys in lacking]
    with progress.task("describing photographs", sum(map(len, chunks)), "images") as advance:
        for one in engine.ordered(_Description(looks, absent, unreadable, config, workers), parts):
            for store, path in zip([*(look.store for look in looks), unreadable], one.files, strict=True):
                store.include(path)
            reason_of.update(one.reason_of)
            advance(one.count)
    return [
        Skipped(image_id, path, "query" if query else "gallery", reason_of[key])
        for image_id, path, query, key in zip(images.image_id, images.path, images.is_query, images.key, strict=True)
        if key in reason_of
    ]


Lacking = list[tuple[bool, set[str]]]
Tried = DecodedImage | UnreadableImageError | MemoryError


@dataclass(frozen=True)
class _Described:
    """One chunk that is in the stores."""

    count: int
    files: list[Path | None]  # of every look and of the unreadable ones
    reason_of: dict[str, str]  # why a photograph could not be decoded, by content key


@dataclass(frozen=True, eq=False)
class _Description:
    """The work of describing chunks of photographs; each is written before the next one is begun."""

    looks: Sequence[ExtractionJob]
    lacking: Sequence[set[str]]  # keys without an entry in the store of each look, as the first process saw it
    unreadable: ShardStore
    config: DataConfig
    workers: int
    title = "describing photographs"
    chunks_a_task = 4

    def run(self, chunks: Iterable[ImageTable]) -> Iterator[_Described]:
        """Describe chunks; the next one is decoded meanwhile."""
        with (
            one_thread_each(),
            worker_threads(self.workers) as pool,
            worker_threads(self.workers) as ahead,  # its own: what a network waits for must not queue behind a chunk
        ):
            for chunk, coming in one_ahead(lambda chunk: _decode(chunk, self.config, ahead), chunks):
                decoded = {key: one.result() for key, one in zip(chunk.key, coming, strict=True)}
                yield self._describe(decoded, pool)

    def named(self, chunk: ImageTable) -> str:
        """Return the first photograph of a chunk."""
        return f"{chunk.path[0]} and what follows it"

    def with_threads(self, threads: int) -> _Description:
        """Return the same work on so many threads."""
        return replace(self, workers=threads)

    def _describe(self, decoded: dict[str, Tried], pool: Executor) -> _Described:
        good = {key: image for key, image in decoded.items() if isinstance(image, DecodedImage)}
        files = []
        for look, lacks in zip(self.looks, self.lacking, strict=True):
            missing = [key for key in good if key in lacks]
            shown = list(good) if look.extractor.in_batches and missing else missing
            entries = dict(zip(shown, look.extractor.extract_features([good[key] for key in shown], pool), strict=True))
            files.append(look.store.put({key: entries[key] for key in missing}))
        failed = {key: str(error) for key, error in decoded.items() if isinstance(error, UnreadableImageError)}
        files.append(
            self.unreadable.put({key: {"reason": np.frombuffer(why.encode(), np.uint8)} for key, why in failed.items()})
        )
        reasons = {key: failed.get(key, NO_MEMORY) for key in decoded.keys() - good.keys()}
        return _Described(len(decoded), files, reasons)


def _needed(images: ImageTable, part: list[int], lacking: Lacking, broken: set[str]) -> list[int]:
    """Rows of a chunk that must be decoded: those that lack something, or all where a batch is to be made again."""
    keys = {images.key[row] for row in part}
    together = any(in_batches and keys & absent for in_batches, absent in lacking)
    wanted = keys - broken if together else {key for _, absent in lacking for key in keys & absent}
    return [row for row in part if images.key[row] in wanted]


def _decode(chunk: ImageTable, config: DataConfig, pool: Executor) -> tuple[ImageTable, list[Future[Tried]]]:
    return chunk, [pool.submit(_try_read, chunk, row, config) for row in range(len(chunk))]


def _try_read(images: ImageTable, row: int, config: DataConfig) -> Tried:
    try:
        return read_image(images, row, config)
    except (UnreadableImageError, MemoryError) as error:
        return error
