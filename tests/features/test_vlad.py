"""The global descriptor without weights."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from rows import Row, image_table

from animalclef.config import EmbedConfig, load_config
from animalclef.features.embedding import embedder, vlad
from animalclef.features.embedding.embedder import Embedder
from animalclef.features.embedding.principal_components import principal_axes, project, unit
from animalclef.features.embedding.vlad import (
    Codebook,
    VladExtractor,
    dense_descriptors,
    dense_root_sift,
    fit_codebook,
    residuals_of,
    vlad_of,
)
from animalclef.store.shard_store import ShardStore
from animalclef.structures import DecodedImage

SMALL = EmbedConfig(words=4, local_dimensions=8, long_side=96, step=8, bin_sizes=(6,))


def speckled(height: int, width: int, seed: int = 0) -> DecodedImage:
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(height, width, 3)), (0, 0), 2.5)
    pixels = np.clip(128 + 40 * noise / noise.std(), 0, 255).astype(np.uint8)
    return DecodedImage(pixels, None, (width, height))


def grid(height: int, width: int, size: int, step: int) -> set[tuple[int, int]]:
    return {
        (x, y)
        for y in range(2 * size, height - 2 * size + 1, step)
        for x in range(2 * size, width - 2 * size + 1, step)
    }


def test_descriptors_lie_on_a_grid_that_fits_into_the_image() -> None:
    grey = speckled(60, 100).pixels[:, :, 0]
    descriptors, centres = dense_root_sift(grey, step=8, bin_sizes=(6, 9, 40), dropped_share=0.0)
    assert descriptors.shape == (len(centres), 128)
    found = sorted(map(tuple, centres.astype(int).tolist()))
    assert found == sorted([*grid(60, 100, 6, 8), *grid(60, 100, 9, 8)])  # bins of 40 pixels do not fit
    np.testing.assert_allclose(np.linalg.norm(descriptors, axis=1), 1, atol=1e-5)


def test_a_brightness_edge_falls_into_one_orientation() -> None:
    """Grey rises to the right: every gradient points to 0 degrees, the first of eight directions."""
    ramp = np.tile(np.linspace(20, 220, 80).astype(np.uint8), (48, 1))
    descriptors, _ = dense_root_sift(ramp, step=8, bin_sizes=(6,), dropped_share=0.0)
    by_direction = (descriptors.reshape(-1, 16, 8) ** 2).sum(axis=(0, 1))
    assert by_direction[0] / by_direction.sum() > 0.99
    down, _ = dense_root_sift(np.ascontiguousarray(ramp.T), step=8, bin_sizes=(6,), dropped_share=0.0)
    by_direction = (down.reshape(-1, 16, 8) ** 2).sum(axis=(0, 1))
    assert by_direction.argmax() == 2  # 90 degrees: downwards, as y runs


def test_flat_ground_is_left_out() -> None:
    grey = np.full((60, 120), 90, np.uint8)
    assert len(dense_root_sift(grey, 8, (6,))[0]) == 0
    grey[:, :60] = speckled(60, 60).pixels[:, :, 0]
    _, centres = dense_root_sift(grey, 8, (6,))
    assert centres[:, 0].max() < 60 + 2 * 6 + 3


def test_the_weakest_share_is_dropped() -> None:
    grey = speckled(100, 160).pixels[:, :, 0]
    every, some = (len(dense_root_sift(grey, 8, (6,), share)[0]) for share in (0.0, 0.25))
    assert some == pytest.approx(0.75 * every, abs=2)


def test_transparent_ground_is_left_out_and_places_are_shares_of_the_image() -> None:
    image = speckled(64, 96)
    alpha = np.zeros((64, 96), np.uint8)
    alpha[:, 48:] = 255
    _, places = dense_descriptors(DecodedImage(image.pixels, alpha, (96, 64)), SMALL)
    assert len(places)
    assert (places[:, 0] >= 0).all()
    assert (np.abs(places) <= 0.5).all()


@pytest.mark.parametrize("size_wh", [(1, 1), (16, 11), (300, 2), (2, 300), (40, 30)])
def test_small_and_flat_images_give_a_vector_without_nan(size_wh: tuple[int, int]) -> None:
    codebook = fit_codebook([dense_descriptors(speckled(90, 130), SMALL)], SMALL, seed=0)
    width, height = size_wh
    images = [speckled(height, width), DecodedImage(np.zeros((height, width, 3), np.uint8), None, size_wh)]
    with ThreadPoolExecutor(1) as pool:
        entries = VladExtractor(codebook, SMALL).extract_features(images, pool)
    for entry in entries:
        vector = entry["embedding"].astype(np.float32)
        assert vector.shape == (4 * 10,)
        assert np.isfinite(vector).all()
    assert not entries[1]["embedding"].any()


def test_a_codebook_without_any_descriptor() -> None:
    empty = np.zeros((0, 128), np.float32), np.zeros((0, 2), np.float32)
    for samples in ([], [empty, empty]):
        codebook = fit_codebook(samples, SMALL, seed=0)
        assert codebook.words.shape == (1, 10)
        with ThreadPoolExecutor(1) as pool:
            entry = VladExtractor(codebook, SMALL).extract_features([speckled(90, 130)], pool)[0]
        assert np.isfinite(entry["embedding"]).all()


def test_the_same_samples_and_seed_give_the_same_codebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vlad, "_CODEBOOK_DESCRIPTORS", 60)
    samples = [dense_descriptors(speckled(90, 130, seed), SMALL) for seed in range(3)]
    one, same, other = (fit_codebook(samples, SMALL, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.words, same.words)
    np.testing.assert_array_equal(one.basis, same.basis)
    assert not np.array_equal(one.words, other.words)
    assert one.words.shape == (4, 10)


def test_threads_change_nothing() -> None:
    images = [speckled(90, 130 + seed, seed) for seed in range(5)]
    codebook = fit_codebook([dense_descriptors(images[0], SMALL)], SMALL, seed=0)
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(4) as four:
        both = [VladExtractor(codebook, SMALL).extract_features(images, pool) for pool in (one, four)]
    for first, second in zip(*both, strict=True):
        np.testing.assert_array_equal(first["embedding"], second["embedding"])


def test_sums_of_residuals_are_normalised_by_hand() -> None:
    sums = np.array([[1, 1], [0, 4]], np.float32)
    # each unit, signed roots, unit together
    expected = np.sqrt([np.sqrt(0.5), np.sqrt(0.5), 0, 1])
    np.testing.assert_allclose(vlad_of(sums), expected / np.linalg.norm(expected), rtol=1e-5)
    assert not vlad_of(np.zeros((2, 2), np.float32)).any()
    np.testing.assert_allclose(vlad_of(-sums), -expected / np.linalg.norm(expected), rtol=1e-5)


def test_residuals_are_those_to_the_nearest_word_and_a_blank_photograph_has_none() -> None:
    codebook = fit_codebook([dense_descriptors(speckled(90, 130, 1), SMALL)], SMALL, seed=0)
    residuals, word, places = residuals_of(speckled(90, 130, 2), codebook, SMALL)
    apart = np.linalg.norm(codebook.words[word] + residuals - codebook.words[:, None], axis=2)
    np.testing.assert_allclose(apart[word, np.arange(len(word))], apart.min(axis=0), atol=1e-5)
    assert len(residuals) == len(places) > 0
    blank = DecodedImage(np.full((90, 130, 3), 99, np.uint8), None, (130, 90))
    with ThreadPoolExecutor(1) as pool:
        assert not VladExtractor(codebook, SMALL).extract_features([blank], pool)[0]["embedding"].any()


def covariance_of(values: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Axes (d, r) and variances by numpy's singular values."""
    centred = values.astype(np.float64) - values.mean(axis=0)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    return axes.T, singular**2 / len(values)


@pytest.mark.parametrize("shape", [(60, 7), (9, 30)])
def test_principal_axes_are_numpys(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    values = (rng.normal(size=shape) * np.linspace(1, 3, shape[1]) + 2).astype(np.float32)
    mean, basis, variance = principal_axes(values, 5)
    axes, expected = covariance_of(values)
    np.testing.assert_allclose(mean, values.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(variance, expected[:5], rtol=1e-4)
    np.testing.assert_allclose(np.abs((basis * axes[:, :5]).sum(axis=0)), 1, atol=1e-4)
    strongest = basis[np.abs(basis).argmax(axis=0), np.arange(5)]
    assert (strongest > 0).all()  # the sign is fixed


def test_fewer_axes_than_asked_for_leave_zeros() -> None:
    values = np.random.default_rng(0).normal(size=(3, 10)).astype(np.float32)
    _, basis, variance = principal_axes(values, 6)
    assert (variance > 0).tolist() == [True, True, False, False, False, False]
    assert not basis[:, 2:].any()
    for rows in (np.zeros((0, 4), np.float32), np.ones((5, 4), np.float32)):
        mean, basis, variance = principal_axes(rows, 2)
        assert not basis.any()
        assert not variance.any()
        assert mean.shape == (4,)


def test_project_gives_unit_rows_and_whitens_by_half() -> None:
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(4000, 2)) * [9, 1]).astype(np.float32)
    _, basis, variance = principal_axes(values, 2)
    expected = unit((values - values.mean(axis=0)) @ (basis * variance**-0.25))
    projected = project(values, 2)
    np.testing.assert_allclose(projected, expected, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(projected, axis=1), 1, atol=1e-5)
    assert project(values[:0], 3).shape == (0, 3)
    assert not project(values[:1], 3).any()  # one photograph differs from nothing


def test_unit_leaves_zero_rows() -> None:
    np.testing.assert_allclose(unit(np.array([[3.0, 4.0], [0.0, 0.0]])), [[0.6, 0.8], [0, 0]])


def test_a_codebook_holds_what_shortening_needs() -> None:
    codebook = fit_codebook([dense_descriptors(speckled(90, 130), SMALL)], SMALL, seed=0)
    assert isinstance(codebook, Codebook)
    assert (codebook.mean.shape, codebook.basis.shape) == ((128,), (128, 8))
    np.testing.assert_allclose(codebook.basis.T @ codebook.basis, np.eye(8), atol=1e-4)


@pytest.mark.parametrize("keeps_axes", [False, True])
def test_the_pca_of_many_photographs_is_fitted_on_some_and_projects_all_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeps_axes: bool
) -> None:
    rng = np.random.default_rng(0)
    animals = rng.normal(size=(20, 64))
    held = unit(np.repeat(animals, 15, axis=0) + 0.2 * rng.normal(size=(300, 64)) / 8 * 3).astype(np.float16)
    table = image_table([Row(str(number), "a", dataset="newts") for number in range(300)])
    config = load_config(None, ["embed.dimensions=8"])

    def vectors(folder: str) -> NDArray[np.float32]:
        store = ShardStore(tmp_path / folder)
        store.put({key: {"embedding": row} for key, row in zip(table.key, held, strict=True)})
        return Embedder("newts", table, config, None).embeddings(table, store, keeps_axes=keeps_axes).values

    def right_neighbours(values: NDArray[np.float32]) -> float:
        similarity = values @ values.T - 2 * np.eye(300)
        return float(np.mean(similarity.argmax(axis=1) // 15 == np.arange(300) // 15))

    of_all = vectors("all")
    monkeypatch.setattr(embedder, "FITTED_ON", 100)
    monkeypatch.setattr(embedder, "_BLOCK", 64)
    of_some = vectors("some")
    assert of_some.shape == (300, 8)
    np.testing.assert_allclose(np.linalg.norm(of_some, axis=1), 1, atol=1e-5)
    assert not np.array_equal(of_some, of_all)
    assert right_neighbours(of_some) >= right_neighbours(of_all) - 0.03 > 0.9
    np.testing.assert_array_equal(vectors("again"), of_some)
    monkeypatch.setattr(embedder, "_BLOCK", 300)
    np.testing.assert_allclose(vectors("whole"), of_some, atol=1e-5)
