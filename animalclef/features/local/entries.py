"""Choose the local feature extractor that the settings name, and read the features that one stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from animalclef.config import KeypointConfig
from animalclef.errors import StaleArtefactError
from animalclef.features.local.keypoint_network import NetworkExtractor, load_extractor_network
from animalclef.features.local.sift import SiftExtractor
from animalclef.hub.cache import find_weights
from animalclef.runtime.devices import choose_device
from animalclef.store.shard_store import Entry
from animalclef.structures import LocalFeatures, MatchKey

__all__ = ["LocalExtractor", "features_from_entry", "load_extractor"]

LocalExtractor = SiftExtractor | NetworkExtractor


def load_extractor(config: KeypointConfig, device: str = "auto", folder: Path | None = None) -> LocalExtractor:
    """Return the extractor of `config.extractor`: SIFT, or a network on `device` (`auto`, `cpu`, `cuda` ...).

    The network's weights are the file `config.weights`, or where that is null the published ones of its name, which are
    looked for in `folder` first.

    >>> load_extractor(KeypointConfig(extractor="sift")).name
    'sift'

    Raises:
        ConfigError: a package that the network needs is not installed, or there is no such device.
        WeightsError: the weights are absent or do not fit.
    """
    if not config.feature.has_weights:
        return SiftExtractor(config)
    path = Path(config.weights) if config.weights is not None else find_weights(config.extractor, folder)
    return load_extractor_network(config, path, choose_device(device))


def features_from_entry(key: str, entry: Entry, extractor: str | None = None) -> LocalFeatures:
    """Return the features that an extractor stored in `entry`; floats in single precision.

    An entry holds `keypoints_xy` (m, 2), `descriptors` (m, d), `scale` (m,), `orientation_rad` (m,) and `size_wh` (2,);
    those of networks hold `confidence` (m,) and the name of the `extractor`, too.

    >>> floats = np.zeros(3, np.float32)
    >>> entry = {"keypoints_xy": np.zeros((3, 2)), "descriptors": np.zeros((3, 128), np.uint8), "scale": floats,
    ...          "orientation_rad": floats, "size_wh": np.array([640, 480])}
    >>> features_from_entry("key", entry)
    LocalFeatures(3 keypoints x 128, sift, of an image of 640 x 480)

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
