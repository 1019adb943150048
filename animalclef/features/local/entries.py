"""Stage two: local features of one photograph."""

from __future__ import annotations

import numpy as np

from animalclef.errors import StaleArtefactError
from animalclef.features.local.extractor_registry import LocalExtractor, load_extractor
from animalclef.features.local.sift import SiftExtractor, extract_sift
from animalclef.store.shard_store import Entry
from animalclef.structures import FloatArray, LocalFeatures, MatchKey

__all__ = ["LocalExtractor", "SiftExtractor", "extract_sift", "features_from_entry", "load_extractor"]


def features_from_entry(key: str, entry: Entry, extractor: str | None = None) -> LocalFeatures:
    """What an extractor stored; floats in single precision.

    Raises:
        StaleArtefactError: the entry was made by another than `extractor`.
    """
    made_by = entry["extractor"].tobytes().decode() if "extractor" in entry else "sift"
    if extractor not in (None, made_by):
        raise StaleArtefactError(
            f"The features of {key} were made by {made_by}, this run's extractor is {extractor}. "
            "Use another --run, or --overwrite."
        )
    descriptors = entry["descriptors"]
    return LocalFeatures(
        key=MatchKey(key),
        keypoints_xy=_single(entry, "keypoints_xy"),
        descriptors=descriptors if descriptors.dtype == np.uint8 else descriptors.astype(np.float32),
        scale=_single(entry, "scale"),
        orientation_rad=_single(entry, "orientation_rad"),
        image_size_wh=(int(entry["size_wh"][0]), int(entry["size_wh"][1])),
        confidence=_single(entry, "confidence") if "confidence" in entry else None,
        extractor=made_by,
    )


def _single(entry: Entry, name: str) -> FloatArray:
    return entry[name].astype(np.float32)
