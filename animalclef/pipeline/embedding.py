"""Embed photographs and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from animalclef.artefacts import Embeddings, ImageTable
from animalclef.config import Config, fingerprint
from animalclef.models.zoo import TimmExtractor
from animalclef.progress import Progress
from animalclef.stages.describe import Look, describe
from animalclef.stages.embed import Embedder, join_embeddings
from animalclef.store.shards import ShardStore

__all__ = ["embed_photographs"]


def embed_photographs(
    images: ImageTable,
    config: Config,
    network: TimmExtractor | None,
    folder: Path,
    workers: int,
    progress: Progress,
) -> Embeddings:
    """Unit vectors of the photographs that can be read, data set by data set; `images` has its content keys.

    What lies below `folder` already is not made again.
    """
    decoding = fingerprint(1, [config.data.decode_long_side, config.data.max_pixels])
    unreadable = ShardStore(folder / "unreadable" / decoding)
    parts = []
    for name in images.datasets:
        table = images.select(images.dataset == name)
        embedder = Embedder(name, table.gallery, config, network)
        store = ShardStore(folder / "embeddings" / embedder.fingerprint)
        look = Look(embedder.extractor(store.folder, workers, progress), store)
        bad = {one.image_id for one in describe(table, [look], unreadable, config.data, workers, progress)}
        usable = table.select(np.array([one not in bad for one in table.image_id], dtype=bool))
        parts.append(embedder.embeddings(usable, store))
    return join_embeddings(parts)
