"""Distinct places, and how many keypoints a job affords."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rows import Row, image_table

from animalclef.config import Config, KeypointConfig, load_config
from animalclef.matching.nearest_neighbour import distinct_places
from animalclef.pipeline.keypoint_budget import affordable, count_pairs, count_pairs_left
from animalclef.store.pair_log import PairLog
from animalclef.structures import Correspondences, ImageTable


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
        (["budget.spend=10min"], False, (3 + 4) * 4 + 3 * 2 + 4 * 3),  # the same keypoints with and without a budget
        (["budget.spend=1000"], False, (3 + 4) * 4 + 3 * 2 + 4 * 3),
        (["budget.spend=5"], False, 5),
    ],
)
def test_pairs_of_grouping_are_part_of_the_job(settings: list[str], groups_all: bool, pairs: int) -> None:
    images = table(queries=3)
    assert count_pairs(images, load_config(None, settings), tunes=True, groups_all=groups_all) == pairs


@pytest.mark.parametrize(
    ("settings", "pairs"),
    [
        ([], 3 * 4 + 3 + 6),  # queries with the database, and with each other; the database with itself
        (["cluster.new_ones=false"], 3 * 4 + 6),
        (["cluster.neighbours=1", "retrieve.top_k=1"], 3 + 3 + 6),  # of the database 4 + 4 pairs are asked for
        (["keypoints.views={data: [flip]}"], 2 * ((3 + 4) * 4 + 3 * 2 + 4 * 3)),  # a view has two directions
        (["budget.spend=1"], 3 * 4 + 6),
    ],
)
def test_a_pair_that_is_asked_for_twice_is_matched_once(settings: list[str], pairs: int) -> None:
    images = table(queries=3)
    settings = [one.replace("data:", f"{images.datasets[0]}:") for one in settings]
    assert count_pairs_left(images, load_config(None, settings), tunes=True) == pairs


def test_pairs_in_the_log_are_not_left(tmp_path: Path) -> None:
    images = table(queries=3).with_columns(key=np.array([f"{row:016x}" * 2 for row in range(7)], dtype=object))
    log, key, config = PairLog(tmp_path / "pairs.log", "f", ["inliers"]), images.key, load_config(None, [])
    one, other = [key[0], key[0], key[4]], [key[3], key[1], key[3]]  # with the database, of queries, of the database
    log.append(one, other, np.zeros((3, 1), np.float32))
    log.append(["f" * 32], ["e" * 32], np.zeros((1, 1), np.float32))  # of other photographs
    assert count_pairs_left(images, config, log, tunes=True) == 3 * 4 - 1 + 3 - 1 + 6 - 1
    assert count_pairs_left(images, config, log, tunes=False, groups_nobody=True) == 3 * 4 - 1


def test_where_nobody_has_a_name_every_photograph_is_grouped() -> None:
    config = load_config(None, ["cluster.neighbours=2"])
    assert count_pairs(table(queries=0), config, tunes=True, groups_all=True) == 7 * 2


@pytest.mark.parametrize(("most", "contrast"), [(512, 0.02), (1024, 0.01), (2048, 0.005)])
def test_many_keypoints_reach_into_faint_patterns(most: int, contrast: float) -> None:
    assert KeypointConfig(max_keypoints=most).contrast == contrast
    assert KeypointConfig(max_keypoints=most, contrast_threshold=0.03).contrast == 0.03
    assert Config().keypoints.contrast == 0.02
