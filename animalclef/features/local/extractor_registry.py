"""The extractor that the settings name, ready to describe photographs."""

from __future__ import annotations

from pathlib import Path

from animalclef.config import KeypointConfig
from animalclef.features.embedding.timm_embedder import choose_device
from animalclef.features.local.keypoint_network import NetworkExtractor, load_extractor_network
from animalclef.features.local.sift import SiftExtractor
from animalclef.hub.cache import find_weights

__all__ = ["LocalExtractor", "load_extractor"]

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
