"""Distinct places, and how many keypoints a job affords."""

from __future__ import annotations

import numpy as np
import pytest

from animalclef.config import Config, KeypointConfig
from animalclef.matching.nearest_neighbour import distinct_places
from animalclef.pipeline.keypoint_budget import affordable
from animalclef.structures import Correspondences


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
