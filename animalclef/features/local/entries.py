"""The local feature extractor that the settings name, and what one stored of a photograph."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from animalclef.config import KeypointConfig
from animalclef.errors import StaleArtefactError
from animalclef.features.embedding.timm_embedder import choose_device
from animalclef.features.local.keypoint_network import NetworkExtractor, load_extractor_network
from animalclef.features.local.sift import SiftExtractor, extract_sift
from animalclef.hub.cache import find_weights
from animalclef.store.shard_store import Entry
from animalclef.structures import LocalFeatures, MatchKey

__all__ = ["LocalExtractor", "SiftExtractor", "extract_sift", "features_from_entry", "load_extractor"]

LocalExtractor = SiftExtractor | NetworkExtractor


def load_extractor(config: KeypointConfig, device: str = "auto", folder: Path | None = None) -> LocalExtractor:
    """SIFT, or a network on `device` (`auto`, `cpu`, `cuda` ...) with the weights of `config.weights`.

    Without those the weights are looked for by the extractor's name, in `folder` where one is given.

    Raises:
        ConfigError: a package is absent that the network comes with, or there is no such device.
        WeightsError: the weights are absent or do not fit.
    """
    if not config.feature.has_weights:
        return SiftExtractor(config)
    path = Path(config.weights) if config.weights is not None else find_weights(config.extractor, folder)
    return load_extractor_network(config, path, choose_device(device))


def features_from_entry(key: str, entry: Entry, extractor: str | None = None) -> LocalFeatures:
    """What an extractor stored; floats in single precision.

    Raises:
        StaleArtefactError: the entry was made by another than `extractor`.
    """
    made_by = entry["extractor"].tobytes().decode() if "extractor" in entry else "sift"
    if extractor not in (None, made_by):
        raise StaleArtefactError(
            f"The features of {key} were made by {made_by}, this run's extractor is {extractor}. "
            "Use another run folder, or overwrite it (--overwrite; in Python overwrite=True)."
        )
    descriptors = entry["descriptors"]
    return LocalFeatures(
        key=MatchKey(key),
        keypoints_xy=entry["keypoints_xy"].astype(np.float32),
        descriptors=descriptors if descriptors.dtype == np.uint8 else descriptors.astype(np.float32),
        scale=entry["scale"].astype(np.float32),
        orientation_rad=entry["orientation_rad"].astype(np.float32),
        image_size_wh=(int(entry["size_wh"][0]), int(entry["size_wh"][1])),
        confidence=entry["confidence"].astype(np.float32) if "confidence" in entry else None,
        extractor=made_by,
    )
