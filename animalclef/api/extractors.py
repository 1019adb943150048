"""`Embedder`, `LocalFeatureExtractor`, `segment`: vectors, keypoints with descriptors, and masks of images."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.api.datasets import Dataset, PathLike, path_or_none
from animalclef.api.open_images import Images, Photograph, in_chunks, open_images, tell_skipped
from animalclef.config import Config, EmbedConfig, KeypointConfig, load_config
from animalclef.config.prepare import PrepareConfig
from animalclef.errors import WeightsError
from animalclef.features.embedding.embedder import load_network
from animalclef.features.embedding.principal_components import project
from animalclef.features.embedding.vlad import CODEBOOK_IMAGES, VladExtractor, dense_descriptors, fit_codebook
from animalclef.features.local.entries import features_from_entry, load_extractor
from animalclef.prepare.segmenters import open_segmenter
from animalclef.runtime.devices import choose_device
from animalclef.runtime.threads import cores, one_thread_each, worker_threads
from animalclef.runtime.wording import counted
from animalclef.structures import Embeddings, LocalFeatures, MatchKey, Skipped, StrArray

__all__ = ["Embedder", "LocalFeatureExtractor", "Masks", "segment", "settings_with", "weights_of"]


class Embedder:
    """An embedding model: one unit vector per image.

    `name` is rootsift-vlad (needs no weights; fitted on the images that it embeds), a model that ships
    (embedder-lite), a published one (miewid-msv3), `timm:NAME`, or `file:PATH`. `weights` is a file, or the folder of
    a bundle. Further settings are those of the group `embed`.

    Raises:
        ConfigError: there is no such model, setting or device.
        WeightsError: the weights are not on this machine, or do not fit.

    Example:
        >>> embedder = Embedder("rootsift-vlad", words=8, dimensions=16)
        >>> embeddings = embedder.embed(photographs)
        >>> embeddings
        Embeddings(12 images x 16, made by rootsift-vlad)
        >>> embeddings.values.shape, round(float(np.linalg.norm(embeddings.values[0])), 4)
        ((12, 16), 1.0)
    """

    def __init__(self, name: str, *, weights: PathLike | None = None, device: str = "auto", **settings: Any) -> None:
        file, folder = weights_of(weights)
        self.name = name
        self._config = settings_with("embed", model=name, weights=file, **settings)
        self._network = load_network(self._config, device, folder)

    def embed(self, images: Images) -> Embeddings:
        """Return `values`, (n, d) float32 with rows of length 1, and `image_id`, (n,), in the order of the images.

        A large JPEG file is reduced while it is decoded, so its vector differs slightly from that of the same picture
        opened before. Give files, or opened pictures, not both. A photograph of a `Dataset` that cannot be used has no
        row; a warning counts them, and `skipped` lists them with the reason.

        Raises:
            DataError: an image that was given by itself cannot be read, or no photograph of a data set.
            ValueError: there is no image, or an empty one.
        """
        skipped: list[Skipped] = []
        whole = self._network is not None and self._network.decodes_fully
        opened: Iterable[Photograph] = open_images(images, skipped.append, whole=whole)
        opened = list(opened) if self._network is None else opened
        names: list[str] = []
        vectors: list[np.ndarray[Any, Any]] = []
        with one_thread_each(), worker_threads(cores()) as pool:
            extractor = self._network or _fitted(opened, self._config.embed, self._config.seed)  # type: ignore[arg-type]
            for some in in_chunks(opened):
                names += [one.image_id for one in some]
                entries = extractor.extract_features([one.image for one in some], pool)
                vectors += [entry["embedding"] for entry in entries]
        tell_skipped(skipped, len(vectors))
        if not vectors:
            raise ValueError("images: expected at least one, got none.")
        values = np.stack(vectors).astype(np.float32)
        if self._network is None:
            values = project(values, self._config.embed.dimensions)
        return Embeddings(self.name, np.array(names, dtype=object), values, tuple(skipped))


class LocalFeatureExtractor:
    """A detector of keypoints with descriptors: sift (needs no weights), aliked-n16, xfeat, disk, superpoint ...

    `weights` is a file, or the folder of a bundle. Further settings are those of the group `keypoints`.

    Raises:
        ConfigError: there is no such extractor, setting or device.
        WeightsError: the weights are not on this machine, or do not fit.

    Example:
        >>> [features] = LocalFeatureExtractor("sift", max_keypoints=100).extract(photographs[0])
        >>> features
        LocalFeatures(... keypoints x 128, sift, of an image of ...)
        >>> features.keypoints_xy.shape[1], features.descriptors.shape[1], 0 < len(features) <= 100
        (2, 128, True)
    """

    def __init__(
        self, name: str = "sift", *, weights: PathLike | None = None, device: str = "auto", **settings: Any
    ) -> None:
        file, folder = weights_of(weights)
        self.name = name
        self._config: KeypointConfig = settings_with("keypoints", extractor=name, weights=file, **settings).keypoints
        self._extractor = load_extractor(self._config, device, folder)

    def extract(self, images: Images) -> list[LocalFeatures]:
        """Return the features of every image: keypoints (m, 2) in pixels of the image, descriptors (m, d).

        Those of a photograph of a `Dataset` that cannot be used are empty; a warning counts them.

        Raises:
            DataError: an image that was given by itself cannot be read, or no photograph of a data set.
        """
        features: list[LocalFeatures] = []
        names: list[str] = []
        skipped: list[Skipped] = []
        with one_thread_each(), worker_threads(cores()) as pool:
            for some in in_chunks(open_images(images, skipped.append)):
                names += [one.image_id for one in some]
                entries = self._extractor.extract_features([one.image for one in some], pool)
                features += [features_from_entry(one.key, entry) for one, entry in zip(some, entries, strict=True)]
        tell_skipped(skipped, len(features))
        if not skipped or not isinstance(images, Dataset):
            return features
        empty = replace(features[0].select(np.zeros(0, dtype=np.int64)), key=MatchKey(""), image_size_wh=(0, 0))
        found = dict(zip(names, features, strict=True))
        return [found.get(one, empty) for one in images.table.images.image_id]


def settings_with(group: str, **values: Any) -> Config:
    """Return default settings with some of one group changed.

    Raises:
        ConfigError: there is no such setting, or a value does not fit.
    """
    given = [(name, json.dumps(value, default=os.fspath)) for name, value in values.items() if value is not None]
    return load_config(None, [f"{group}.{name}={text}" for name, text in given])


def _whole(photograph: Photograph, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask in the size of the image, which may have been reduced."""
    size_wh = photograph.image.original_size_wh
    if mask.shape[::-1] == size_wh:
        return mask
    return np.asarray(cv2.resize(mask.astype(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST) > 0)


def weights_of(weights: PathLike | None) -> tuple[str | None, Path | None]:
    """Return a file of weights (or a name, such as `hub`) and a folder of them; one of the two is `None`.

    Raises:
        WeightsError: a path is given, and nothing is there.
    """
    path = path_or_none(weights, "weights")
    if path is None:
        return None, None
    if (path.suffix or len(path.parts) > 1) and not path.exists():
        raise WeightsError(f"weights {path}: no such file or folder.")
    return (None, path) if path.is_dir() else (str(path), None)


def _fitted(photographs: Sequence[Photograph], config: EmbedConfig, seed: int) -> VladExtractor:
    """Fit the weight-free model on some of the images."""
    order = np.random.default_rng([seed, 5]).permutation(len(photographs))[:CODEBOOK_IMAGES]
    samples = [dense_descriptors(photographs[row].image, config) for row in np.sort(order).tolist()]
    return VladExtractor(fit_codebook(samples, config, seed), config)


@dataclass(frozen=True, eq=False)
class Masks:
    """One mask per image, True on the animals; all False where none was found."""

    image_id: StrArray  # (n,)
    masks: tuple[NDArray[np.bool_], ...]  # each (h, w) of its image
    skipped: tuple[Skipped, ...] = ()  # photographs of a data set that could not be used, and have no mask

    def __len__(self) -> int:
        return len(self.masks)

    def __repr__(self) -> str:
        return f"Masks({counted(len(self), 'image')})"

    def __getitem__(self, number: int) -> NDArray[np.bool_]:
        return self.masks[number]


def segment(images: Images, *, model: str | None = None, device: str = "auto") -> Masks:
    """Find the animals in every image.

    `model` is animal (ships with the package), u2netp, grabcut (needs no weights), a file with weights of U2-Net-P, or
    a Segment Anything model. The default is that of a run (`prepare.segmenter`). A photograph of a `Dataset` that
    cannot be used has no mask; a warning counts them, and `skipped` lists them with the reason.

    Raises:
        DataError: an image that was given by itself cannot be read, or no photograph of a data set.
        ConfigError: a package that the model needs is not installed.
        WeightsError: the model is not on this machine.

    Example:
        >>> masks = segment(photographs[:2], model="grabcut")
        >>> masks, masks[0].ndim, masks[0].dtype
        (Masks(2 images), 2, dtype('bool'))
    """
    segmenter = open_segmenter(model or PrepareConfig().segmenter, choose_device(device))
    names: list[str] = []
    found: list[NDArray[np.bool_]] = []
    skipped: list[Skipped] = []
    for some in in_chunks(open_images(images, skipped.append)):
        names += [one.image_id for one in some]
        found += map(_whole, some, segmenter.segment([one.image.pixels for one in some]))
    tell_skipped(skipped, len(found))
    return Masks(np.array(names, dtype=object), tuple(found), tuple(skipped))
