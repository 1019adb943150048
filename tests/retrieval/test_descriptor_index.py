"""Nearest descriptors and the images they lie in."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from animalclef.config import VoteConfig
from animalclef.retrieval.descriptor_index import DescriptorIndex, build_block, train_codebook

LENGTHS = [40, 0, 25, 60, 1] * 8


def clusters(seed: int) -> list[np.ndarray]:
    """Unit descriptors of 40 images, gathered around 30 centres."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(30, 16))
    found = [centres[rng.integers(0, 30, n)] + 0.2 * rng.normal(size=(n, 16)) for n in LENGTHS]
    return [(one / np.linalg.norm(one, axis=1, keepdims=True)).astype(np.float32) for one in found]


def by_definition(images: list[np.ndarray], asked: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    owner = np.repeat(np.arange(len(images)), [len(one) for one in images])
    apart = np.linalg.norm(asked[:, None] - np.concatenate(images)[None], axis=2)
    best = np.argsort(apart, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(apart, best, axis=1), owner[best]


def build_index(images: list[np.ndarray], config: VoteConfig, seed: int = 0) -> DescriptorIndex:
    codebook = train_codebook(lambda image: images[image], len(images), config, seed)
    block = build_block(lambda image: images[image], range(len(images)), codebook)
    return DescriptorIndex(codebook, lambda: [block], config.probes)


def test_the_exact_index_finds_the_nearest() -> None:
    images = clusters(0)
    index = build_index(images, VoteConfig())
    distance, image = index.search([images[0][:5]], 9)[0]
    expected_distance, expected_image = by_definition(images, images[0][:5], 9)
    np.testing.assert_allclose(distance, expected_distance, atol=1e-3)
    np.testing.assert_array_equal(image[:, 1:], expected_image[:, 1:])


def test_the_approximate_index_finds_nearly_all_of_them_and_always_the_same() -> None:
    images = clusters(1)
    config = VoteConfig(exact_descriptors=100, dimensions=12, probes=8)
    indexes = [build_index(images, config, 3) for _ in range(2)]
    results = [index.search([images[2]], 6)[0] for index in indexes]
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])
    _, expected = by_definition(images, images[2], 6)
    hit = [len(set(found) & set(want)) / len(set(want)) for found, want in zip(results[0][1], expected, strict=True)]
    assert np.mean(hit) > 0.6


@pytest.mark.parametrize("exact", [0, 10**6])
def test_more_neighbours_than_descriptors(exact: int) -> None:
    images = clusters(2)[:4]
    index = build_index(images, VoteConfig(exact_descriptors=exact, probes=64))
    distance, image = index.search([images[0][:3]], 10_000)[0]
    assert distance.shape == (3, sum(LENGTHS[:4]))
    assert (np.diff(distance, axis=1)[np.isfinite(distance[:, 1:])] >= 0).all()
    assert set(image[np.isfinite(distance)].tolist()) <= {0, 2, 3}


def test_an_empty_index_and_an_empty_question() -> None:
    index = build_index([np.zeros((0, 8), np.float32)] * 3, VoteConfig())
    assert index.search([np.zeros((2, 8), np.float32)], 4)[0][0].shape == (2, 0)
    images = clusters(0)
    index = build_index(images, VoteConfig())
    assert index.search([np.zeros((0, 16), np.float32)], 4)[0][1].shape[0] == 0


def test_the_codebook_has_the_same_bytes_on_any_number_of_threads() -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(60, 300, 128)).astype(np.float32)
    images /= np.linalg.norm(images, axis=2, keepdims=True)
    before, found = faiss.omp_get_max_threads(), []
    try:
        for threads in (1, 2, 4):
            faiss.omp_set_num_threads(threads)
            with threadpool_limits(threads):
                book = train_codebook(lambda image: images[image], 60, VoteConfig(exact_descriptors=100), 0)
                assert faiss.omp_get_max_threads() == threads  # as before
            found.append([array.tobytes() for array in (book.mean, book.basis, book.centroids)])
    finally:
        faiss.omp_set_num_threads(before)
    assert found[0] == found[1] == found[2]
