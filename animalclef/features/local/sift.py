"""SIFT and KAZE through OpenCV: the local features that need no weights."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.config import KeypointConfig, fingerprint
from animalclef.data.decode import resize_long_side
from animalclef.errors import ConfigError
from animalclef.store.shard_store import Entry
from animalclef.structures import DecodedImage, LocalFeatures, MatchKey

__all__ = ["SiftExtractor", "extract_sift", "no_features"]

_NO_KEY = MatchKey("")  # it is given when the features are stored

_KAZE_THRESHOLD = 0.0005  # of the detector's response; OpenCV's own default is 0.001


class SiftExtractor:
    """SIFT (Lowe 2004) or KAZE (Alcantarilla et al. 2012), as the settings name; keypoints in original pixels.

    KAZE's descriptors are floats with signs: they are compared as unit vectors, never as RootSIFT.
    """

    in_batches = False
    weights = None

    def __init__(self, config: KeypointConfig) -> None:
        """Check that OpenCV has the extractor.

        Raises:
            ConfigError: this OpenCV comes without KAZE.
        """
        self.config, self.name = config, config.extractor
        if self.name == "kaze":
            _kaze()
        wanted = {"extractor", "long_side", "least_long_side", "max_keypoints", "equalise"}
        settings = config.resolved().model_dump(mode="json", include=wanted)
        settings["contrast_threshold"] = config.contrast if self.name == "sift" else _KAZE_THRESHOLD
        self.fingerprint = fingerprint(settings, cv2.__version__)

    def extract_features(self, images: Sequence[DecodedImage], pool: Executor) -> list[Entry]:
        """Return keypoints (m, 2) float32, descriptors (m, d) of uint8 or float16 and the `size_wh` of each image."""
        return list(pool.map(self._describe_one, images))

    def _describe_one(self, image: DecodedImage) -> Entry:
        features = extract_sift(image, self.config)
        entry: dict[str, NDArray[np.generic]] = {
            "keypoints_xy": features.keypoints_xy,
            "descriptors": features.descriptors,
            "scale": features.scale,
            "orientation_rad": features.orientation_rad,
            "size_wh": np.array(features.image_size_wh, dtype=np.int32),
        }
        if self.name != "sift":
            entry["descriptors"] = features.descriptors.astype(np.float16)
            entry["extractor"] = np.frombuffer(self.name.encode(), np.uint8)
        return entry


def extract_sift(image: DecodedImage, config: KeypointConfig) -> LocalFeatures:
    """Return the strongest `max_keypoints` features, in a fixed order, those on transparent pixels left out."""
    largest, most = config.sizes
    long_side = min(max(*image.pixels.shape[:2], config.least_long_side), largest)
    grey = cv2.cvtColor(resize_long_side(image.pixels, long_side, enlarge=True), cv2.COLOR_RGB2GRAY)
    if config.equalise:
        grey = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(grey)
    visible = None
    if image.alpha is not None:
        visible = cv2.resize(image.alpha, grey.shape[::-1], interpolation=cv2.INTER_AREA)
        visible = (visible > 127).astype(np.uint8)
    found, descriptors = _detected(grey, visible, config)
    if not found or descriptors is None:
        return no_features(image.original_size_wh, config)
    points, scale, angle = (
        np.array([getattr(keypoint, name) for keypoint in found], dtype=np.float32) for name in ("pt", "size", "angle")
    )
    order = _fixed_order(found, most)
    ratio_xy = np.array(image.original_size_wh, dtype=np.float32) / np.array(grey.shape[::-1], dtype=np.float32)
    return LocalFeatures(
        key=_NO_KEY,
        keypoints_xy=np.asarray((points[order] + 0.5) * ratio_xy - 0.5, dtype=np.float32),
        descriptors=descriptors[order].astype(np.uint8 if config.extractor == "sift" else np.float32),
        scale=scale[order] * float(ratio_xy.mean()),
        orientation_rad=np.radians(angle[order]),
        image_size_wh=image.original_size_wh,
        extractor=config.extractor,
    )


def no_features(size_wh: tuple[int, int], config: KeypointConfig, key: MatchKey = _NO_KEY) -> LocalFeatures:
    """Return the features of a photograph that has none."""
    none_xy, empty = np.zeros((0, 2), np.float32), np.zeros(0, np.float32)
    kind = np.uint8 if config.extractor == "sift" else np.float32
    descriptors = np.zeros((0, config.feature.dimensions), kind)
    return LocalFeatures(key, none_xy, descriptors, empty, empty, size_wh, extractor=config.extractor)


def _detected(
    grey: NDArray[np.uint8], visible: NDArray[np.uint8] | None, config: KeypointConfig
) -> tuple[Sequence[cv2.KeyPoint], NDArray[np.float32] | None]:
    most = config.sizes[1]
    if config.extractor == "sift":
        detector = cv2.SIFT.create(nfeatures=most, contrastThreshold=config.contrast, enable_precise_upscale=True)
        found, descriptors = detector.detectAndCompute(grey, visible)
        return found, descriptors
    detector = _kaze()
    found = detector.detect(grey, visible)
    if len(found) > most:
        found = [found[row] for row in _fixed_order(found, most)]
    kept, descriptors = detector.compute(grey, found)
    return kept, descriptors


def _kaze() -> Any:
    """Open KAZE, which OpenCV 4 carries, and OpenCV 5 in its contrib build alone."""
    home = cv2 if hasattr(cv2, "KAZE") else getattr(cv2, "xfeatures2d", None)
    if home is None or not hasattr(home, "KAZE"):
        raise ConfigError(
            f"keypoints.extractor kaze: OpenCV {cv2.__version__} comes without KAZE. Install OpenCV 4 "
            "(pip install 'opencv-python-headless<5') or opencv-contrib-python-headless."
        )
    return home.KAZE.create(threshold=_KAZE_THRESHOLD)


def _fixed_order(found: Sequence[cv2.KeyPoint], most: int) -> NDArray[np.int64]:
    """Return rows, strongest first; equal ones by place and angle, so that the order never depends on threads."""
    columns = np.array([(k.angle, k.size, k.pt[1], k.pt[0], -k.response) for k in found], dtype=np.float64)
    return np.lexsort(columns.T)[:most]
