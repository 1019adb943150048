"""Choose the local features that a matcher is trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from animalclef.config import KeypointConfig
from animalclef.features.local.entries import extract_sift
from animalclef.features.local.unit_descriptors import root_sift
from animalclef.structures import DecodedImage, FloatArray, LocalFeatures

__all__ = ["TrainingFeatures", "training_features"]


@dataclass(frozen=True)
class TrainingFeatures:
    """How a photograph becomes the network's input."""

    name: str
    input_dim: int
    extract: Callable[[NDArray[np.uint8]], LocalFeatures]
    """Local features of an RGB photograph; they are stored."""
    prepare: Callable[[NDArray[np.generic]], FloatArray]
    """Network input (m, input_dim) float32 of stored descriptors (m, ...)."""


def training_features(config: KeypointConfig) -> TrainingFeatures:
    """Return the features that `config` names."""

    def extract(pixels: NDArray[np.uint8]) -> LocalFeatures:
        return extract_sift(DecodedImage(pixels, None, (pixels.shape[1], pixels.shape[0])), config)

    return TrainingFeatures("sift", 128, extract, root_sift)
