"""How strongly matches agree with their neighbours: planted transforms, a bent body, chance."""

from __future__ import annotations

import numpy as np
import pytest

from animalclef.matching.consistency import consistency
from animalclef.matching.nearest_neighbour import agreeing
from animalclef.structures import LocalFeatures

SIZE_WH = (640, 400)


def keypoints(places_xy: np.ndarray, scale: np.ndarray, angle_rad: np.ndarray) -> LocalFeatures:
    descriptors = np.zeros((len(places_xy), 128), np.uint8)
    places, sizes, angles = (np.asarray(one, dtype=np.float32) for one in (places_xy, scale, angle_rad))
    return LocalFeatures("key", places, descriptors, sizes, angles, SIZE_WH)


def scattered(count: int, seed: int = 0) -> LocalFeatures:
    rng = np.random.default_rng(seed)
    return keypoints(rng.uniform(0, 1, (count, 2)) * SIZE_WH, rng.uniform(2, 9, count), rng.uniform(-3, 3, count))


def moved(one: LocalFeatures, turn_rad: float, growth: float) -> LocalFeatures:
    cosine, sine = growth * np.cos(turn_rad), growth * np.sin(turn_rad)
    places = one.keypoints_xy @ np.array([[cosine, sine], [-sine, cosine]])
    return keypoints(places, one.scale * growth, one.orientation_rad + turn_rad)


def value(one: LocalFeatures, other: LocalFeatures, ratio: float = 0.5) -> float:
    rows = np.arange(len(one))
    return consistency(one, other, (rows, rows), np.full(len(one), ratio, np.float32))


@pytest.mark.parametrize(("turn_rad", "growth"), [(0.0, 1.0), (2.5, 0.6), (-1.0, 1.8)])
def test_a_turn_and_a_growth_are_no_disagreement(turn_rad: float, growth: float) -> None:
    one = scattered(40)
    assert value(one, moved(one, turn_rad, growth)) == pytest.approx(value(one, one), rel=0.02)
    assert value(one, one) > 3


def test_chance_matches_agree_with_hardly_any() -> None:
    assert value(scattered(40), scattered(40, seed=1)) < 0.15 * value(scattered(40), scattered(40))


def test_a_body_that_bends_keeps_most_where_one_transform_keeps_half() -> None:
    rng = np.random.default_rng(2)
    one = keypoints(rng.uniform(0, 1, (60, 2)) * SIZE_WH, np.full(60, 4.0), np.zeros(60))
    bend = np.radians(50) * one.keypoints_xy[:, 0] / SIZE_WH[0]  # more, the further along the body
    radius = SIZE_WH[0] / np.radians(50)
    across = radius - one.keypoints_xy[:, 1]
    places = np.stack([across * np.sin(bend), radius - across * np.cos(bend)], axis=1)
    bent = keypoints(places, one.scale, bend)
    follows_one_transform = agreeing(one.keypoints_xy, bent.keypoints_xy, 0.02 * SIZE_WH[0]).mean()
    assert follows_one_transform < 0.6
    assert value(one, bent) > 0.65 * value(one, one)


def test_a_doubtful_match_weighs_less_and_a_wrong_one_adds_nothing() -> None:
    one = scattered(30)
    assert value(one, one, ratio=0.9) == pytest.approx(value(one, one) * 0.12 / 0.52, rel=1e-3)
    far = keypoints(
        np.vstack([one.keypoints_xy, [[10, 10]]]), np.append(one.scale, 3), np.append(one.orientation_rad, 0)
    )
    wrong = keypoints(
        np.vstack([one.keypoints_xy, [[600, 390]]]), np.append(one.scale, 9), np.append(one.orientation_rad, 2)
    )
    assert value(far, wrong) == pytest.approx(value(one, one), rel=0.05)


def test_no_match_one_match_and_many_at_one_place_are_nothing() -> None:
    assert value(scattered(0), scattered(0)) == 0
    assert value(scattered(1), scattered(1)) == 0
    same = keypoints(np.full((20, 2), 50.0), np.full(20, 4.0), np.zeros(20))
    assert value(same, same) == 0


def test_of_many_matches_the_most_distinctive_ones_count() -> None:
    one, rows = scattered(150), np.arange(150)
    ratio = np.where(rows < 100, 0.5, 0.9).astype(np.float32)
    first = one.select(rows[:100])
    assert consistency(one, one, (rows, rows), ratio) == pytest.approx(value(first, first))
