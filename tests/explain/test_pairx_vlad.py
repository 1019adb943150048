"""What the weight-free embedding agreed on: its parts add up, and its map lies where they are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from animalclef.config import EmbedConfig
from animalclef.explain.pairx import Parts, agreement_of_vlad, contributions, parts_of
from animalclef.features.embedding.vlad import Codebook, VladExtractor, dense_descriptors, fit_codebook
from animalclef.structures import DecodedImage

SMALL = EmbedConfig(words=6, local_dimensions=12, long_side=128, step=8, bin_sizes=(5, 7))


def speckled(height: int, width: int, seed: int) -> DecodedImage:
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(height, width, 3)), (0, 0), 2.0)
    pixels = np.clip(128 + 40 * noise / noise.std(), 0, 255).astype(np.uint8)
    return DecodedImage(pixels, None, (width, height))


def whole(image: DecodedImage) -> DecodedImage:
    return DecodedImage(image.pixels, None, (image.pixels.shape[1], image.pixels.shape[0]))


@pytest.fixture(scope="module")
def codebook() -> Codebook:
    return fit_codebook([dense_descriptors(speckled(96, 128, seed), SMALL) for seed in range(4)], SMALL, 0)


def test_contributions_add_up_to_the_inner_product(codebook: Codebook) -> None:
    first, second = (
        parts_of(speckled(*size, seed), codebook, SMALL) for size, seed in (((96, 128), 1), ((128, 80), 2))
    )
    stored = [VladExtractor(codebook, SMALL)._describe_one(speckled(*size, seed))["embedding"].astype(np.float32)
              for size, seed in (((96, 128), 1), ((128, 80), 2))]  # fmt: skip
    inner = float((first.vector * second.vector).sum())
    assert inner == pytest.approx(float(stored[0] @ stored[1]), abs=2e-3)  # stored in half precision
    assert float(contributions(first, second).sum()) == pytest.approx(inner, abs=1e-5)
    assert float(contributions(second, first).sum()) == pytest.approx(inner, abs=1e-5)
    pairs = sum(
        float((first.shares[first.word == word] @ second.shares[second.word == word].T).sum())
        for word in range(len(codebook.words))
    )
    assert pairs == pytest.approx(inner, abs=1e-5)


def test_shares_have_the_sign_of_their_entry_and_no_more_than_it(codebook: Codebook) -> None:
    parts = parts_of(speckled(96, 128, 3), codebook, SMALL)
    entries = parts.vector[parts.word]
    assert (parts.shares * entries >= 0).all()
    assert (np.abs(parts.shares) <= np.abs(entries) + 1e-6).all()


def test_contributions_by_hand() -> None:
    """Two descriptors of one word, one of another; the other photograph has only the first word."""
    shares = np.array([[0.2, 0.1], [0.4, 0.0], [0.5, 0.5]], np.float32)
    own = Parts(
        shares, np.array([0, 0, 1]), np.zeros((3, 2), np.float32), np.array([[0.6, 0.1], [0.5, 0.5]], np.float32)
    )
    other = Parts(np.zeros((0, 2), np.float32), np.zeros(0, np.int64), np.zeros((0, 2), np.float32),
                  np.array([[0.6, -0.8], [0.0, 0.0]], np.float32))  # fmt: skip
    assert contributions(own, other).tolist() == pytest.approx([0.04, 0.24, 0.0])


def test_the_map_is_warm_where_the_photographs_share_a_patch(codebook: Codebook) -> None:
    """A wide and a tall photograph, each with its own noise, and one patch that both have."""
    query, gallery = speckled(128, 192, 11), speckled(192, 128, 12)
    patch = speckled(64, 64, 13).pixels
    query.pixels[0:64, 128:192] = patch  # upper right
    gallery.pixels[0:64, 64:128] = patch  # upper right, too: the place counts
    agreed = agreement_of_vlad(query, gallery, codebook, SMALL.model_copy(update={"long_side": 192}))
    assert agreed.query_map.shape == (16, 24)
    assert agreed.gallery_map.shape == (24, 16)
    assert agreed.query_map.max() == agreed.gallery_map.max() == 1
    y, x = np.unravel_index(agreed.query_map.argmax(), agreed.query_map.shape)
    assert (x >= 15, y <= 8) == (True, True)
    y, x = np.unravel_index(agreed.gallery_map.argmax(), agreed.gallery_map.shape)
    assert (x >= 8, y <= 8) == (True, True)
    assert agreed.note == "before PCA"


def test_a_photograph_agrees_with_itself_place_by_place(codebook: Codebook) -> None:
    image = speckled(96, 128, 5)
    agreed = agreement_of_vlad(image, whole(image), codebook, SMALL, most=7)
    assert agreed.cosine == pytest.approx(1, abs=1e-5)
    assert len(agreed.weight) == 7
    np.testing.assert_array_equal(agreed.query_xy, agreed.gallery_xy)
    assert (np.diff(agreed.weight) <= 0).all()


def test_a_flat_photograph_agrees_with_nothing(codebook: Codebook) -> None:
    flat = DecodedImage(np.full((60, 100, 3), 90, np.uint8), None, (100, 60))
    agreed = agreement_of_vlad(flat, speckled(96, 128, 5), codebook, SMALL)
    assert (agreed.cosine, len(agreed.weight), float(agreed.query_map.max())) == (0, 0, 0)
