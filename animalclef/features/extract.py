"""Decode every photograph once and hand it to everything that wants a look at it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from animalclef.config import DataConfig
from animalclef.data.decode import UnreadableImageError, read_image
from animalclef.data.encounters import thumbnail
from animalclef.engine.work import Engine, ThisMachine, ThreadedWork
from animalclef.runtime.progress import Progress
from animalclef.runtime.threads import one_ahead, one_thread_each, worker_threads
from animalclef.store.shard_store import Entry, ShardStore
from animalclef.structures import DecodedImage, FloatArray, ImageTable, Skipped

__all__ = ["NO_MEMORY", "ExtractionJob", "Extractor", "ThumbnailExtractor", "extract_features", "stored_thumbnails"]

_UNREDUCED, _FULL_CHUNK = 1_000_000, 8  # long side; whole photographs in memory at once

NO_MEMORY = "not enough memory to decode it"


class Extractor(Protocol):
    """Makes one store entry per image; with `in_batches` its last bits may depend on the images beside it."""

    in_batches: bool  # images are described together

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
    unreduced = config.model_copy(update={"decode_long_side": _UNREDUCED})
    passes = [(full, unreduced, min(chunk, _FULL_CHUNK))] if full else []
    if rest or not full:
        passes.append((rest, config, chunk))
    reason_of: dict[str, str] = {}
    for some, reading, size in passes:
        broken = set(images.key) - set(unreadable.verify(images.key))
        lacking = [set(look.store.verify(images.key)) - broken for look in some]
        work = _Description(some, lacking, broken, unreadable, reading, workers=workers)
        reason_of |= _extract(images, work, progress, size, engine or ThisMachine())
    return [images.skipped(row, reason_of[key]) for row, key in enumerate(images.key) if key in reason_of]


def _extract(images: ImageTable, work: _Description, progress: Progress, chunk: int, engine: Engine) -> dict[str, str]:
    """Do the work; return why photographs could not be decoded, by content key."""
    first_row = {key: row for row, key in reversed(list(enumerate(images.key)))}
    rows = sorted(first_row.values())
    chunks = [work.needed(images, rows[start : start + chunk]) for start in range(0, len(rows), chunk)]
    parts = (images.select(np.array(part)) for part in chunks if part)
    reason_of = {key: work.unreadable.get(key)["reason"].tobytes().decode() for key in work.broken}
    with progress.task("describing photographs", sum(map(len, chunks)), "images") as advance:
        for one in engine.ordered(work, parts):
            for store, path in zip([*(look.store for look in work.looks), work.unreadable], one.files, strict=True):
                store.include(path)
            reason_of.update(one.reason_of)
            advance(one.count)
    return reason_of


Tried = DecodedImage | UnreadableImageError | MemoryError


@dataclass(frozen=True)
class _Described:
    """One chunk that is in the stores."""

    count: int
    files: list[Path | None]  # of every look and of the unreadable ones
    reason_of: dict[str, str]  # why a photograph could not be decoded, by content key


@dataclass(frozen=True, eq=False)
class _Description(ThreadedWork):
    """The work of describing chunks of photographs; each is written before the next one is begun."""

    looks: Sequence[ExtractionJob]
    lacking: Sequence[set[str]]  # keys without an entry in the store of each look, as the first process saw it
    broken: set[str]  # keys of photographs that could not be decoded before
    unreadable: ShardStore
    config: DataConfig
    title = "describing photographs"
    chunks_a_task = 4

    def needed(self, images: ImageTable, part: list[int]) -> list[int]:
        """Return rows of a chunk to decode: those that lack something, or all where a batch is to be made again."""
        keys = {images.key[row] for row in part}
        batched = [lacks for look, lacks in zip(self.looks, self.lacking, strict=True) if look.extractor.in_batches]
        again = any(keys & lacks for lacks in batched)
        wanted = keys - self.broken if again else keys & set().union(*self.lacking)
        return [row for row in part if images.key[row] in wanted]

    def run(self, chunks: Iterable[ImageTable]) -> Iterator[_Described]:
        """Describe chunks; the next one is decoded meanwhile."""
        with (
            one_thread_each(),
            worker_threads(self.workers) as pool,
            worker_threads(self.workers) as ahead,  # its own: what a network waits for must not queue behind a chunk
        ):
            for coming in one_ahead(lambda chunk: self._decode(chunk, ahead), chunks):
                yield self._describe({key: one.result() for key, one in coming}, pool)

    def named(self, chunk: ImageTable) -> str:
        """Return the first photograph of a chunk."""
        return f"{chunk.path[0]} and what follows it"

    def _decode(self, chunk: ImageTable, pool: Executor) -> list[tuple[str, Future[Tried]]]:
        return [(key, pool.submit(_try_read, chunk, row, self.config)) for row, key in enumerate(chunk.key)]

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


def _try_read(images: ImageTable, row: int, config: DataConfig) -> Tried:
    try:
        return read_image(images, row, config)
    except (UnreadableImageError, MemoryError) as error:
        return error
