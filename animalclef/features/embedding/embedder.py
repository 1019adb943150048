"""Stage one: one unit vector per photograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import PIL

from animalclef.config import Config, fingerprint
from animalclef.data.decode import UnreadableImageError, read_image
from animalclef.features.embedding.timm_embedder import TimmExtractor, choose_device, load_embedder
from animalclef.features.embedding.vlad import Codebook, VladExtractor, dense_descriptors, fit_codebook, project
from animalclef.runtime.progress import Progress
from animalclef.runtime.threads import one_thread_each, worker_threads
from animalclef.store.shard_store import ShardStore
from animalclef.structures import Embeddings, FloatArray, ImageTable

__all__ = ["Embedder", "join_embeddings", "load_network"]


class Embedder:
    """The embedding model of one data set: an extractor, and the step from what it stores to `Embeddings`.

    The weight-free model is fitted on the data set's gallery, networks are the same for all.
    """

    def __init__(self, dataset: str, gallery: ImageTable, config: Config, network: TimmExtractor | None) -> None:
        self.dataset, self.gallery, self.config, self.network = dataset, gallery, config, network
        settings = config.embed.shaping(with_network=network is not None)
        settings.pop("dimensions")
        decoding = [config.data.decode_long_side, config.data.max_pixels, PIL.__version__]
        parts: list[object] = [2, settings, decoding]
        if network is None:
            parts += [cv2.__version__, config.seed, sorted(gallery.key)]
        else:
            import timm
            import torch

            way = [asdict(network.preprocessing), network.precision, config.embed.batch_size]
            parts += [way, network.digest, torch.__version__, timm.__version__, network.device.split(":")[0]]
        self.fingerprint = fingerprint(*parts)

    def extractor(self, folder: Path, workers: int, progress: Progress) -> VladExtractor | TimmExtractor:
        """What describes photographs; a codebook is fitted once and kept beside `folder`."""
        if self.network is not None:
            return self.network
        store = ShardStore(folder.with_name(f"{folder.name}-codebook"))
        if store.verify(["codebook"]):
            fitted = self._fit(workers, progress)
            store.put({"codebook": {"mean": fitted.mean, "basis": fitted.basis, "words": fitted.words}})
        arrays = {name: array.astype(np.float32) for name, array in store.get("codebook").items()}
        return VladExtractor(Codebook(**arrays), self.config.embed)

    def embeddings(self, images: ImageTable, store: ShardStore) -> Embeddings:
        """Unit vectors of all photographs of the data set; the weight-free ones after PCA.

        The PCA is fitted on the gallery and the queries together; no label is used. Fitted on the gallery alone it
        pushes gallery photographs apart from each other but not from queries, and thresholds tuned on gallery
        photographs come out too low for queries.

        Raises:
            KeyError: a photograph has no whole entry in the store.
        """
        if self.network is not None:
            return Embeddings(self.fingerprint, images.image_id, _stacked(images, store))
        key = fingerprint(1, images.key.tolist(), self.config.embed.dimensions)
        made = ShardStore(store.folder.with_name(f"{store.folder.name}-vectors"))
        if made.verify([key]):
            made.put({key: {"values": project(_stacked(images, store), self.config.embed.dimensions)}})
        return Embeddings(self.fingerprint, images.image_id, made.get(key)["values"].astype(np.float32))

    def _fit(self, workers: int, progress: Progress) -> Codebook:
        config = self.config
        rng = np.random.default_rng([config.seed, 5])
        chosen = rng.permutation(len(self.gallery))[: config.embed.codebook_images]

        def look(row: int) -> tuple[FloatArray, FloatArray]:
            try:
                return dense_descriptors(read_image(self.gallery, row, config.data), config.embed)
            except UnreadableImageError:
                return np.zeros((0, 128), np.float32), np.zeros((0, 2), np.float32)

        with (
            one_thread_each(),
            worker_threads(workers) as pool,
            progress.task(f"fitting the codebook of {self.dataset}", len(chosen), "images") as advance,
        ):
            samples = []
            for sample in pool.map(look, np.sort(chosen).tolist()):
                samples.append(sample)
                advance(1)
        return fit_codebook(samples, config.embed, config.seed)


def _stacked(images: ImageTable, store: ShardStore) -> FloatArray:
    return np.stack([store.get(key)["embedding"] for key in images.key]).astype(np.float32)


def load_network(config: Config, device: str, folder: Path | None = None) -> TimmExtractor | None:
    """The network that the settings name, on `device` (`auto`, `cpu`, `cuda` ...); `None` for the weight-free model.

    Published weights are looked for in `folder` first.

    Raises:
        ConfigError: there is no such network or device.
        WeightsError: the weights are absent or do not fit.
    """
    if config.embed.model != "rootsift-vlad":
        return load_embedder(config.embed, choose_device(device), folder)
    if device not in ("auto", "cpu"):  # these need no torch, whose import takes seconds
        choose_device(device)
    return None


def join_embeddings(parts: Sequence[Embeddings]) -> Embeddings:
    """The embeddings of several data sets in one."""
    return Embeddings(
        fingerprint(*[part.model for part in parts]),
        np.concatenate([part.image_id for part in parts]),
        np.concatenate([part.values for part in parts]),
    )
