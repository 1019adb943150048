"""A second source of candidates: local descriptors vote for the photographs that their neighbours lie in.

Local naive Bayes nearest neighbour (McCann and Lowe 2012) as HotSpotter (Crall et al. 2013) uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata

import numpy as np
from numpy.typing import NDArray

from animalclef.artefacts import FloatArray, ImageTable, LocalFeatures, Votes
from animalclef.config import VoteConfig, fingerprint
from animalclef.models.descriptor_index import DescriptorIndex, build_index, unit_descriptors
from animalclef.progress import Progress
from animalclef.store.shards import Entry, ShardStore

__all__ = ["local_votes", "vote"]

Rows = NDArray[np.int64]
Hidden = Mapping[str, frozenset[str]]
FeatureReader = Callable[[str], LocalFeatures]

_SPARE = 16  # neighbours asked for beyond those needed, because some lie in hidden photographs
_CHUNK = 32  # queries per file of the store


def vote(
    queries: ImageTable,
    gallery: ImageTable,
    groups: Iterable[tuple[Rows, Rows]],
    views: Sequence[Hidden],
    read: FeatureReader,
    keep: Callable[[str], ShardStore],
    config: VoteConfig,
    seed: int,
    progress: Progress,
) -> list[Votes]:
    """The votes of every query's descriptors, once for each of `views`, which says what is hidden from a query.

    `groups` are rows of queries with the rows of the gallery that they are compared with. A photograph never votes for
    itself; a neighbour in it or in a hidden photograph does not count, neither as a vote nor as the background. Votes
    are kept in the store that `keep` gives for a fingerprint of the group, a few queries at a time.
    """
    totals = [np.zeros((len(queries), len(gallery)), dtype=np.float32) for _ in views]
    with progress.task("local descriptors vote", len(queries), "photographs") as advance:
        for query_rows, gallery_rows in groups:
            keys = gallery.key[gallery_rows]
            store = keep(fingerprint(1, keys.tolist(), config, seed, metadata.version("faiss-cpu")))
            barred = [_barred(queries, query_rows, gallery.image_id[gallery_rows], view) for view in views]
            names = [fingerprint(queries.key[row], [bar[place].tolist() for bar in barred])
                     for place, row in enumerate(query_rows)]  # fmt: skip
            absent = dict.fromkeys(store.verify(names))
            wanted = {name: place for place, name in reversed(list(enumerate(names))) if name in absent}
            advance(len(names) - len(wanted))
            if wanted:
                index = _index(keys, read, config, seed)
            fresh: dict[str, Entry] = {}
            for name, place in wanted.items():
                descriptors = unit_descriptors(read(queries.key[query_rows[place]]), config.max_keypoints)
                fresh[name] = _entry(index, descriptors, [bar[place] for bar in barred], len(keys), config.neighbours)
                if len(fresh) == _CHUNK:
                    store.put(fresh)
                    fresh = {}
                advance(1)
            store.put(fresh)
            for name, row in zip(names, query_rows, strict=True):
                entry = store.get(name)
                for number, total in enumerate(totals):
                    total[row, gallery_rows[entry[f"image{number}"]]] = entry[f"vote{number}"]
    return [Votes(queries.image_id, gallery.image_id, total) for total in totals]


def _index(keys: NDArray[np.object_], read: FeatureReader, config: VoteConfig, seed: int) -> DescriptorIndex:
    return build_index(lambda row: unit_descriptors(read(keys[row]), config.max_keypoints), len(keys), config, seed)


def local_votes(distance: FloatArray, image: Rows, barred: NDArray[np.bool_], neighbours: int) -> NDArray[np.float64]:
    """The sum of votes for each image, (images,).

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


def _barred(queries: ImageTable, query_rows: Rows, gallery_id: NDArray[np.object_], hidden: Hidden) -> list[Rows]:
    """Of each query the places in `gallery_id` that must not count: itself and what is hidden from it."""
    place = {image_id: number for number, image_id in enumerate(gallery_id)}
    found = []
    for image_id in queries.image_id[query_rows]:
        names = {image_id, *hidden.get(image_id, ())}
        found.append(np.array(sorted(place[name] for name in names if name in place), dtype=np.int64))
    return found


def _entry(index: DescriptorIndex, descriptors: FloatArray, barred: Sequence[Rows], images: int, count: int) -> Entry:
    """Images with a vote and what they got, for each view."""
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
    """Neighbours of every descriptor, so many that `needed` of them lie in images that are not barred."""
    count = needed + _SPARE
    distance, image = index.search(descriptors, count)
    while count < len(index):
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
