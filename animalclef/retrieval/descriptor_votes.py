"""The work of voting: index the local descriptors of a gallery, and let those of queries vote for its photographs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from animalclef.config import VoteConfig
from animalclef.engine.work import ThreadedWork, batched
from animalclef.features.local.unit_descriptors import comparable
from animalclef.retrieval.descriptor_index import Codebook, DescriptorIndex, Found, Map, build_block
from animalclef.runtime.threads import one_thread_each, worker_threads
from animalclef.store.shard_store import Entry, ShardStore
from animalclef.structures import FloatArray, LocalFeatures, MatchKey
from animalclef.structures.arrays import Integers

__all__ = ["Asked", "Indexing", "Voting", "VotingGallery", "local_votes"]

FeatureReader = Callable[[MatchKey], LocalFeatures]

_SPARE = 16  # neighbours asked for beyond those needed, because some lie in hidden photographs
_TOGETHER = 64  # chunks that every block on disk is read for


@dataclass(frozen=True, eq=False)
class VotingGallery:
    """The photographs that are voted for, and the index of their descriptors: in memory, or in `blocks` on disk."""

    read: FeatureReader
    keys: Sequence[MatchKey]
    codebook: Codebook
    config: VoteConfig
    blocks: ShardStore | None
    block: int  # photographs of a block on disk
    _held: list[Any] = field(default_factory=list)  # the index in memory

    def __reduce__(self) -> tuple[type[VotingGallery], tuple[Any, ...]]:
        """Leave the index in memory to the other process, which builds it as well."""
        return VotingGallery, (self.read, self.keys, self.codebook, self.config, self.blocks, self.block)

    @property
    def block_names(self) -> list[str]:
        """Return the rows of each block on disk, as FIRST-END."""
        count = len(self.keys)
        return [f"{start}-{min(start + self.block, count)}" for start in range(0, count, self.block)]

    def unit(self, key: MatchKey) -> FloatArray:
        """Return the strongest descriptors of a photograph as unit vectors; SIFT's bytes become RootSIFT."""
        return comparable(self.read(key).descriptors[: self.config.max_keypoints])

    def build(self, rows: Sequence[int], each: Map) -> Any:
        """Return the FAISS index of some photographs."""
        return build_block(lambda row: self.unit(self.keys[row]), rows, self.codebook, each)

    def index(self, each: Map) -> DescriptorIndex:
        """Return the index of all photographs; one in memory is built at the first call."""
        if self.blocks is not None:
            stored = partial(_stored, self.blocks, self.block_names)
            return DescriptorIndex(self.codebook, stored, self.config.probes)
        if not self._held:
            self._held.append(self.build(range(len(self.keys)), each))
        return DescriptorIndex(self.codebook, lambda: self._held, self.config.probes)


def _stored(blocks: ShardStore, names: Sequence[str]) -> Iterator[Any]:
    for name in names:
        yield faiss.deserialize_index(np.asarray(blocks.get(name)["index"], dtype=np.uint8))


@dataclass(frozen=True, eq=False)
class Asked:
    """A query: its name in the store, its matching key, and the rows of the gallery that each view bars."""

    name: str
    key: MatchKey
    barred: Sequence[Integers]


@dataclass(frozen=True, eq=False)
class Indexing(ThreadedWork):
    """The work of indexing blocks of the gallery, each named by its rows and written as one file."""

    gallery: VotingGallery
    store: ShardStore
    title = "indexing local descriptors"
    chunks_a_task = 1

    def run(self, chunks: Iterable[str]) -> Iterator[Path | None]:
        """Index blocks; yield the file of each."""
        with _threads(self.workers) as each:
            for name in chunks:
                index = self.gallery.build(range(*map(int, name.split("-"))), each)
                yield self.store.put({name: {"index": faiss.serialize_index(index)}})

    def named(self, chunk: str) -> str:
        """Return the first photograph of a block."""
        return f"photograph {self.gallery.keys[int(chunk.split('-')[0])]} and what follows it"


@dataclass(frozen=True, eq=False)
class Voting(ThreadedWork):
    """The work of chunks of queries; those of a task are written together."""

    gallery: VotingGallery
    store: ShardStore
    title = "local descriptors vote"

    @property
    def chunks_a_task(self) -> int:
        """Return how many chunks a task has: many where every block is read from disk for them."""
        return 1 if self.gallery.blocks is None else _TOGETHER

    @property
    def patience_s(self) -> float:
        """Return the seconds to wait for a task: for each block that it reads as many as for other work in all."""
        return 1800.0 * (1 if self.gallery.blocks is None else len(self.gallery.block_names))

    def run(self, chunks: Iterable[Sequence[Asked]]) -> Iterator[tuple[int, Path | None]]:
        """Let queries vote; yield how many, and their file."""
        with _threads(self.workers) as each:
            for some in batched(chunks, self.chunks_a_task):
                everyone = [one for chunk in some for one in chunk]
                descriptors = list(each(lambda one: self.gallery.unit(one.key), everyone))
                neighbours = self.gallery.config.neighbours
                found = _enough(self.gallery.index(each), descriptors, everyone, neighbours + 1, each)
                entries = iter([_entry(*both, neighbours) for both in zip(everyone, found, strict=True)])
                for chunk in some:
                    yield len(chunk), self.store.put({one.name: next(entries) for one in chunk})

    def named(self, chunk: Sequence[Asked]) -> str:
        """Return the first query of a chunk."""
        return f"photograph {chunk[0].key} and what follows it"


@contextmanager
def _threads(workers: int) -> Iterator[Map]:
    """Give a `map` over worker threads; the libraries below run on one thread each, so that results do not depend on
    their number.
    """

    def alone(job: Callable[[Any], Any], item: Any) -> Any:
        faiss.omp_set_num_threads(1)  # of this worker thread
        return job(item)

    with one_thread_each(), worker_threads(workers) as pool:
        yield lambda job, items: pool.map(partial(alone, job), items)


def local_votes(
    distance: FloatArray, image: Integers, barred: NDArray[np.bool_], neighbours: int
) -> NDArray[np.float64]:
    """Return the sum of votes for each image, (images,).

    `distance` and `image` (m, n) are the neighbours of m descriptors, nearest first, -1 for none; those in `barred`
    images (images,) are passed over. Each of a descriptor's first `neighbours` votes for the image it lies in, with
    the distance of the next one (the background) minus its own. Where there are no more, the last is the background.
    """
    usable = (image >= 0) & ~barred[image]
    rank = np.cumsum(usable, axis=1)
    used = usable & (rank <= neighbours + 1)
    background = np.max(np.where(used, distance, 0), axis=1, keepdims=True, initial=0)
    weight = np.where(used, background - np.where(used, distance, 0), 0)
    return np.bincount(image[used], weight[used], minlength=len(barred)).astype(np.float64)


def _entry(asked: Asked, found: Found, count: int) -> Entry:
    """Return the images with a vote and what they got, for each view."""
    distance, image = found
    near = np.unique(image[image >= 0])
    place = np.where(image >= 0, np.searchsorted(near, image), -1)
    entry: dict[str, NDArray[np.generic]] = {}
    for number, rows in enumerate(asked.barred):
        votes = local_votes(distance, place, np.append(np.isin(near, rows), True), count)
        got = np.flatnonzero(votes)
        entry[f"image{number}"], entry[f"vote{number}"] = near[got].astype(np.int32), votes[got].astype(np.float32)
    return entry


def _enough(
    index: DescriptorIndex, descriptors: Sequence[FloatArray], asked: Sequence[Asked], needed: int, each: Map
) -> list[Found]:
    """Return the neighbours of every descriptor, so many that `needed` of them lie in images that no view bars."""
    count = needed + _SPARE
    barred = [np.unique(np.concatenate(one.barred)) for one in asked]
    found = index.search(descriptors, count, each)
    if count >= len(index):
        return found
    left = [_short(image, bar, needed) for (_, image), bar in zip(found, barred, strict=True)]
    while count < len(index) and (again := [place for place, rows in enumerate(left) if len(rows)]):
        count *= 4
        more = index.search([descriptors[place][left[place]] for place in again], count, each)
        for place, wide in zip(again, more, strict=True):
            found[place] = _replaced(found[place], left[place], _counting(wide, asked[place].barred, needed))
            left[place] = left[place][_short(wide[1], barred[place], needed)]
    return found


def _short(image: Integers, barred: Integers, needed: int) -> Integers:
    """Return the descriptors with too few neighbours; where the search ended early it has no more to give."""
    usable = (image >= 0) & ~np.isin(image, barred)
    return np.flatnonzero((usable.sum(axis=1) < needed) & (image[:, -1] >= 0))


def _counting(found: Found, views: Sequence[Integers], needed: int) -> Found:
    """Return the neighbours that count in a view, in their order; they are few, however many are barred."""
    distance, image = found
    counts = np.zeros(image.shape, dtype=bool)
    for barred in views:
        usable = (image >= 0) & ~np.isin(image, barred)
        counts |= usable & (np.cumsum(usable, axis=1) <= needed)
    order = np.argsort(~counts, axis=1, kind="stable")[:, : int(counts.sum(axis=1).max(initial=0))]
    distance, image = np.where(counts, distance, np.inf), np.where(counts, image, -1)
    return np.take_along_axis(distance, order, axis=1), np.take_along_axis(image, order, axis=1)


def _replaced(found: Found, rows: Integers, others: Found) -> Found:
    """Return neighbours with some rows replaced; the shorter ones end with infinity and -1."""
    given, width = found[0].shape[1], max(found[0].shape[1], others[0].shape[1])
    distance = np.pad(found[0], ((0, 0), (0, width - given)), constant_values=np.inf)
    image = np.pad(found[1], ((0, 0), (0, width - given)), constant_values=-1)
    distance[rows], image[rows] = np.inf, -1
    distance[rows, : others[0].shape[1]], image[rows, : others[1].shape[1]] = others
    return distance, image
