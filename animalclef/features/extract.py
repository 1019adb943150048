"""Extract the features of photographs into stores: each photograph is decoded once for all extractors."""

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

__all__ = [
    "IMAGES_A_TASK",
    "NO_MEMORY",
    "ExtractionJob",
    "Extractor",
    "ThumbnailExtractor",
    "extract_features",
    "stored_thumbnails",
]

_FULL_LONG_SIDE = 1_000_000  # pixels: no photograph is larger, so none is reduced
_FULL_CHUNK = 8  # photographs of full size in memory at once
_CHUNK, _CHUNKS_A_TASK = 32, 4
IMAGES_A_TASK = _CHUNK * _CHUNKS_A_TASK  # of a cluster

NO_MEMORY = "not enough memory to decode it"


class Extractor(Protocol):
    """Makes one store entry of each image.

    Only where `in_batches` is true may the last bits of an entry depend on the images in the same call.
    """

    in_batches: bool
    decodes_fully: bool  # gets photographs at full size, not reduced to `data.decode_long_side`

    def extract_features(self, images: Sequence[DecodedImage], pool: Executor) -> list[Entry]:
        """Return an entry (arrays by name) for each image, in their order; `pool` has the run's worker threads."""
        ...


@dataclass(frozen=True)
class ExtractionJob:
    """An extractor and the store its entries go to."""

    extractor: Extractor
    store: ShardStore


class ThumbnailExtractor:
    """The thumbnail that near-duplicates are found by."""

    in_batches = False
    decodes_fully = False

    def extract_features(self, images: Sequence[DecodedImage], pool: Executor) -> list[Entry]:
        """Return `thumbnail`, (1024,) float32, of every photograph."""
        return [{"thumbnail": thumbnail(image.pixels)} for image in images]


def stored_thumbnails(store: ShardStore, keys: Iterable[str]) -> dict[str, FloatArray]:
    """Return the thumbnails (1024,) that a store holds, by content key."""
    return {key: store.get(key)["thumbnail"].astype(np.float32) for key in dict.fromkeys(keys)}


def extract_features(
    images: ImageTable,
    jobs: Sequence[ExtractionJob],
    unreadable: ShardStore,
    config: DataConfig,
    workers: int,
    progress: Progress,
    chunk: int = _CHUNK,
    engine: Engine | None = None,
) -> list[Skipped]:
    """Fill the store of every job with an entry for every image; return the images that cannot be decoded.

    Only what is absent or damaged is made, chunk by chunk, each written before the next is begun. The chunks' borders
    never move, and an extractor with `in_batches` gets a chunk whole: it sees the same batches after an interruption
    and on any engine. `unreadable` remembers why an image could not be decoded.

    Raises:
        DataError: a file changed since it was first read.
    """
    full = [job for job in jobs if job.extractor.decodes_fully]
    reduced = [job for job in jobs if not job.extractor.decodes_fully]
    passes = []
    if full:
        unreduced = config.model_copy(update={"decode_long_side": _FULL_LONG_SIDE})
        passes.append((full, unreduced, min(chunk, _FULL_CHUNK)))
    if reduced or not full:
        passes.append((reduced, config, chunk))
    reason_of: dict[str, str] = {}
    for some, reading, size in passes:
        broken = set(images.key) - set(unreadable.verify(images.key))
        missing = [set(job.store.verify(images.key)) - broken for job in some]
        work = _Extraction(some, missing, broken, unreadable, reading, workers=workers)
        reason_of |= _run(images, work, progress, size, engine or ThisMachine())
    return [images.skipped(row, reason_of[key]) for row, key in enumerate(images.key) if key in reason_of]


def _run(images: ImageTable, work: _Extraction, progress: Progress, chunk: int, engine: Engine) -> dict[str, str]:
    """Do the work; return why photographs could not be decoded, by content key."""
    first_row = {key: row for row, key in reversed(list(enumerate(images.key)))}
    rows = sorted(first_row.values())
    chunks = [work.rows_to_decode(images, rows[start : start + chunk]) for start in range(0, len(rows), chunk)]
    parts = (images.select(np.array(part)) for part in chunks if part)
    reason_of = {key: work.unreadable.get(key)["reason"].tobytes().decode() for key in work.broken}
    with progress.task(work.title, sum(map(len, chunks)), "images") as advance:
        for done in engine.ordered(work, parts):
            for store, path in zip([*(job.store for job in work.jobs), work.unreadable], done.files, strict=True):
                store.include(path)
            reason_of.update(done.reason_of)
            advance(done.count)
    return reason_of


_Decoded = DecodedImage | UnreadableImageError | MemoryError  # the image, or why there is none


@dataclass(frozen=True)
class _StoredChunk:
    """One chunk whose entries are in the stores."""

    count: int
    files: list[Path | None]  # of every job's store and of the unreadable ones
    reason_of: dict[str, str]  # why a photograph could not be decoded, by content key


@dataclass(frozen=True, eq=False)
class _Extraction(ThreadedWork):
    """The work of extracting features of chunks of photographs; each is written before the next one is begun."""

    jobs: Sequence[ExtractionJob]
    missing: Sequence[set[str]]  # content keys without an entry in each job's store, as the first process saw it
    broken: set[str]  # content keys of photographs that could not be decoded before
    unreadable: ShardStore
    config: DataConfig
    title = "extracting features"
    chunks_a_task = _CHUNKS_A_TASK

    def rows_to_decode(self, images: ImageTable, chunk: list[int]) -> list[int]:
        """Return the rows of a chunk that lack an entry; all readable ones where a batch is to be made again."""
        keys = {images.key[row] for row in chunk}
        lacking = zip(self.jobs, self.missing, strict=True)
        again = any(job.extractor.in_batches and keys & lacks for job, lacks in lacking)
        wanted = keys - self.broken if again else keys & set().union(*self.missing)
        return [row for row in chunk if images.key[row] in wanted]

    def run(self, chunks: Iterable[ImageTable]) -> Iterator[_StoredChunk]:
        """Yield each chunk when it is stored; the next one is decoded meanwhile."""
        with (
            one_thread_each(),
            worker_threads(self.workers) as pool,
            worker_threads(self.workers) as decoders,  # apart: what a network waits for must not queue behind a chunk
        ):
            for coming in one_ahead(lambda chunk: self._decode(chunk, decoders), chunks):
                yield self._extract({key: one.result() for key, one in coming}, pool)

    def named(self, chunk: ImageTable) -> str:
        """Return the first photograph of a chunk."""
        return f"{chunk.path[0]} and what follows it"

    def _decode(self, chunk: ImageTable, pool: Executor) -> list[tuple[str, Future[_Decoded]]]:
        return [(key, pool.submit(_try_read, chunk, row, self.config)) for row, key in enumerate(chunk.key)]

    def _extract(self, decoded: dict[str, _Decoded], pool: Executor) -> _StoredChunk:
        readable = {key: image for key, image in decoded.items() if isinstance(image, DecodedImage)}
        files = []
        for job, lacks in zip(self.jobs, self.missing, strict=True):
            wanted = [key for key in readable if key in lacks]
            given = list(readable) if job.extractor.in_batches and wanted else wanted
            made = job.extractor.extract_features([readable[key] for key in given], pool)
            entries = dict(zip(given, made, strict=True))
            files.append(job.store.put({key: entries[key] for key in wanted}))
        failed = {key: str(error) for key, error in decoded.items() if isinstance(error, UnreadableImageError)}
        reasons = {key: {"reason": np.frombuffer(why.encode(), np.uint8)} for key, why in failed.items()}
        files.append(self.unreadable.put(reasons))
        # Lack of memory is not remembered: the next run may have more.
        reason_of = {key: failed.get(key, NO_MEMORY) for key in decoded.keys() - readable.keys()}
        return _StoredChunk(len(decoded), files, reason_of)


def _try_read(images: ImageTable, row: int, config: DataConfig) -> _Decoded:
    try:
        return read_image(images, row, config)
    except (UnreadableImageError, MemoryError) as error:
        return error
