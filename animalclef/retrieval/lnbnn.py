"""A second source of candidates: local descriptors vote for the photographs that their neighbours lie in.

Local naive Bayes nearest neighbour (McCann and Lowe 2012) as HotSpotter (Crall et al. 2013) uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import metadata

import numpy as np
from numpy.typing import NDArray

from animalclef.config import VoteConfig, fingerprint
from animalclef.engine.work import Engine, ThisMachine, batched
from animalclef.features.local.unit_descriptors import comparable
from animalclef.retrieval.descriptor_index import Codebook, train_codebook
from animalclef.retrieval.descriptor_votes import Asked, FeatureReader, Indexing, Voting, VotingGallery
from animalclef.runtime.progress import Progress
from animalclef.store.shard_store import Entry, ShardStore
from animalclef.structures import ImageTable, MatchKey, Votes
from animalclef.structures.arrays import Integers

__all__ = ["LnbnnScorer"]

Hidden = Mapping[str, frozenset[str]]

_CHUNK = 32  # queries per file of the store


class LnbnnScorer:
    """Lets local descriptors vote; what it indexed is kept for the next question, and all votes on disk.

    `keep` gives the store of a kind ("votes", or "descriptors" for an index of more than `memory_gb`) for a fingerprint
    of the photographs voted for.
    """

    block = 4096  # photographs of a block of an index on disk

    def __init__(
        self,
        read: FeatureReader,
        keep: Callable[[str, str], ShardStore],
        config: VoteConfig,
        seed: int,
        progress: Progress,
        memory_gb: float = 2.0,
        workers: int = 1,
        engine: Engine | None = None,
    ) -> None:
        self.read, self.keep, self.config, self.seed, self.progress = read, keep, config, seed, progress
        self.memory_gb, self.workers, self.engine = memory_gb, workers, engine or ThisMachine()
        self._galleries: dict[str, VotingGallery] = {}

    def vote(
        self,
        queries: ImageTable,
        gallery: ImageTable,
        groups: Iterable[tuple[Integers, Integers]],
        views: Sequence[Hidden] = ({},),
    ) -> Iterator[tuple[int, list[Votes]]]:
        """Yield for every query its row and the votes of its descriptors, once for each of `views`.

        A view says what is hidden from a query.

        `groups` are rows of queries with the rows of the gallery that they are compared with; a query is in one group.
        A photograph never votes for itself; a neighbour in it or in a hidden one does not count, neither as a vote nor
        as the background.
        """
        with self.progress.task("local descriptors vote", len(queries), "photographs") as advance:
            for query_rows, gallery_rows in groups:
                some, others = queries.select(query_rows), gallery.select(gallery_rows)
                for row, entry in zip(query_rows.tolist(), self._entries(some, others, views, advance), strict=True):
                    yield (
                        row,
                        [
                            Votes(gallery_rows[entry[f"image{number}"]], entry[f"vote{number}"].astype(np.float32))
                            for number in range(len(views))
                        ],
                    )

    def _entries(
        self, queries: ImageTable, gallery: ImageTable, views: Sequence[Hidden], advance: Callable[[int], None]
    ) -> Iterator[Entry]:
        """Return for each query the images with a vote and what they got; what the store lacks is made."""
        of = fingerprint(3, gallery.key.tolist(), self.config, self.seed, metadata.version("faiss-cpu"))
        store = self.keep("votes", of)
        barred = [_barred(queries, gallery.image_id, view) for view in views]
        names = [fingerprint(key, [bar[row].tolist() for bar in barred]) for row, key in enumerate(queries.key)]
        row_of = {name: row for row, name in reversed(list(enumerate(names)))}
        absent = store.verify(names)
        advance(len(names) - len(absent))
        if absent:
            asked = (Asked(name, queries.key[row_of[name]], [bar[row_of[name]] for bar in barred]) for name in absent)
            work = Voting(self._gallery(of, gallery), store, workers=self.workers)
            for count, path in self.engine.ordered(work, batched(asked, _CHUNK)):
                store.include(path)
                advance(count)
        return (store.get(name) for name in names)

    def _gallery(self, of: str, gallery: ImageTable) -> VotingGallery:
        """Return what is voted for; an index that is larger than the memory is written in blocks first."""
        if of not in self._galleries:
            keys, blocks = [MatchKey(key) for key in gallery.key], self.keep("descriptors", of)
            codebook = _stored_codebook(blocks) or train_codebook(
                lambda row: comparable(self.read(keys[row]).descriptors[: self.config.max_keypoints]),
                len(keys), self.config, self.seed,
            )  # fmt: skip
            size = 2 * self.config.dimensions + 12  # bytes of a descriptor in the index
            is_large = len(codebook.centroids) > 0 and codebook.total * size > self.memory_gb * 1e9
            found = VotingGallery(self.read, keys, codebook, self.config, blocks if is_large else None, self.block)
            if is_large:
                self._write_index(found, blocks)
            self._galleries[of] = found
        return self._galleries[of]

    def _write_index(self, gallery: VotingGallery, blocks: ShardStore) -> None:
        book = gallery.codebook
        if "codebook" not in blocks:
            arrays = {"mean": book.mean, "basis": book.basis, "centroids": book.centroids}
            blocks.put({"codebook": {"total": np.array([book.total]), **arrays}})
        absent = blocks.verify(gallery.block_names)
        with self.progress.task("indexing local descriptors", len(absent), "blocks") as advance:
            for path in self.engine.ordered(Indexing(gallery, blocks, workers=self.workers), absent):
                blocks.include(path)
                advance(1)


def _stored_codebook(blocks: ShardStore) -> Codebook | None:
    """Return the codebook that a run before wrote."""
    if blocks.verify(["codebook"]):
        return None
    entry = blocks.get("codebook")
    arrays = (np.asarray(entry[name], dtype=np.float32) for name in ("mean", "basis", "centroids"))
    return Codebook(int(entry["total"].item()), *arrays)


def _barred(queries: ImageTable, gallery_id: NDArray[np.object_], hidden: Hidden) -> list[Integers]:
    """Return for each query the places in `gallery_id` that must not count: itself and what is hidden from it."""
    place = {image_id: number for number, image_id in enumerate(gallery_id)}
    found = []
    for image_id in queries.image_id:
        names = {image_id, *hidden.get(image_id, ())}
        found.append(np.array(sorted(place[name] for name in names if name in place), dtype=np.int64))
    return found
