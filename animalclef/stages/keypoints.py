"""Stage two: local features of one photograph."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.artefacts import DecodedImage, LocalFeatures
from animalclef.config import KeypointConfig
from animalclef.data.decode import resize_long_side
from animalclef.store.shards import Entry

__all__ = ["SiftExtractor", "features_from_entry"]


class SiftExtractor:
    """SIFT through OpenCV; keypoints in pixels of the photograph at its original size."""

    in_batches = False

    def __init__(self, config: KeypointConfig) -> None:
        self.config = config

    def describe(self, images: Sequence[DecodedImage], pool: Executor) -> list[Entry]:
        """Keypoints (float32), `descriptors` (m, 128) uint8 and the image's `size_wh`."""
        return list(pool.map(self._describe_one, images))

    def _describe_one(self, image: DecodedImage) -> Entry:
        features = extract_sift(image, self.config)
        return {
            "keypoints_xy": features.keypoints_xy,
            "descriptors": features.descriptors,
            "scale": features.scale,
            "orientation_rad": features.orientation_rad,
            "size_wh": np.array(features.image_size_wh, dtype=np.int32),
        }


def extract_sift(image: DecodedImage, config: KeypointConfig) -> LocalFeatures:
    """The strongest `max_keypoints` SIFT features, in a fixed order, those on transparent pixels left out."""
    long_side = min(max(*image.pixels.shape[:2], config.least_long_side), config.long_side)
    grey = cv2.cvtColor(resize_long_side(image.pixels, long_side, enlarge=True), cv2.COLOR_RGB2GRAY)
    if config.equalise:
        grey = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(grey)
    visible = None
    if image.alpha is not None:
        visible = cv2.resize(image.alpha, grey.shape[::-1], interpolation=cv2.INTER_AREA)
        visible = (visible > 127).astype(np.uint8)
    detector = cv2.SIFT.create(
        nfeatures=config.max_keypoints, contrastThreshold=config.contrast_threshold, enable_precise_upscale=True
    )
    found, descriptors = detector.detectAndCompute(grey, visible)
    if not found or descriptors is None:
        return _no_features(image)
    order = _fixed_order(found, config.max_keypoints)
    points = np.array([keypoint.pt for keypoint in found], dtype=np.float32)[order]
    scale = np.array([keypoint.size for keypoint in found], dtype=np.float32)[order]
    angle = np.array([keypoint.angle for keypoint in found], dtype=np.float32)[order]
    ratio_xy = np.array(image.original_size_wh, dtype=np.float32) / np.array(grey.shape[::-1], dtype=np.float32)
    return LocalFeatures(
        key="",
        keypoints_xy=np.asarray((points + 0.5) * ratio_xy - 0.5, dtype=np.float32),
        descriptors=descriptors[order].astype(np.uint8),
        scale=scale * float(ratio_xy.mean()),
        orientation_rad=np.radians(angle),
        image_size_wh=image.original_size_wh,
    )


def features_from_entry(key: str, entry: Entry) -> LocalFeatures:
    """What `SiftExtractor` stored."""
    return LocalFeatures(
        key=key,
        keypoints_xy=entry["keypoints_xy"].astype(np.float32),
        descriptors=entry["descriptors"],
        scale=entry["scale"].astype(np.float32),
        orientation_rad=entry["orientation_rad"].astype(np.float32),
        image_size_wh=(int(entry["size_wh"][0]), int(entry["size_wh"][1])),
    )


def _fixed_order(found: Sequence[cv2.KeyPoint], most: int) -> NDArray[np.int64]:
    """Strongest first; equal ones by place and angle, so that the order never depends on threads."""
    columns = np.array([(k.angle, k.size, k.pt[1], k.pt[0], -k.response) for k in found], dtype=np.float64)
    return np.lexsort(columns.T)[:most]


def _no_features(image: DecodedImage) -> LocalFeatures:
    return LocalFeatures(
        key="",
        keypoints_xy=np.zeros((0, 2), np.float32),
        descriptors=np.zeros((0, 128), np.uint8),
        scale=np.zeros(0, np.float32),
        orientation_rad=np.zeros(0, np.float32),
        image_size_wh=image.original_size_wh,
    )
