"""Every pair of a ragged batch gets what kornia's own forward gives it alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightglue_cases import SIFT, SMALL, features, kornia_matches, random_model

from animalclef.errors import StaleArtefactError
from animalclef.matching.lightglue.batched import BatchedLightGlue
from animalclef.matching.lightglue.layers import RaggedLayout, apply_padded
from animalclef.matching.lightglue.loading import LightGlueModel, load_lightglue, network_inputs
from animalclef.matching.pair_matches import PairMatches
from animalclef.structures import LocalFeatures

CPU = torch.device("cpu")
COUNTS = (1, 37, 512, 64, 64, 150)
PAIRS = ((0, 1), (1, 2), (3, 4), (2, 0), (0, 0), (5, 3), (3, 1), (1, 4))


def engine(model: LightGlueModel, padded: bool | None = None) -> BatchedLightGlue:
    return BatchedLightGlue(model, CPU, torch.float32, padded=padded)


def told(found: PairMatches) -> dict[tuple[int, int], float]:
    return dict(zip(zip(found.left.tolist(), found.right.tolist(), strict=True), found.confidence, strict=True))


def compare(model: LightGlueModel, images: list[LocalFeatures], padded: bool | None) -> tuple[int, set[int]]:
    """All pairs in one batch against kornia one by one; the number of matches and the depths that kornia ran to."""
    ours = engine(model, padded)
    states = [ours.prepare(image) for image in images]
    pairs = [pair for pair in PAIRS if max(pair) < len(images)]
    matches, depths = 0, set()
    for (one, other), found in zip(pairs, ours.match([(states[i], states[j]) for i, j in pairs]), strict=True):
        expected, depth = kornia_matches(model, images[one], images[other])
        mine = told(found)
        border = {pair for pair in {*mine, *expected} if abs(mine.get(pair, 0.1) - expected.get(pair, 0.1)) < 1e-4}
        assert set(mine) ^ set(expected) <= border
        assert all(mine[pair] == pytest.approx(expected[pair], abs=1e-4) for pair in set(mine) & set(expected))
        levels = [sum(value > level for value in mine.values()) for level in (0.2, 0.5, 0.8)]
        assert found.counts == pytest.approx([len(mine), sum(mine.values()), *levels], abs=1e-3)
        matches += len(expected)
        depths.add(depth)
    return matches, depths


@pytest.mark.parametrize("padded", [False, True], ids=["runs", "padded"])
@pytest.mark.parametrize(("depth", "width"), [(-1, -1), (0.5, -1), (-1, 0.9), (0.5, 0.99)])
def test_a_ragged_batch_gives_each_pair_what_it_gets_alone(depth: float, width: float, padded: bool) -> None:
    model = random_model(replace(SMALL, depth_confidence=depth, width_confidence=width))
    images = [features(count, seed) for seed, count in enumerate(COUNTS)]
    matches, depths = compare(model, images, padded)
    assert matches > 10
    assert len(depths) == 1 if depth < 0 else len(depths) > 1  # some pairs left the batch, some did not


@pytest.mark.parametrize("padded", [False, True])
def test_scale_and_orientation_reach_the_network(padded: bool) -> None:
    model = random_model(SIFT)
    images = [features(count, seed, SIFT, (300, 700)) for seed, count in enumerate((1, 40, 90))]
    assert compare(model, images, padded)[0] > 0
    ours = engine(model)
    turned = replace(images[1], orientation_rad=images[1].orientation_rad + 1)
    grown = replace(images[1], scale=images[1].scale * 2)
    plain, *others = (ours.prepare(image) for image in (images[1], turned, grown))
    assert all(not torch.allclose(plain.cos, other.cos) for other in others)


def test_a_pair_does_not_depend_on_its_company_nor_on_the_order_of_the_images() -> None:
    ours = engine(random_model())
    one, other, *company = (ours.prepare(features(count, seed)) for seed, count in enumerate((100, 60, 512, 3, 100)))
    alone = ours.match([(one, other)])[0]
    beside = ours.match([(company[0], one), (one, other), (company[1], company[2])])[1]
    backward = ours.match([(other, one)])[0]
    assert told(beside).keys() == told(alone).keys()
    np.testing.assert_allclose(beside.confidence, alone.confidence, atol=1e-4)
    assert {(second, first) for first, second in told(backward)} == set(told(alone))
    np.testing.assert_allclose(beside.counts, ours.match([(one, other)], counts_only=True)[0].counts, atol=1e-3)


def test_two_identical_images_match_point_by_point() -> None:
    ours = engine(random_model())
    state = ours.prepare(features(80, 5))
    found = ours.match([(state, state)])[0]
    assert (found.left == found.right).all()
    assert len(found.left) > 0
    assert ours.match([]) == []


def test_bfloat16_finds_nearly_the_same() -> None:
    model = random_model()
    image, other = features(200, 1), features(150, 2)
    found = [
        ours.match([(ours.prepare(image), ours.prepare(other))])[0].counts[1]
        for ours in (engine(model), BatchedLightGlue(model, CPU, torch.bfloat16))
    ]
    assert found[1] == pytest.approx(found[0], rel=0.15)


@pytest.mark.parametrize(("dtype", "rows"), [(torch.bfloat16, [64, 128, 128]), (torch.float32, [1, 64 + 1, 128])])
def test_half_precision_on_a_cpu_is_asked_for_round_numbers_of_rows(dtype: torch.dtype, rows: list[int]) -> None:
    seen = []

    def twice(tokens: torch.Tensor) -> torch.Tensor:
        seen.append(len(tokens))
        return 2 * tokens

    for count in (1, 65, 128):
        given = torch.arange(3.0 * count).reshape(count, 3).to(dtype)
        assert torch.equal(apply_padded(twice, given), 2 * given)
    assert seen == rows


@pytest.mark.parametrize("lengths", [(1, 1), (37, 90), (64, 65), (128, 64)])
def test_made_up_tokens_take_no_part_in_an_attention(lengths: tuple[int, int]) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(sum(lengths), 2, 16) for _ in range(3))
    ragged = RaggedLayout(list(lengths), CPU, padded=False)
    for cross in (False, True):
        exact = ragged.attend(query, key, value, cross=cross)
        rounded = ragged.attend(query.bfloat16(), key.bfloat16(), value.bfloat16(), cross=cross)
        torch.testing.assert_close(rounded.float(), exact, atol=0.03, rtol=0.03)


def test_keypoints_are_told_from_the_middle_in_halves_of_the_longer_side() -> None:
    points = np.array([[0, 0], [100, 0], [50, 20], [100, 40], [-0.25, 20]], np.float32)
    nothing = np.zeros(5, np.float32)
    image = LocalFeatures("a", points, np.ones((5, 128), np.uint8), nothing + 10, nothing + 4, (100, 40))
    told_points, descriptors = network_inputs(image, SIFT)
    assert told_points[:, :2].tolist() == pytest.approx(np.array([[-1, -0.4], [1, -0.4], [0, 0], [1, 0.4], [-1, 0]]))
    assert told_points[0, 2:].tolist() == pytest.approx([51.2, 4])  # diameter at a long side of 512
    assert network_inputs(image, replace(SIFT, signed_orientation=True))[0][0, 3] == pytest.approx(4 - 2 * np.pi)
    assert np.linalg.norm(descriptors, axis=1) == pytest.approx(np.ones(5), abs=1e-3)


def test_features_of_another_kind_are_refused() -> None:
    ours = engine(random_model())
    sift = features(5, 0, SIFT)
    with pytest.raises(StaleArtefactError, match=r"matcher is for aliked with 32 numbers.*got sift features with 128"):
        ours.prepare(sift)


def test_runs_join_neighbours_of_the_same_lengths() -> None:
    ragged = RaggedLayout([5, 5, 3, 7, 7, 3], CPU)  # pairs 5-7, 5-7, 3-3
    assert ragged.cross_runs == [(0, 3, 2), (2, 5, 1), (3, 0, 2), (5, 2, 1)]
    assert ragged.self_runs == [(0, 0, 2), (2, 2, 1), (3, 3, 2), (5, 5, 1)]
    assert not ragged.padded


@pytest.mark.shared
@pytest.mark.parametrize("padded", [False, True])
def test_real_weights_on_ragged_batches(padded: bool, shared: Path) -> None:
    model = load_lightglue(shared / "weights" / "lighterglue_l3.safetensors", "xfeat")

    shape = replace(SMALL, features="xfeat", input_dim=64)
    compare(model, [features(count, seed, shape) for seed, count in enumerate((1, 37, 300))], padded)
