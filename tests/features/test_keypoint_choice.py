"""KAZE, distinct places, and how many keypoints a job affords."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from tiny import photograph

from animalclef.config import Config, KeypointConfig, RerankConfig
from animalclef.errors import ConfigError
from animalclef.features.local.entries import SiftExtractor, features_from_entry
from animalclef.matching.nearest_neighbour import MutualNearest, distinct_places
from animalclef.pipeline.keypoint_budget import affordable
from animalclef.runtime.threads import worker_threads
from animalclef.structures import Correspondences, DecodedImage

HAS_KAZE = hasattr(cv2, "KAZE") or hasattr(getattr(cv2, "xfeatures2d", None), "KAZE")


def decoded(individual: int, view: int) -> DecodedImage:
    pixels = np.ascontiguousarray(photograph([individual], view)[:, :, ::-1])
    return DecodedImage(pixels, None, (pixels.shape[1], pixels.shape[0]))


@pytest.mark.skipif(not HAS_KAZE, reason="this OpenCV comes without KAZE (OpenCV 4 and the contrib build have it)")
def test_kaze_matches_two_views_of_one_animal_better_than_two_animals() -> None:
    config = KeypointConfig(extractor="kaze", max_keypoints=200)
    extractor = SiftExtractor(config)
    images = [decoded(1, 0), decoded(1, 1), decoded(2, 0)]
    with worker_threads(2) as pool:
        entries = extractor.extract_features(images, pool)
    assert entries[0]["descriptors"].dtype == np.float16
    one, other, stranger = (
        features_from_entry(name, entry, "kaze") for name, entry in zip("abc", entries, strict=True)
    )
    assert one.descriptors.min() < 0  # signed: no RootSIFT
    same, different = MutualNearest(RerankConfig()).match(one, [other, stranger])[:, 1]
    assert same > 2 * different


@pytest.mark.skipif(HAS_KAZE, reason="this OpenCV has KAZE")
def test_without_kaze_the_message_names_what_to_install() -> None:
    with pytest.raises(ConfigError, match="opencv-contrib-python-headless"):
        SiftExtractor(KeypointConfig(extractor="kaze"))


def test_inliers_are_counted_by_distinct_places() -> None:
    query = np.array([[1, 1], [1, 1], [5, 5], [9, 9], [7, 7]], dtype=np.float32)
    gallery = np.array([[2, 2], [3, 3], [6, 6], [6, 6], [8, 8]], dtype=np.float32)
    confidence = np.array([0.1, 0.2, 0.4, 0.3, 0.9], dtype=np.float32)
    inlier = np.array([True, True, True, True, False])
    # of the two at (1, 1) the second, of the two at (6, 6) the first; the last is no inlier
    assert distinct_places(Correspondences(query, gallery, confidence, inlier)).tolist() == [1, 2]


def test_more_time_buys_more_keypoints() -> None:
    assert affordable(3500, 175_000, 20.0).matched == 1024
    assert affordable(3500, 175_000, 5.0).matched == 512
    assert affordable(100, 1_000, 20.0).matched == 2048


@pytest.mark.parametrize(("most", "contrast"), [(512, 0.02), (1024, 0.01), (2048, 0.005)])
def test_many_keypoints_reach_into_faint_patterns(most: int, contrast: float) -> None:
    assert KeypointConfig(max_keypoints=most).contrast == contrast
    assert KeypointConfig(max_keypoints=most, contrast_threshold=0.03).contrast == 0.03
    assert Config().keypoints.contrast == 0.02
