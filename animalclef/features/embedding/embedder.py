"""Embed the photographs of a data set: one unit vector each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import PIL
import timm
import torch

from animalclef.config import Config, fingerprint
from animalclef.data.decode import UnreadableImageError, read_image
from animalclef.features.embedding.principal_components import principal_axes, project, unit, whitened
from animalclef.features.embedding.timm_embedder import TimmExtractor, load_embedder
from animalclef.features.embedding.vlad import (
    CODEBOOK_IMAGES,
    Codebook,
    VladExtractor,
    dense_descriptors,
    fit_codebook,
)
from animalclef.runtime.devices import choose_device
from animalclef.runtime.progress import Progress
from animalclef.runtime.threads import one_thread_each, worker_threads
from animalclef.store.shard_store import Entry, ShardStore
from animalclef.structures import Embeddings, FloatArray, ImageTable, StrArray

__all__ = ["FITTED_ON", "Embedder", "join_embeddings", "load_network"]

_PHOTOGRAPHS_AN_AXIS = 4  # where the axes serve other photographs, too (docs/lab/experiments.md)
FITTED_ON = 30_000  # photographs that a PCA is fitted on at most: 1 GB of VLAD vectors
_BLOCK = 4096  # photographs that are projected at once


class Embedder:
    """The embedding model of one data set: an extractor, and the step from stored entries to `Embeddings`.

    The weight-free model is fitted on the data set's gallery; networks are the same for all data sets.
    """

    def __init__(self, dataset: str, gallery: ImageTable, config: Config, network: TimmExtractor | None) -> None:
        self.dataset, self.gallery, self.config, self.network = dataset, gallery, config, network
        settings = config.embed.shaping(with_network=network is not None)
        settings.pop("dimensions")
        decoding: list[object] = [config.data.decode_long_side, config.data.max_pixels, PIL.__version__]
        if network is not None and network.decodes_fully:
            decoding[0] = "full"
        parts: list[object] = [2, settings, decoding]
        if network is None:
            parts += [cv2.__version__, config.seed, sorted(gallery.key)]
        else:
            number_format = "plain" if network.dtype is None else str(network.dtype).removeprefix("torch.")
            parts += [[asdict(network.preprocessing), number_format, config.embed.batch_size]]
            parts += [network.digest, torch.__version__, timm.__version__, network.device.split(":")[0]]
        self.fingerprint = fingerprint(*parts)

    def extractor(self, folder: Path, workers: int, progress: Progress) -> VladExtractor | TimmExtractor:
        """Return the extractor of embeddings; a codebook is fitted once and kept beside `folder`."""
        if self.network is not None:
            return self.network
        arrays = _kept(folder, "codebook", "codebook", lambda: vars(self._fit(workers, progress)))
        return VladExtractor(Codebook(**arrays), self.config.embed)

    def embeddings(self, images: ImageTable, store: ShardStore, *, keeps_axes: bool = False) -> Embeddings:
        """Return unit vectors of all photographs of the data set; the weight-free ones after PCA.

        The PCA is fitted on the gallery and the queries together; no label is used. Fitted on the gallery alone it
        pushes gallery photographs apart from each other but not from queries, and thresholds tuned on gallery
        photographs come out too low for queries. Of many photographs, 30,000 drawn at random are used.
        With `keeps_axes` it is fitted the first time that the codebook is used, and never again, so that a photograph's
        vector stays as it is when others come; it then has an axis for every four photographs at most.

        Raises:
            KeyError: a photograph has no whole entry in the store.
        """
        if self.network is not None:
            return Embeddings(self.fingerprint, images.image_id, _stacked(images.key, store))
        if keeps_axes:
            axes = _kept(store.folder, "axes", "axes", lambda: self._fitted_axes(images, store))
            # in blocks of one photograph: the same to the last bit
            return Embeddings(self.fingerprint, images.image_id, _on_axes(images.key, store, **axes, rows=1))
        key = fingerprint(1, images.key.tolist(), self.config.embed.dimensions)
        vectors = _kept(store.folder, "vectors", key, lambda: {"values": self._projected(images, store)})
        return Embeddings(self.fingerprint, images.image_id, vectors["values"])

    def _projected(self, images: ImageTable, store: ShardStore) -> FloatArray:
        if len(images) <= FITTED_ON:
            return project(_stacked(images.key, store), self.config.embed.dimensions)
        return _on_axes(images.key, store, **self._fitted_axes(images, store), rows=_BLOCK)

    def _fitted_axes(self, images: ImageTable, store: ShardStore) -> dict[str, FloatArray]:
        chosen = np.arange(len(images))
        if len(images) > FITTED_ON:
            rng = np.random.default_rng([self.config.seed, 27])
            chosen = np.sort(rng.choice(len(images), FITTED_ON, replace=False))
        mean, basis, variance = principal_axes(_stacked(images.key[chosen], store), self.config.embed.dimensions)
        # few photographs are nearly orthogonal on as many axes; others are not, so a threshold would not hold for them
        most = max(2, len(chosen) // _PHOTOGRAPHS_AN_AXIS)
        basis[:, most:], variance[most:] = 0, 0
        return {"mean": mean, "basis": basis, "variance": variance}

    def _fit(self, workers: int, progress: Progress) -> Codebook:
        config = self.config
        rng = np.random.default_rng([config.seed, 5])
        chosen = rng.permutation(len(self.gallery))[:CODEBOOK_IMAGES]

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


def _kept(folder: Path, kind: str, key: str, make: Callable[[], Entry]) -> dict[str, FloatArray]:
    """Return the arrays that are kept under a key in the store of a kind beside `folder`; made the first time."""
    store = ShardStore(folder.with_name(f"{folder.name}-{kind}"))
    if store.verify([key]):
        store.put({key: make()})
    return {name: array.astype(np.float32) for name, array in store.get(key).items()}


def _stacked(keys: StrArray, store: ShardStore) -> FloatArray:
    stacked = np.empty((len(keys), len(store.get(keys[0])["embedding"])), np.float32)
    for row, key in enumerate(keys):
        stacked[row] = store.get(key)["embedding"]
    return stacked


def _on_axes(
    keys: StrArray, store: ShardStore, mean: FloatArray, basis: FloatArray, variance: FloatArray, rows: int
) -> FloatArray:
    """Return unit vectors (n, dimensions) on axes that are given, `rows` photographs at once."""
    scaled = whitened(basis, variance)
    blocks = (_stacked(keys[start : start + rows], store) for start in range(0, len(keys), rows))
    return np.concatenate([unit((block - mean) @ scaled) for block in blocks])


def load_network(config: Config, device: str, folder: Path | None = None) -> TimmExtractor | None:
    """Load the network that the settings name on `device` (`auto`, `cpu`, `cuda` ...); `None`: the weight-free model.

    Published weights are looked for in `folder` first.

    Raises:
        ConfigError: there is no such network or device.
        WeightsError: the weights are absent or do not fit.
    """
    chosen = choose_device(device)
    return None if config.embed.model == "rootsift-vlad" else load_embedder(config.embed, chosen, folder)


def join_embeddings(parts: Sequence[Embeddings]) -> Embeddings:
    """Join the embeddings of several data sets."""
    return Embeddings(
        fingerprint(*[part.model for part in parts]),
        np.concatenate([part.image_id for part in parts]),
        np.concatenate([part.values for part in parts]),
    )
