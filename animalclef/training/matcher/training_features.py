"""The local features that a matcher is trained on, behind one small door."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from animalclef.config import KeypointConfig
from animalclef.structures import DecodedImage, FloatArray, LocalFeatures

__all__ = ["TrainingFeatures", "training_features"]


@dataclass(frozen=True)
class TrainingFeatures:
    """How a photograph becomes what the network sees."""

    name: str
    input_dim: int
    extract: Callable[[NDArray[np.uint8]], LocalFeatures]
    """Features of an RGB picture; what they hold is stored."""
    prepare: Callable[[NDArray[np.generic]], FloatArray]
    """Stored descriptors (m, ...) as the network takes them, (m, input_dim) float32."""


def training_features(config: KeypointConfig) -> TrainingFeatures:
    """The features that `config` names."""
    from animalclef.features.local.entries import extract_sift
    from animalclef.features.local.unit_descriptors import root_sift

    def extract(pixels: NDArray[np.uint8]) -> LocalFeatures:
        return extract_sift(DecodedImage(pixels, None, (pixels.shape[1], pixels.shape[0])), config)

    return TrainingFeatures("sift", 128, extract, root_sift)
