"""Find the animal's outline on every photograph once, and keep it under the photograph's content key."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from animalclef.config import DataConfig, fingerprint
from animalclef.data.decode import UnreadableImageError, decoding_of, read_image
from animalclef.data.masks import encode_mask
from animalclef.data.segmentation_cells import draw_segmentation
from animalclef.engine.work import Engine, ThisMachine
from animalclef.pipeline.cost import finding_sentence
from animalclef.pipeline.run_context import RunContext
from animalclef.prepare.body_box import plain_ground
from animalclef.prepare.segmenters import Segmenter, with_workers
from animalclef.runtime.progress import Progress
from animalclef.runtime.threads import one_ahead, worker_threads
from animalclef.store.shard_store import ShardStore
from animalclef.structures import DecodedImage, ImageTable
from animalclef.structures.arrays import BoolArray

__all__ = ["Outlines", "find_outlines", "outlines_of"]

_LONG_SIDE = 320  # of a stored outline in pixels; a salient-object network sees 320 x 320
_SHOWN_SIDE = 640  # of the photograph that a segmenter is given
_LEAST, _MOST = 0.005, 0.97  # of the photograph: a mask outside these shows no outline
_CHUNK = 16


@dataclass(frozen=True, eq=False)
class Outlines:
    """Stored outlines by content key; each is COCO run lengths as JSON, "" where no animal stands out."""

    store: ShardStore

    def text(self, key: str) -> str:
        """Return the outline as a cell of the table's `mask` column.

        Raises:
            KeyError: the photograph has not been segmented.
        """
        return self.store.get(key)["outline"].tobytes().decode()

    def mask(self, key: str) -> BoolArray | None:
        """Return the mask (h, w), long side 320 at most; `None` where no animal stands out."""
        text = self.text(key)
        return draw_segmentation(json.loads(text), (0, 0)) if text else None

    def is_uniform(self, key: str) -> bool:
        """Return whether the animal stands before a background of one colour."""
        return bool(self.store.get(key)["uniform"][0])


def outlines_of(images: ImageTable, context: RunContext) -> Outlines:
    """Find the outlines of photographs that the run does not have yet; what takes long is said before."""
    config, segmenter = context.config.data, context.models.segmenter
    if segmenter is None:
        raise ValueError("expected a segmenter, got none.")
    store = ShardStore(context.folder.store("outlines", fingerprint(2, segmenter.fingerprint, decoding_of(config))))
    if context.say is not None:
        absent, a_task = len(store.missing(images.key)), _CHUNK * _Segmentation.chunks_a_task
        sentence = finding_sentence(images, absent, a_task, segmenter, context)
        if sentence is not None:
            context.say(sentence)
    return find_outlines(images, segmenter, store, config, context.workers, context.progress, context.engine)


def find_outlines(
    images: ImageTable,
    segmenter: Segmenter,
    store: ShardStore,
    config: DataConfig,
    workers: int,
    progress: Progress,
    engine: Engine | None = None,
) -> Outlines:
    """Segment every photograph that the store lacks; transparency is taken for the outline where there is some.

    A photograph that cannot be decoded has no outline. Each chunk is written before the next one starts.

    Raises:
        DataError: a file changed since it was first read.
        OutputError: the store cannot be written.
    """
    absent = set(store.verify(images.key))
    rows = [row for key, row in {key: row for row, key in enumerate(images.key)}.items() if key in absent]
    small = config.model_copy(update={"decode_long_side": min(_SHOWN_SIDE, config.decode_long_side)})
    chunks = (images.select(np.array(rows[start : start + _CHUNK])) for start in range(0, len(rows), _CHUNK))
    with progress.task("finding animals", len(rows), "images") as advance:
        for count, path in (engine or ThisMachine()).ordered(_Segmentation(segmenter, store, small, workers), chunks):
            store.include(path)
            advance(count)
    return Outlines(store)


@dataclass(frozen=True, eq=False)
class _Segmentation:
    """The work of finding animals in chunks of photographs; each is written before the next one is begun."""

    segmenter: Segmenter
    store: ShardStore
    config: DataConfig
    workers: int
    title = "finding animals"
    chunks_a_task = 4

    def run(self, chunks: Iterable[ImageTable]) -> Iterator[tuple[int, Path | None]]:
        """Segment chunks, the next one is decoded meanwhile; yield how many photographs, and their file."""
        with worker_threads(self.workers) as pool:
            yield from (self._segment(*one) for one in one_ahead(lambda chunk: self._decode(chunk, pool), chunks))

    def named(self, chunk: ImageTable) -> str:
        """Return the first photograph of a chunk."""
        return f"{chunk.path[0]} and what follows it"

    def with_threads(self, threads: int) -> _Segmentation:
        """Return the same work on so many threads."""
        return replace(self, segmenter=with_workers(self.segmenter, threads), workers=threads)

    def _decode(self, chunk: ImageTable, pool: Executor) -> tuple[ImageTable, list[Future[DecodedImage | None]]]:
        return chunk, [pool.submit(_read, chunk, row, self.config) for row in range(len(chunk))]

    def _segment(self, chunk: ImageTable, coming: Sequence[Future[DecodedImage | None]]) -> tuple[int, Path | None]:
        decoded = [future.result() for future in coming]
        texts = _outline_texts(decoded, self.segmenter)
        uniform = np.array([[_is_uniform(image)] for image in decoded], np.uint8)
        entries = {
            key: {"outline": np.frombuffer(text.encode(), np.uint8), "uniform": one}
            for key, text, one in zip(chunk.key, texts, uniform, strict=True)
        }
        return len(chunk), self.store.put(entries)


def _read(images: ImageTable, row: int, config: DataConfig) -> DecodedImage | None:
    try:
        return read_image(images, row, config)
    except (UnreadableImageError, MemoryError):
        return None


def _outline_texts(decoded: Sequence[DecodedImage | None], segmenter: Segmenter) -> list[str]:
    masks = [None if image is None else image.opaque for image in decoded]
    shown = {row: image.pixels for row, image in enumerate(decoded) if image is not None and masks[row] is None}
    for row, mask in zip(shown, segmenter.segment(list(shown.values())) if shown else (), strict=True):
        masks[row] = mask
    return ["" if mask is None else _outline_text(mask) for mask in masks]


def _is_uniform(image: DecodedImage | None) -> bool:
    return image is not None and (image.opaque is not None or plain_ground(image.pixels) is not None)


def _outline_text(mask: BoolArray) -> str:
    """Return the mask as run lengths at a long side of 320 pixels at most; "" where it holds nothing or all."""
    height, width = mask.shape
    scale = min(1.0, _LONG_SIDE / max(mask.shape))
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(mask.astype(np.uint8) * 255, size_wh, interpolation=cv2.INTER_AREA) > 127
    return encode_mask(np.asarray(small)) if _LEAST <= small.mean() <= _MOST else ""
