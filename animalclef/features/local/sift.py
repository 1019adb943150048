"""SIFT through OpenCV (Lowe, IJCV 2004): the local features that need no weights."""

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
from animalclef.structures.arrays import Pixels

__all__ = ["SiftExtractor", "extract_sift", "no_features"]

_NO_KEY = MatchKey("")  # the reader of a store knows it


class SiftExtractor:
    """Extract SIFT of many photographs, as entries for a store; `extract_sift` does it for one.

    The fingerprint is the same for upright features: their stores and match keys have names of their own.
    """

    in_batches = False
    decodes_fully = False
    weights = None

    def __init__(self, config: KeypointConfig) -> None:
        self.config, self.name = config, config.extractor
        wanted = {"extractor", "long_side", "least_long_side", "max_keypoints", "equalise"}
        settings = config.resolved().model_dump(mode="json", include=wanted)
        settings["contrast_threshold"] = config.contrast
        self.fingerprint = fingerprint(settings, cv2.__version__)

    def with_upright(self, *, upright: bool) -> SiftExtractor:
        """Return the same extractor with or without upright keypoints."""
        return SiftExtractor(self.config.model_copy(update={"upright": upright}))

    def extract_features(self, images: Sequence[DecodedImage], pool: Executor) -> list[Entry]:
        """Return an entry for each image, in their order; `entries.features_from_entry` reads it back."""
        return list(pool.map(self._entry, images))

    def _entry(self, image: DecodedImage) -> Entry:
        features = extract_sift(image, self.config)
        return {
            "keypoints_xy": features.keypoints_xy,
            "descriptors": features.descriptors,
            "scale": features.scale,
            "orientation_rad": features.orientation_rad,
            "size_wh": np.array(features.image_size_wh, dtype=np.int32),
        }


def extract_sift(image: DecodedImage, config: KeypointConfig) -> LocalFeatures:
    """Return the strongest `max_keypoints` features, the strongest first, in pixels of the photograph's original size.

    Before detection the photograph is scaled so that its long side lies between `least_long_side` and `long_side`.
    Keypoints on transparent pixels are left out. With `upright=True` every keypoint is described once, with
    orientation 0; otherwise once for each of its dominant orientations. (Any other value of `upright` counts as false:
    `KeypointConfig.is_upright` says what it means for a data set.)

    >>> pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    >>> features = extract_sift(DecodedImage(pixels, None, (800, 600)), KeypointConfig(max_keypoints=50))
    >>> features, features.descriptors.dtype
    (LocalFeatures(50 keypoints x 128, sift, of an image of 800 x 600), dtype('uint8'))
    """
    grey, visible = _preprocess(image, config)
    keypoints, descriptors = _detect(grey, visible, config)
    if not keypoints:
        return no_features(image.original_size_wh, config)
    xy, diameter, angle = (
        np.array([getattr(keypoint, name) for keypoint in keypoints], dtype=np.float32)
        for name in ("pt", "size", "angle")
    )
    ratio_xy = np.array(image.original_size_wh, dtype=np.float32) / np.array(grey.shape[::-1], dtype=np.float32)
    return LocalFeatures(
        key=_NO_KEY,
        keypoints_xy=np.asarray((xy + 0.5) * ratio_xy - 0.5, dtype=np.float32),  # pixel centres at whole numbers
        descriptors=descriptors,
        scale=diameter * float(ratio_xy.mean()),
        orientation_rad=np.radians(angle),
        image_size_wh=image.original_size_wh,
        extractor=config.extractor,
    )


def no_features(size_wh: tuple[int, int], config: KeypointConfig, key: MatchKey = _NO_KEY) -> LocalFeatures:
    """Return the features of a photograph that has none.

    >>> no_features((640, 480), KeypointConfig())
    LocalFeatures(0 keypoints x 128, sift, of an image of 640 x 480)
    """
    none_xy, empty = np.zeros((0, 2), np.float32), np.zeros(0, np.float32)
    descriptors = np.zeros((0, config.feature.dimensions), np.uint8)
    return LocalFeatures(key, none_xy, descriptors, empty, empty, size_wh, extractor=config.extractor)


def _preprocess(image: DecodedImage, config: KeypointConfig) -> tuple[Pixels, Pixels | None]:
    """Return the scaled grey image, (H, W) uint8, and a mask of its opaque pixels, `None` where all are."""
    largest, _ = config.sizes
    long_side = min(max(*image.pixels.shape[:2], config.least_long_side), largest)
    grey = cv2.cvtColor(resize_long_side(image.pixels, long_side, enlarge=True), cv2.COLOR_RGB2GRAY)
    if config.equalise:
        grey = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(grey)
    if image.alpha is None:
        return grey, None
    alpha = cv2.resize(image.alpha, grey.shape[::-1], interpolation=cv2.INTER_AREA)
    return grey, (alpha > 127).astype(np.uint8)


def _detect(grey: Pixels, visible: Pixels | None, config: KeypointConfig) -> tuple[list[cv2.KeyPoint], Pixels]:
    """Return the strongest keypoints of a scaled image, the strongest first, and their descriptors, (m, 128) uint8."""
    _, most = config.sizes
    upright = config.upright is True
    limit = 0 if upright else most  # 0: all, since keypoints that differ only in orientation become one
    sift = cv2.SIFT.create(nfeatures=limit, contrastThreshold=config.contrast, enable_precise_upscale=True)
    keypoints: Sequence[cv2.KeyPoint]
    if upright:
        keypoints = _without_orientation(sift.detect(grey, visible), most)
        keypoints, descriptors = sift.compute(grey, keypoints) if keypoints else ([], None)
    else:
        keypoints, descriptors = sift.detectAndCompute(grey, visible)
    if not keypoints or descriptors is None:
        return [], np.zeros((0, 128), np.uint8)
    order = _strongest(keypoints, most)
    return [keypoints[row] for row in order], descriptors[order].astype(np.uint8)


def _without_orientation(keypoints: Sequence[cv2.KeyPoint], most: int) -> list[cv2.KeyPoint]:
    """Return the strongest keypoints with orientation 0, each place and size once."""
    once = list({(keypoint.pt, keypoint.size): keypoint for keypoint in keypoints}.values())
    for keypoint in once:
        keypoint.angle = 0.0
    return [once[row] for row in _strongest(once, most)] if once else []


def _strongest(keypoints: Sequence[cv2.KeyPoint], most: int) -> NDArray[np.int64]:
    """Return the rows of the strongest keypoints, in order.

    Ties are broken by place, size and angle: the order in which OpenCV finds keypoints depends on its threads.
    """
    columns = np.array([(k.angle, k.size, k.pt[1], k.pt[0], -k.response) for k in keypoints], dtype=np.float64)
    return np.lexsort(columns.T)[:most]
