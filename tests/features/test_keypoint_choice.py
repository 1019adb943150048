"""KAZE, evenly spread keypoints, distinct places, and how many keypoints a job affords."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from rows import Row, image_table
from tiny import photograph

from animalclef.config import Config, KeypointConfig, RerankConfig, load_config
from animalclef.errors import ConfigError
from animalclef.features.local.entries import SiftExtractor, features_from_entry
from animalclef.features.local.sift import extract_sift
from animalclef.features.local.spread import spread_order
from animalclef.matching.nearest_neighbour import MutualNearest, distinct_places
from animalclef.pipeline.keypoint_budget import affordable, count_pairs
from animalclef.runtime.threads import worker_threads
from animalclef.structures import Correspondences, DecodedImage, ImageTable

HAS_KAZE = hasattr(cv2, "KAZE") or hasattr(getattr(cv2, "xfeatures2d", None), "KAZE")


def decoded(individual: int, view: int) -> DecodedImage:
    pixels = np.ascontiguousarray(photograph([individual], view)[:, :, ::-1])
    return DecodedImage(pixels, None, (pixels.shape[1], pixels.shape[0]))


def test_the_strongest_of_every_cell_come_first() -> None:
    # cells are 10 pixels wide: three keypoints in the first, one in each of two others
    points = np.array([[1, 1], [2, 2], [79, 79], [3, 3], [45, 5]], dtype=np.float32)
    assert spread_order(points, (80, 80), 5).tolist() == [0, 2, 4, 1, 3]
    assert spread_order(points, (80, 80), 2).tolist() == [0, 2]
    assert spread_order(points[:0], (80, 80), 2).tolist() == []


def test_spread_keypoints_reach_more_of_the_photograph() -> None:
    def cells(spread: bool) -> int:
        found = extract_sift(decoded(1, 0), KeypointConfig(max_keypoints=40, spread=spread, contrast_threshold=0.005))
        assert 0 < len(found) <= 41  # a place with two orientations may be the last
        return len({tuple(place) for place in (found.keypoints_xy // 25).astype(int).tolist()})

    assert cells(True) > cells(False)


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


def table(queries: int) -> ImageTable:
    """Seven photographs; the first are queries."""
    return image_table([Row(f"{number}", None if number < queries else f"Ada {number}") for number in range(7)])


@pytest.mark.parametrize(
    ("settings", "groups_all", "pairs"),
    [
        ([], False, (3 + 4) * 4 + 3 * 2 + 4 * 3),  # queries and pseudo-queries; new ones; the database as a test
        ([], True, (3 + 4) * 4 + 3 * 2 + 4 * 3 + 4 * 4),  # which is also attached to individuals
        (["cluster.neighbours=1"], False, (3 + 4) * 4 + 3 + 4),
        (["cluster.new_ones=false"], False, (3 + 4) * 4),
        (["rerank.matcher=none"], True, 0),
    ],
)
def test_pairs_of_grouping_are_part_of_the_job(settings: list[str], groups_all: bool, pairs: int) -> None:
    images = table(queries=3)
    assert count_pairs(images, load_config(None, settings), tunes=True, groups_all=groups_all) == pairs


def test_where_nobody_has_a_name_every_photograph_is_grouped() -> None:
    config = load_config(None, ["cluster.neighbours=2"])
    assert count_pairs(table(queries=0), config, tunes=True, groups_all=True) == 7 * 2


@pytest.mark.parametrize(("most", "contrast"), [(512, 0.02), (1024, 0.01), (2048, 0.005)])
def test_many_keypoints_reach_into_faint_patterns(most: int, contrast: float) -> None:
    assert KeypointConfig(max_keypoints=most).contrast == contrast
    assert KeypointConfig(max_keypoints=most, contrast_threshold=0.03).contrast == 0.03
    assert Config().keypoints.contrast == 0.02
