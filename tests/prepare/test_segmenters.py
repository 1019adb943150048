"""GrabCut on animals whose outline is known, and what has none."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from animalclef.errors import ConfigError, WeightsError
from animalclef.prepare.segmenters import Box, GrabCut, open_segmenter


def animal(
    size_wh: tuple[int, int], centre: tuple[int, int], axes: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A spotted orange ellipse on speckled green, and its outline."""
    rng = np.random.default_rng(0)
    pixels = np.clip(rng.normal((60, 110, 50), 12, (size_wh[1], size_wh[0], 3)), 0, 255).astype(np.uint8)
    mask = cv2.ellipse(np.zeros((size_wh[1], size_wh[0]), np.uint8), centre, axes, 20, 0, 360, 1, -1) > 0
    coat = np.clip(rng.normal((220, 150, 40), 12, pixels.shape), 0, 255).astype(np.uint8)
    pixels[mask] = coat[mask]
    for _ in range(12):
        spot = tuple(int(side) for side in rng.normal(centre, (axes[0] / 3, axes[1] / 3)))
        cv2.circle(pixels, spot, 5, (70, 40, 20), -1)
    return pixels, mask


def cut(pixels: NDArray[np.uint8], box: Box | None = None) -> NDArray[np.bool_]:
    return GrabCut().segment([pixels], [box])[0]


def overlap(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    assert found.shape == truth.shape
    return float((found & truth).sum() / (found | truth).sum())


@pytest.mark.parametrize("size_wh", [(400, 260), (260, 400), (200, 150)])
def test_an_animal_is_told_from_its_ground(size_wh: tuple[int, int]) -> None:
    centre, axes = (size_wh[0] // 2, size_wh[1] // 2), (size_wh[0] // 4, size_wh[1] // 5)
    pixels, truth = animal(size_wh, centre, axes)
    found = cut(pixels)
    assert overlap(found, truth) > 0.85
    assert found[truth].mean() > 0.97  # its spots are no holes, and its outline belongs to it


def test_a_box_says_which_animal_is_meant() -> None:
    pixels, truth = animal((500, 240), (120, 120), (70, 45))
    other, second = animal((500, 240), (370, 120), (70, 45))
    pixels[second] = other[second]
    found = cut(pixels, (30.0, 50.0, 215.0, 190.0))
    assert overlap(found, truth) > 0.8
    assert not found[:, 260:].any()


def test_the_same_photograph_always_has_the_same_mask() -> None:
    pixels, _ = animal((300, 200), (150, 100), (80, 50))
    segmenter = GrabCut()
    first = segmenter.segment([pixels])[0]
    cv2.setRNGSeed(77)
    segmenter.segment([np.ascontiguousarray(pixels[::-1])])
    np.testing.assert_array_equal(segmenter.segment([pixels])[0], first)


@pytest.mark.parametrize("pixels", [
    np.zeros((90, 140, 3), np.uint8), np.full((140, 90, 3), 255, np.uint8), np.zeros((1, 1, 3), np.uint8),
    np.zeros((1, 300, 3), np.uint8),
])  # fmt: skip
def test_what_has_no_animal_has_no_mask(pixels: NDArray[np.uint8]) -> None:
    assert not cut(pixels).any()
    assert cut(pixels).shape == pixels.shape[:2]


def test_a_tiny_photograph_does_no_harm() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (11, 16, 3), dtype=np.uint8)
    found = cut(noise)
    assert found.shape == (11, 16)


def test_a_model_needs_its_extra_and_its_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"animalclef\[segmentation\].*`animal` needs nothing"):
        open_segmenter("facebook/sam-vit-base", "cpu")
    monkeypatch.delitem(sys.modules, "transformers")
    pytest.importorskip("transformers", reason="Segment Anything comes with the extra `segmentation`")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="its files are not on this machine"):
        open_segmenter("nobody/nothing", "cpu")
