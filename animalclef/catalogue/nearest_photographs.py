"""Search a large catalogue by embedding, so that only a query's candidates are looked at further."""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from animalclef.features.embedding.embedder import Embedder
from animalclef.features.extract import ExtractionJob, extract_features
from animalclef.pipeline.features import thumbnail_stores
from animalclef.pipeline.run_context import RunContext
from animalclef.store.shard_store import ShardStore
from animalclef.structures import FloatArray, ImageTable

__all__ = ["NearestPhotographs", "embed_alone"]


def embed_alone(images: ImageTable, context: RunContext, store: ShardStore | None = None) -> None:
    """Embed photographs one by one with the run's first network, so that no vector depends on the others.

    In batches the last bits of a vector depend on the photographs beside it, and then on when a season was added.
    """
    network = context.models.network
    if network is None or not len(images):
        return
    made_by = Embedder("", images, context.config, network).fingerprint
    store = store or ShardStore(context.folder.store("embeddings", made_by))
    _, unreadable = thumbnail_stores(context.folder, context.config)
    job = ExtractionJob(network, store)
    extract_features(images, [job], unreadable, context.config.data, context.workers, context.progress, chunk=1)


class NearestPhotographs:
    """The embeddings of the confirmed photographs, in memory; what the run's stores lack is made."""

    def __init__(self, gallery: ImageTable, context: RunContext) -> None:
        self._gallery, self._context = gallery, context
        embedder = Embedder("", gallery, context.config, context.models.network)
        self._store = ShardStore(context.folder.store("embeddings", embedder.fingerprint))
        self._rows = {name: np.flatnonzero(gallery.dataset == name) for name in gallery.datasets}
        self._index: dict[str, faiss.IndexFlatIP] = {}
        for name, rows in self._rows.items():
            vectors = self._vectors(gallery.select(rows))
            self._index[name] = faiss.IndexFlatIP(vectors.shape[1])
            self._index[name].add(vectors)

    @staticmethod
    def suffices(context: RunContext) -> bool:
        """Return whether a query's answer depends on its own candidates alone, and those come from the embedding."""
        config, given = context.config, context.given
        modes = config.prepare.mode
        return (
            context.models.network is not None
            and not context.more_embedders
            and config.retrieve.sources == ("embedding",)
            and config.retrieve.same_viewpoint in ("auto", False)
            and given is not None
            and set(modes.values() if isinstance(modes, dict) else [modes]) <= {"whole"}
        )

    def rows(self, queries: ImageTable) -> NDArray[np.int64]:
        """Return the rows of all photographs that are candidates of a query, in order."""
        found = [np.zeros(0, dtype=np.int64)]
        for name in set(queries.datasets) & set(self._index):
            vectors = self._vectors(queries.select(queries.dataset == name))
            most = min(self._context.config.retrieve.top_k, len(self._rows[name]))
            found.append(self._rows[name][np.unique(self._index[name].search(vectors, most)[1])])
        return np.unique(np.concatenate(found))

    def _vectors(self, images: ImageTable) -> FloatArray:
        """Return the embeddings, (n, d); a photograph that cannot be read has zeros."""
        lacking = np.array([key not in self._store for key in images.key], dtype=bool)
        if lacking.any():
            embed_alone(images.select(lacking), self._context, self._store)
        held = [self._store.get(key)["embedding"] if key in self._store else None for key in images.key]
        length = next((len(one) for one in held if one is not None), 1)
        vectors = [np.zeros(length, np.float32) if one is None else one for one in held]
        return np.asarray(vectors, dtype=np.float32).reshape(len(images), length)
