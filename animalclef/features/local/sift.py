"""SIFT through OpenCV: the local features that need no weights."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.config import KeypointConfig, fingerprint
from animalclef.data.decode import resize_long_side
from animalclef.store.shard_store import Entry
from animalclef.structures import DecodedImage, LocalFeatures, MatchKey

__all__ = ["SiftExtractor", "extract_sift", "no_features"]

_NO_KEY = MatchKey("")  # it is given when the features are stored


class SiftExtractor:
    """SIFT (Lowe 2004) as the settings say; keypoints in original pixels.

    The fingerprint does not tell upright features apart: their stores and keys have names of their own.
    """

    in_batches = False
    weights = None

    def __init__(self, config: KeypointConfig) -> None:
        self.config, self.name = config, config.extractor
        wanted = {"extractor", "long_side", "least_long_side", "max_keypoints", "equalise"}
        settings = config.resolved().model_dump(mode="json", include=wanted)
        settings["contrast_threshold"] = config.contrast
        self.fingerprint = fingerprint(settings, cv2.__version__)

    def with_upright(self, *, upright: bool) -> SiftExtractor:
        """Return the same extractor for photographs that are never rotated, or for any."""
        return SiftExtractor(self.config.model_copy(update={"upright": upright}))

    def extract_features(self, images: Sequence[DecodedImage], pool: Executor) -> list[Entry]:
        """Return keypoints (m, 2) float32, descriptors (m, 128) uint8 and the `size_wh` of each image."""
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
    """Return the strongest `max_keypoints` features, in a fixed order, those on transparent pixels left out.

    With `upright` set to true every keypoint is described as it stands, once, whatever its orientations.
    """
    largest, most = config.sizes
    long_side = min(max(*image.pixels.shape[:2], config.least_long_side), largest)
    grey = cv2.cvtColor(resize_long_side(image.pixels, long_side, enlarge=True), cv2.COLOR_RGB2GRAY)
    if config.equalise:
        grey = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(grey)
    visible = None
    if image.alpha is not None:
        visible = cv2.resize(image.alpha, grey.shape[::-1], interpolation=cv2.INTER_AREA)
        visible = (visible > 127).astype(np.uint8)
    upright = config.upright is True
    kept = 0 if upright else most  # 0: all, of which the upright ones are chosen
    detector = cv2.SIFT.create(nfeatures=kept, contrastThreshold=config.contrast, enable_precise_upscale=True)
    if upright:
        found = _upright(detector.detect(grey, visible), most)
        found, descriptors = detector.compute(grey, found) if found else ([], None)
    else:
        found, descriptors = detector.detectAndCompute(grey, visible)
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
        descriptors=descriptors[order].astype(np.uint8),
        scale=scale[order] * float(ratio_xy.mean()),
        orientation_rad=np.radians(angle[order]),
        image_size_wh=image.original_size_wh,
        extractor=config.extractor,
    )


def no_features(size_wh: tuple[int, int], config: KeypointConfig, key: MatchKey = _NO_KEY) -> LocalFeatures:
    """Return the features of a photograph that has none."""
    none_xy, empty = np.zeros((0, 2), np.float32), np.zeros(0, np.float32)
    descriptors = np.zeros((0, config.feature.dimensions), np.uint8)
    return LocalFeatures(key, none_xy, descriptors, empty, empty, size_wh, extractor=config.extractor)


def _upright(found: Sequence[cv2.KeyPoint], most: int) -> list[cv2.KeyPoint]:
    """Return the strongest keypoints without a turn, each place and size once."""
    once = list({(keypoint.pt, keypoint.size): keypoint for keypoint in found}.values())
    for keypoint in once:
        keypoint.angle = 0.0
    return [once[row] for row in _fixed_order(once, most)] if once else []


def _fixed_order(found: Sequence[cv2.KeyPoint], most: int) -> NDArray[np.int64]:
    """Return rows, strongest first; equal ones by place and angle, so that the order never depends on threads."""
    columns = np.array([(k.angle, k.size, k.pt[1], k.pt[0], -k.response) for k in found], dtype=np.float64)
    return np.lexsort(columns.T)[:most]
