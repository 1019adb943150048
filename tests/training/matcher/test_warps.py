"""Warps: where points go, in pictures that are not square."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from animalclef.config.training import WarpConfig
from animalclef.training.matcher.photograph_views import Warp, degrade, draw_warp

CLEAN = WarpConfig(light=0, blur=0, noise=0, occlusion=0)
NOTHING = np.zeros((0, 2))


def test_a_shift_moves_every_place_and_a_spline_is_added_first() -> None:
    shift = np.array([[1.0, 0, 10], [0, 1, -5], [0, 0, 1]])
    places = np.array([[0.0, 0.0], [30.0, 20.0]])
    assert Warp(shift, NOTHING, NOTHING).source_of(places).tolist() == [[10, -5], [40, 15]]
    # A spline without a kernel part is affine: (2, 3) more, and a tenth of x more along x.
    weights = np.array([[0, 0], [0, 0], [0, 0], [2, 3], [0.1, 0], [0, 0]], dtype=float)
    bent = Warp(shift, np.array([[0.0, 0], [9, 0], [0, 9]]), weights)
    assert bent.source_of(places) == pytest.approx(np.array([[12, -2], [45, 18]]))
    assert not bent.is_homography


@pytest.mark.parametrize("thin_plate", [0.0, 1.0])
def test_the_map_of_all_pixels_is_the_warp_of_each(thin_plate: float) -> None:
    config = WarpConfig(thin_plate=thin_plate)
    size = (397, 261)
    for seed in range(5):
        warp = draw_warp(size, config, np.random.default_rng(seed))
        assert warp.is_homography == (thin_plate == 0)
        places = np.array([[0, 0], [396, 0], [0, 260], [396, 260], [140, 130], [53, 211]])
        seen = warp.source_map(size)[places[:, 1], places[:, 0]]
        assert np.abs(seen - warp.source_of(places.astype(float))).max() < 0.5


@pytest.mark.parametrize("thin_plate", [0.0, 1.0])
def test_points_follow_their_pixels(thin_plate: float) -> None:
    """A dot of the source appears in the view where the warp says that the view shows the dot's place."""
    config = CLEAN.model_copy(update={"thin_plate": thin_plate})
    size = (240, 160)
    checked = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        warp = draw_warp(size, config, rng)
        pixels = np.zeros((160, 240, 3), dtype=np.uint8)
        dot = rng.uniform([60, 40], [180, 120])
        cv2.circle(pixels, tuple(int(v) for v in (dot * 16).round()), 3 * 16, (255, 255, 255), -1, cv2.LINE_AA, 4)
        spoilt = degrade(pixels, warp.source_map(size), config, rng)
        seen = spoilt.pixels[..., 0] * spoilt.is_source.astype(float)
        blobs = cv2.connectedComponents((seen > 0).astype(np.uint8))[0] - 1
        if seen[:8].any() or seen[-8:].any() or seen[:, :8].any() or seen[:, -8:].any() or blobs != 1:
            continue  # cut off, out of sight, or seen twice
        rows, columns = np.mgrid[:160, :240]
        centre = np.array([[(columns * seen).sum(), (rows * seen).sum()]]) / seen.sum()
        assert np.linalg.norm(warp.source_of(centre)[0] - dot) < 1.0
        checked += 1
    assert checked >= 4


def test_what_is_covered_or_beyond_the_edge_is_not_the_source() -> None:
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (60, 100, 3), dtype=np.uint8)
    shifted = Warp(np.array([[1.0, 0, 20], [0, 1, 0], [0, 0, 1]]), NOTHING, NOTHING).source_map((100, 60))
    seen = degrade(pixels, shifted, CLEAN, rng)
    assert seen.is_source[:, :79].all()
    assert not seen.is_source[:, 81:].any()
    assert (seen.pixels[:, :79] == pixels[:, 20:99]).all()
    covered = degrade(pixels, shifted, CLEAN.model_copy(update={"occlusion": 1.0}), np.random.default_rng(4))
    assert covered.is_source.sum() < seen.is_source.sum()
    same = (covered.pixels[:, :79] == pixels[:, 20:99]).all(axis=2)
    assert same[covered.is_source[:, :79]].all()


def test_the_same_generator_spoils_the_same_way() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    seen = [
        degrade(pixels, draw_warp((70, 50), WarpConfig(), rng).source_map((70, 50)), WarpConfig(), rng).pixels
        for rng in (np.random.default_rng(9), np.random.default_rng(9))
    ]
    assert (seen[0] == seen[1]).all()
