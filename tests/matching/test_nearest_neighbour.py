"""The weight-free matcher: similarity matrices by hand, and transforms that were planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from animalclef.config import RerankConfig
from animalclef.errors import StaleArtefactError
from animalclef.features.local.unit_descriptors import comparable, root_sift
from animalclef.matching.nearest_neighbour import MutualNearest, agreeing, mutual_matches
from animalclef.structures import LocalFeatures


def features(key: str, xy: np.ndarray, descriptors: np.ndarray, size_wh: tuple[int, int] = (640, 400)) -> LocalFeatures:
    ones = np.ones(len(xy), np.float32)
    return LocalFeatures(key, xy.astype(np.float32), descriptors.astype(np.uint8), ones, ones, size_wh)


def random_features(key: str, count: int, seed: int, size_wh: tuple[int, int] = (640, 400)) -> LocalFeatures:
    rng = np.random.default_rng(seed)
    descriptors = np.clip(rng.random((count, 128)) ** 3 * 256, 0, 255)
    return features(key, rng.uniform(0, 1, (count, 2)) * size_wh, descriptors, size_wh)


def matches(similarity: list[list[float]], ratio: float) -> dict[tuple[int, int], float]:
    rows, columns, ratios = mutual_matches(np.array(similarity, dtype=np.float32), ratio)
    return dict(zip(zip(rows.tolist(), columns.tolist(), strict=True), ratios.tolist(), strict=True))


def test_each_others_best_by_hand() -> None:
    similarity = [[0.9, 0.1, 0.2], [0.8, 0.3, 0.1]]  # both rows like column 0, which likes row 0
    assert list(matches(similarity, 1.0)) == [(0, 0)]


def test_the_ratio_is_of_distances_and_the_larger_direction_counts() -> None:
    # row 0: (1 - .98) / (1 - .5) = .04 -> .2; column 0: (1 - .98) / (1 - .92) = .25 -> .5
    similarity = [[0.98, 0.5], [0.92, 0.95]]
    found = matches(similarity, 1.0)
    assert found[0, 0] == pytest.approx(0.5, rel=1e-4)
    assert found[1, 1] == pytest.approx(np.sqrt(0.05 / 0.08), rel=1e-4)
    assert list(matches(similarity, 0.6)) == [(0, 0)]
    assert matches(similarity, 0.49) == {}


@pytest.mark.parametrize("transposed", [False, True])
def test_the_ratio_is_asked_in_both_directions(transposed: bool) -> None:
    similarity = np.array([[0.9, 0.2], [0.89, 0.1]])  # fine along row 0, doubtful along column 0
    assert matches((similarity.T if transposed else similarity).tolist(), 0.9) == {}


def test_without_a_second_neighbour_the_ratio_is_zero() -> None:
    assert matches([[0.3]], 0.5) == {(0, 0): 0}
    assert matches([[0.98, 0.5]], 0.5) == {(0, 0): pytest.approx(0.2, rel=1e-4)}
    assert matches([[0.98], [0.5]], 0.5) == {(0, 0): pytest.approx(0.2, rel=1e-4)}


def test_two_that_are_equally_near_are_no_match() -> None:
    assert matches([[1.0, 1.0], [0.5, 1.0]], 1.0) == {}
    assert matches([[1.0, 0.5], [1.0, 0.9]], 1.0) == {}


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(2, 12), st.integers(0, 10**6), st.sampled_from([0.7, 0.9, 1.0])
)
def test_transposed_similarities_give_transposed_matches(
    rows: int, columns: int, levels: int, seed: int, ratio: float
) -> None:
    similarity = np.random.default_rng(seed).integers(0, levels, (rows, columns)) / levels
    forward, backward = matches(similarity.tolist(), ratio), matches(similarity.T.tolist(), ratio)
    assert forward == {(column, row): value for (row, column), value in backward.items()}
    for (row, column), value in forward.items():
        others = [*np.delete(similarity[row], column), *np.delete(similarity[:, column], row)]
        expected = max([np.sqrt((1 - similarity[row, column]) / (1 - other)) for other in others], default=0)
        assert value == pytest.approx(expected, abs=1e-3)
        assert value <= ratio


def test_root_sift_by_hand() -> None:
    descriptors = np.zeros((2, 128), np.uint8)
    descriptors[0, :2] = [25, 75]
    values = root_sift(descriptors)
    assert values[0, :2] == pytest.approx([0.5, np.sqrt(0.75)], abs=1 / 4096)
    assert not values[1].any()


def test_the_order_of_two_images_and_their_company_change_nothing() -> None:
    matcher = MutualNearest(RerankConfig(ratio=1.0))
    rng = np.random.default_rng(3)
    for seed in range(12):
        one = random_features("aa", int(rng.integers(1, 300)), seed)
        other = random_features("bb", int(rng.integers(1, 300)), seed + 100, (300, 500))
        company = [random_features(f"c{place}", int(rng.integers(0, 200)), seed + 200 + place) for place in range(9)]
        forward, backward = matcher.match(one, [other])[0], matcher.match(other, [one])[0]
        assert forward.tolist() == backward.tolist()
        assert matcher.match(one, [*company, other])[-1].tolist() == forward.tolist()
        assert forward[0] > 0


def test_an_image_agrees_with_itself_everywhere() -> None:
    image = random_features("aa", 150, seed=0)
    found, inliers, weight, consistent = MutualNearest(RerankConfig()).match(image, [image])[0]
    assert found == inliers == 150
    assert weight > 0.9 * 10 * 150
    assert consistent > 10


def test_images_without_keypoints_score_zero() -> None:
    matcher = MutualNearest(RerankConfig())
    empty, image = random_features("aa", 0, 0), random_features("bb", 40, 1)
    assert matcher.match(empty, [image, empty]).tolist() == [[0, 0, 0, 0]] * 2
    assert matcher.match(image, [empty, image, empty])[:, 0].tolist() == [0, 40, 0]
    assert matcher.match(image, []).shape == (0, 4)


def test_one_keypoint_matches_but_agrees_with_nothing() -> None:
    one, other = random_features("aa", 1, 0), random_features("bb", 1, 1)
    assert MutualNearest(RerankConfig()).match(one, [other]).tolist() == [[1, 0, 0, 0]]


def planted(outliers: int, seed: int) -> tuple[LocalFeatures, LocalFeatures]:
    """Sixty keypoints that follow one similarity exactly and some that lie anywhere."""
    rng = np.random.default_rng(seed)
    base = random_features("aa", 60 + outliers, seed, (640, 400))
    angle, scale = 0.6, 1.4
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = base.keypoints_xy @ matrix.T + [200, 30]
    moved[60:] = rng.uniform(0, 1, (outliers, 2)) * [900, 1100]
    order = rng.permutation(60 + outliers)
    return base, features("bb", moved[order], base.descriptors[order], (900, 1100))


def test_a_planted_transform_is_recovered_among_outliers() -> None:
    one, other = planted(outliers=40, seed=1)
    for first, second in ((one, other), (other, one)):
        found, inliers, *_ = MutualNearest(RerankConfig(tolerance=0.005)).match(first, [second])[0]
        assert found == 100
        assert 60 <= inliers <= 64  # an outlier or two may lie on the transform by chance


def test_the_tolerance_is_a_share_of_the_long_side() -> None:
    xy = np.random.default_rng(0).uniform(0, 400, (40, 2)).astype(np.float32)
    to = xy + np.where(np.arange(40) < 30, 0, 15)[:, None].astype(np.float32)
    assert agreeing(xy, to, tolerance_px=5).tolist() == [True] * 30 + [False] * 10
    assert agreeing(xy, to, tolerance_px=25).all()


def test_two_matches_cannot_agree() -> None:
    xy = np.random.default_rng(0).uniform(0, 400, (3, 2)).astype(np.float32)
    assert not agreeing(xy[:-1], xy[:-1], 5).any()
    assert agreeing(xy, xy, 5).all()


def test_matches_in_one_point_do_no_harm() -> None:
    same = np.full((12, 2), 7.0, np.float32)
    assert agreeing(same, same, 5).shape == (12,)


def test_correspondences_are_what_the_scores_count() -> None:
    query, candidate = planted(outliers=10, seed=8)
    matcher = MutualNearest(RerankConfig())
    for one, other in ((query, candidate), (candidate, query)):
        drawn = matcher.correspondences(one, other)
        counted = matcher.match(one, [other])[0]
        assert (len(drawn), drawn.is_inlier.sum()) == (counted[0], counted[1])
        assert 10 * drawn.confidence[drawn.is_inlier].sum() == pytest.approx(counted[2])
        assert set(map(tuple, drawn.query_xy)) <= set(map(tuple, one.keypoints_xy))


def network_features(key: str, count: int, seed: int, name: str = "xfeat") -> LocalFeatures:
    """Signed unit descriptors in half precision, as a network's are kept."""
    plain = random_features(key, count, seed)
    values = np.random.default_rng(seed).normal(size=(count, 64))
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9)
    return replace(plain, descriptors=values.astype(np.float16).astype(np.float32), extractor=name)


def test_descriptors_of_networks_are_compared_at_length_one() -> None:
    values = comparable(np.array([[3.0, -4.0], [0.0, 0.0]], np.float16))
    assert values[0] == pytest.approx([0.6, -0.8], abs=1 / 4096)
    assert not values[1].any()
    whole = np.zeros((1, 128), np.uint8)
    whole[0, 3] = 9
    np.testing.assert_array_equal(comparable(whole), root_sift(whole))


def test_networks_features_score_the_same_either_way_and_in_any_company() -> None:
    matcher = MutualNearest(RerankConfig(ratio=1.0))
    for seed in range(6):
        one, other = network_features("aa", 200, seed), network_features("bb", 130, seed + 50)
        company = [network_features(f"c{place}", 90, seed + 100 + place) for place in range(9)]
        forward = matcher.match(one, [other])[0].tolist()
        assert matcher.match(other, [one])[0].tolist() == forward
        assert matcher.match(one, [*company, other])[-1].tolist() == forward
        assert forward[0] > 0


def test_an_image_agrees_with_itself_in_a_networks_features() -> None:
    image = network_features("aa", 80, 0)
    assert MutualNearest(RerankConfig()).match(image, [image])[0][:2].tolist() == [80, 80]


def test_features_of_two_extractors_are_never_compared() -> None:
    matcher = MutualNearest(RerankConfig())
    one, other = network_features("aa", 5, 0), network_features("bb", 5, 1, name="aliked-t16")
    for call in (lambda: matcher.match(one, [one, other]), lambda: matcher.correspondences(other, one)):
        with pytest.raises(StaleArtefactError, match=r"made by .*Use another run folder"):
            call()


def test_images_of_many_keypoints_are_compared_in_parts_with_the_same_result() -> None:
    one, other = random_features("aa", 700, 0), random_features("bb", 300, 1)
    rows, _, ratio = mutual_matches(comparable(one.descriptors) @ comparable(other.descriptors).T, 0.95)
    drawn = MutualNearest(RerankConfig(ratio=0.95)).correspondences(one, other)
    assert len(rows) > 0
    np.testing.assert_array_equal(drawn.query_xy, one.keypoints_xy[rows])
    np.testing.assert_array_equal(drawn.confidence, 1 - ratio)
