"""Local features: where they lie, what is left out, and that they never change."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from animalclef.config import KeypointConfig, RerankConfig
from animalclef.features.local.entries import features_from_entry
from animalclef.features.local.sift import SiftExtractor, extract_sift
from animalclef.matching.nearest_neighbour import MutualNearest
from animalclef.structures import DecodedImage, MatchKey

PLAIN = KeypointConfig(equalise=False)


def blobs(size_wh: tuple[int, int], centres: list[tuple[float, float]], radius: float) -> DecodedImage:
    """Bright round blobs on grey; centres in pixels."""
    x, y = np.meshgrid(np.arange(size_wh[0]), np.arange(size_wh[1]))
    bumps = sum(np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * radius**2)) for cx, cy in centres)
    grey = np.clip(60 + 180 * np.asarray(bumps), 0, 255).astype(np.uint8)
    return DecodedImage(np.repeat(grey[:, :, None], 3, axis=2), None, size_wh)


def speckles(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(height, width, 3)), (0, 0), 2.5)
    return np.clip(128 + 40 * noise / noise.std(), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("size_wh", "long_side"),
    [((512, 300), 512), ((1536, 800), 512), ((800, 1100), 512), ((120, 90), 512), ((90, 250), 512), ((640, 427), 300)],
)
def test_a_blob_is_found_where_it_is(size_wh: tuple[int, int], long_side: int) -> None:
    width, height = size_wh
    centres = [(width * 0.26 + 0.37, height * 0.31), (width * 0.71, height * 0.57 + 0.2), (width * 0.44, height * 0.74)]
    image = blobs(size_wh, centres, radius=max(size_wh) / 70)
    features = extract_sift(image, PLAIN.model_copy(update={"long_side": long_side}))
    pixel = max(size_wh) / min(max(*size_wh, PLAIN.least_long_side), long_side)  # of the scaled image
    for centre in centres:
        distance = np.linalg.norm(features.keypoints_xy - np.array(centre), axis=1).min()
        assert distance < 0.2 * pixel  # without half-pixel care it is 0.35 and more
    assert features.image_size_wh == size_wh


def test_keypoints_are_told_in_pixels_of_the_original() -> None:
    image = blobs((400, 240), [(100.0, 60.0)], radius=6)
    reduced = DecodedImage(image.pixels, None, (1200, 720))  # as decoded at a third of its size
    small, large = extract_sift(image, PLAIN), extract_sift(reduced, PLAIN)
    np.testing.assert_allclose(large.keypoints_xy, (small.keypoints_xy + 0.5) * 3 - 0.5, rtol=1e-5)
    np.testing.assert_allclose(large.scale, small.scale * 3, rtol=1e-5)
    assert large.image_size_wh == (1200, 720)


def test_transparent_ground_has_no_keypoints() -> None:
    pixels = speckles(300, 420)
    alpha = np.zeros((300, 420), np.uint8)
    alpha[40:200, 60:330] = 255
    masked = extract_sift(DecodedImage(pixels, alpha, (420, 300)), PLAIN)
    assert 20 < len(masked) < len(extract_sift(DecodedImage(pixels, None, (420, 300)), PLAIN))
    x, y = masked.keypoints_xy.T
    assert (x > 58).all()
    assert (x < 331).all()
    assert (y > 38).all()
    assert (y < 201).all()
    gone = extract_sift(DecodedImage(pixels, np.zeros_like(alpha), (420, 300)), PLAIN)
    assert len(gone) == 0


@pytest.mark.parametrize("size_wh", [(320, 200), (1, 1), (16, 11), (900, 1), (1, 700)])
@pytest.mark.parametrize("value", [0, 255])
def test_an_image_without_structure_has_none(size_wh: tuple[int, int], value: int) -> None:
    pixels = np.full((size_wh[1], size_wh[0], 3), value, np.uint8)
    features = extract_sift(DecodedImage(pixels, None, size_wh), KeypointConfig())
    assert len(features) == 0
    assert features.descriptors.shape == (0, 128)
    assert features.image_size_wh == size_wh


def test_at_most_as_many_as_asked_for_the_strongest_first() -> None:
    image = DecodedImage(speckles(300, 420), None, (420, 300))
    many, few = (extract_sift(image, PLAIN.model_copy(update={"max_keypoints": count})) for count in (400, 50))
    assert (len(many), len(few)) == (400, 50)
    places = {tuple(place) for place in many.keypoints_xy.tolist()}
    assert all(tuple(place) in places for place in few.keypoints_xy.tolist())


def test_threads_and_repetition_change_nothing() -> None:
    images = [DecodedImage(speckles(200, 300, seed), None, (300, 200)) for seed in range(4)]
    extractor = SiftExtractor(KeypointConfig())
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(4) as four:
        first, second = extractor.extract_features(images, one), extractor.extract_features(images, four)
    for entry, other in zip(first, second, strict=True):
        for name in entry:
            np.testing.assert_array_equal(entry[name], other[name])


def test_an_entry_comes_back_as_the_features_it_was_made_of() -> None:
    image = DecodedImage(speckles(200, 300), None, (600, 400))
    with ThreadPoolExecutor(1) as pool:
        entry = SiftExtractor(KeypointConfig()).extract_features([image], pool)[0]
    features, again = extract_sift(image, KeypointConfig()), features_from_entry("key", entry)
    assert again.key == "key"
    assert again.image_size_wh == (600, 400)
    for name in ("keypoints_xy", "descriptors", "scale", "orientation_rad"):
        np.testing.assert_array_equal(getattr(features, name), getattr(again, name))
    assert features.descriptors.dtype == np.uint8


UPRIGHT = PLAIN.model_copy(update={"upright": True})


def test_upright_keypoints_stand_once_at_a_place_without_a_turn() -> None:
    image = DecodedImage(speckles(300, 420), None, (420, 300))
    turned, upright = extract_sift(image, PLAIN), extract_sift(image, UPRIGHT)
    assert not upright.orientation_rad.any()
    standing = {(x, y, scale) for (x, y), scale in zip(upright.keypoints_xy.tolist(), upright.scale, strict=True)}
    assert len(standing) == len(upright)
    assert len({tuple(place) for place in turned.keypoints_xy.tolist()}) < len(turned)  # two orientations at a place
    again = extract_sift(image, UPRIGHT)
    np.testing.assert_array_equal(again.descriptors, upright.descriptors)
    few = extract_sift(image, UPRIGHT.model_copy(update={"max_keypoints": 40}))
    np.testing.assert_array_equal(few.keypoints_xy, upright.keypoints_xy[:40])
    apart = np.abs(few.descriptors.astype(int) - upright.descriptors[:40].astype(int))
    assert apart.max() <= 6  # OpenCV doubles the image only where a keypoint needs it


def test_upright_descriptors_do_not_follow_a_turn() -> None:
    pixels = speckles(360, 360)
    pictures = [DecodedImage(np.ascontiguousarray(one), None, (360, 360)) for one in (pixels, np.rot90(pixels))]
    matcher = MutualNearest(RerankConfig())
    inliers = {}
    for config in (PLAIN, UPRIGHT):
        first, turned = (
            replace(extract_sift(one, config), key=MatchKey(str(number))) for number, one in enumerate(pictures)
        )
        inliers[config.upright] = matcher.match(first, [first, turned])[:, matcher.columns.index("inliers")]
    assert min(inliers["auto"]) > 100  # found again at any angle
    assert inliers[True][0] > 100
    assert inliers[True][1] < 10


def test_the_extractor_describes_as_its_settings_say() -> None:
    image = DecodedImage(speckles(200, 260), None, (260, 200))
    with ThreadPoolExecutor(1) as pool:
        asked, changed = (
            one.extract_features([image], pool)[0]
            for one in (SiftExtractor(UPRIGHT), SiftExtractor(PLAIN).with_upright(upright=True))
        )
    assert asked.keys() == changed.keys()
    for name, values in asked.items():
        np.testing.assert_array_equal(values, changed[name])
    assert SiftExtractor(UPRIGHT).fingerprint == SiftExtractor(PLAIN).fingerprint  # their stores have other names
