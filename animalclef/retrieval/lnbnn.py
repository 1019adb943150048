"""A second source of candidates: local descriptors vote for the photographs that their neighbours lie in.

Local naive Bayes nearest neighbour (McCann and Lowe 2012) as HotSpotter (Crall et al. 2013) uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import metadata

import numpy as np
from numpy.typing import NDArray

from animalclef.config import VoteConfig, fingerprint
from animalclef.retrieval.descriptor_index import DescriptorIndex, build_index, unit_descriptors
from animalclef.runtime.progress import Progress
from animalclef.store.shard_store import Entry, ShardStore
from animalclef.structures import FloatArray, ImageTable, LocalFeatures, MatchKey, Votes

__all__ = ["LnbnnScorer", "local_votes"]

Rows = NDArray[np.int64]
Hidden = Mapping[str, frozenset[str]]
FeatureReader = Callable[[MatchKey], LocalFeatures]

_SPARE = 16  # neighbours asked for beyond those needed, because some lie in hidden photographs
_CHUNK = 32  # queries per file of the store


class LnbnnScorer:
    """Lets local descriptors vote; what it indexed is kept for the next question, and all votes on disk.

    `keep` gives the store for a fingerprint of the photographs voted for.
    """

    def __init__(
        self,
        read: FeatureReader,
        keep: Callable[[str], ShardStore],
        config: VoteConfig,
        seed: int,
        progress: Progress,
    ) -> None:
        self.read, self.keep, self.config, self.seed, self.progress = read, keep, config, seed, progress
        self._indexes: dict[str, DescriptorIndex] = {}

    def vote(
        self,
        queries: ImageTable,
        gallery: ImageTable,
        groups: Iterable[tuple[Rows, Rows]],
        views: Sequence[Hidden] = ({},),
    ) -> list[Votes]:
        """Return the votes of every query's descriptors, once for each of `views`.

        A view says what is hidden from a query.

        `groups` are rows of queries with the rows of the gallery that they are compared with. A photograph never votes
        for itself; a neighbour in it or in a hidden one does not count, neither as a vote nor as the background.
        """
        totals = [np.zeros((len(queries), len(gallery)), dtype=np.float32) for _ in views]
        with self.progress.task("local descriptors vote", len(queries), "photographs") as advance:
            for query_rows, gallery_rows in groups:
                some, others = queries.select(query_rows), gallery.select(gallery_rows)
                for row, entry in zip(query_rows, self._entries(some, others, views, advance), strict=True):
                    for number, total in enumerate(totals):
                        total[row, gallery_rows[entry[f"image{number}"]]] = entry[f"vote{number}"]
        return [Votes(queries.image_id, gallery.image_id, total) for total in totals]

    def _entries(
        self, queries: ImageTable, gallery: ImageTable, views: Sequence[Hidden], advance: Callable[[int], None]
    ) -> Iterator[Entry]:
        """Return for each query the images with a vote and what they got.

        What the store lacks is made, a few at a time.
        """
        of = fingerprint(1, gallery.key.tolist(), self.config, self.seed, metadata.version("faiss-cpu"))
        store = self.keep(of)
        barred = [_barred(queries, gallery.image_id, view) for view in views]
        names = [fingerprint(key, [bar[row].tolist() for bar in barred]) for row, key in enumerate(queries.key)]
        row_of = {name: row for row, name in reversed(list(enumerate(names)))}
        absent = store.verify(names)
        advance(len(names) - len(absent))
        for start in range(0, len(absent), _CHUNK):
            fresh = {}
            for name in absent[start : start + _CHUNK]:
                row = row_of[name]
                descriptors = unit_descriptors(self.read(queries.key[row]), self.config.max_keypoints)
                bars = [bar[row] for bar in barred]
                fresh[name] = _entry(self._index(of, gallery), descriptors, bars, len(gallery), self.config.neighbours)
                advance(1)
            store.put(fresh)
        return (store.get(name) for name in names)

    def _index(self, name: str, gallery: ImageTable) -> DescriptorIndex:
        if name not in self._indexes:
            read = lambda row: unit_descriptors(self.read(MatchKey(str(gallery.key[row]))), self.config.max_keypoints)  # noqa: E731
            self._indexes[name] = build_index(read, len(gallery), self.config, self.seed)
        return self._indexes[name]


def local_votes(distance: FloatArray, image: Rows, barred: NDArray[np.bool_], neighbours: int) -> NDArray[np.float64]:
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


def _barred(queries: ImageTable, gallery_id: NDArray[np.object_], hidden: Hidden) -> list[Rows]:
    """Return for each query the places in `gallery_id` that must not count: itself and what is hidden from it."""
    place = {image_id: number for number, image_id in enumerate(gallery_id)}
    found = []
    for image_id in queries.image_id:
        names = {image_id, *hidden.get(image_id, ())}
        found.append(np.array(sorted(place[name] for name in names if name in place), dtype=np.int64))
    return found


def _entry(index: DescriptorIndex, descriptors: FloatArray, barred: Sequence[Rows], images: int, count: int) -> Entry:
    """Return the images with a vote and what they got, for each view."""
    entry: dict[str, NDArray[np.generic]] = {}
    masks = [np.isin(np.arange(images), rows) for rows in barred]
    whole = np.logical_or.reduce(masks)
    distance, image = _enough(index, descriptors, whole, count + 1)
    for number, mask in enumerate(masks):
        votes = local_votes(distance, image, mask, count)
        rows = np.flatnonzero(votes)
        entry[f"image{number}"], entry[f"vote{number}"] = rows.astype(np.int32), votes[rows].astype(np.float32)
    return entry


def _enough(
    index: DescriptorIndex, descriptors: FloatArray, barred: NDArray[np.bool_], needed: int
) -> tuple[FloatArray, Rows]:
    """Return the neighbours of every descriptor, so many that `needed` of them lie in images that are not barred."""
    count = needed + _SPARE
    distance, image = index.search(descriptors, count)
    while len(descriptors) and count < len(index):
        short = np.flatnonzero(((image >= 0) & ~barred[image]).sum(axis=1) < needed)
        short = short[image[short, -1] >= 0]  # an approximate search that ended early has no more to give
        if not len(short):
            break
        count *= 4
        more_distance, more_image = index.search(descriptors[short], count)
        width = more_image.shape[1] - image.shape[1]
        distance = np.pad(distance, ((0, 0), (0, width)), constant_values=np.inf)
        image = np.pad(image, ((0, 0), (0, width)), constant_values=-1)
        distance[short], image[short] = more_distance, more_image
    return distance, image
