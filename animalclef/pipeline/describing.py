"""Describe every photograph once: thumbnail, embedding, local features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import PIL

from animalclef.artefacts import Embeddings, FloatArray, ImageTable, LocalFeatures, SetAside
from animalclef.config import Config, fingerprint
from animalclef.errors import DataError
from animalclef.estimate import Plan, estimate
from animalclef.models.zoo import TimmExtractor
from animalclef.pipeline.contents import Contents
from animalclef.progress import Progress
from animalclef.stages.describe import Look, ThumbnailExtractor, describe
from animalclef.stages.embed import Embedder, join_embeddings
from animalclef.stages.keypoints import SiftExtractor, features_from_entry
from animalclef.store.run import RunFolder
from animalclef.store.shards import ShardStore

__all__ = ["Described", "describe_photographs"]


@dataclass(frozen=True, eq=False)
class Described:
    """Every usable photograph with what was extracted from it."""

    images: ImageTable
    embeddings: Embeddings
    thumbnails: ShardStore
    keypoints: ShardStore
    set_aside: list[SetAside]

    def features(self, key: str) -> LocalFeatures:
        """Local features by content key."""
        return features_from_entry(key, self.keypoints.get(key))

    def size_of(self, key: str) -> tuple[int, int]:
        """How many keypoints a photograph has, and its long side in pixels, by content key."""
        features = self.features(key)
        return len(features), max(features.image_size_wh)

    def thumbnail(self, key: str) -> FloatArray:
        """The thumbnail by content key."""
        return self.thumbnails.get(key)["thumbnail"].astype(np.float32)


def describe_photographs(
    contents: Contents,
    config: Config,
    network: TimmExtractor | None,
    run: RunFolder,
    matched: int,
    workers: int,
    progress: Progress,
    announce: Callable[[Plan], None],
    *,
    tunes: bool,
) -> Described:
    """Fill the run's stores; `announce` is told the plan first. `matched` pairs are in the log already.

    Raises:
        DataError: no gallery photograph can be read.
    """
    images = contents.images
    decoding = [config.data.decode_long_side, config.data.max_pixels, cv2.__version__, PIL.__version__]
    unreadable = ShardStore(run.store("unreadable", fingerprint(1, decoding)))
    thumbnails = ShardStore(run.store("thumbnails", fingerprint(1, decoding)))
    keypoints = ShardStore(run.store("keypoints", fingerprint(2, config.keypoints, decoding)))
    common = [Look(ThumbnailExtractor(), thumbnails)]
    if config.rerank.matcher != "none":
        common.append(Look(SiftExtractor(config.keypoints), keypoints))
    tables = {name: images.select(images.dataset == name) for name in images.datasets}
    embedders = {name: Embedder(name, table.gallery, config, network) for name, table in tables.items()}
    stores = {name: ShardStore(run.store("embeddings", one.fingerprint)) for name, one in embedders.items()}
    looks = {
        name: [*common, Look(one.extractor(stores[name].folder, workers, progress), stores[name])]
        for name, one in embedders.items()
    }
    announce(estimate(images, looks, config, workers, matched, tunes=tunes))
    set_aside = list(contents.set_aside)
    for name, table in tables.items():
        set_aside += describe(table, looks[name], unreadable, config.data, workers, progress)
    bad = {item.image_id for item in set_aside}
    images = images.select(np.array([one not in bad for one in images.image_id], dtype=bool))
    if not len(images.gallery):
        raise DataError(f"{images.root}: no database photograph can be read, so nobody can be recognised.")
    parts = [
        embedders[name].embeddings(images.select(images.dataset == name), stores[name]) for name in images.datasets
    ]
    return Described(images, join_embeddings(parts), thumbnails, keypoints, set_aside)
