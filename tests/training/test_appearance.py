"""Each change of a picture beside what it should be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from animalclef.training.appearance import (
    clahe,
    compressed,
    corner_cut,
    erased,
    noisy,
    out_of_focus,
    recoloured,
    relit,
    sharpened,
    shrunk,
    smeared,
    surround_painted,
)


def plain(red: int, green: int, blue: int, height: int = 20, width: int = 30) -> np.ndarray:
    return np.full((height, width, 3), (red, green, blue), dtype=np.uint8)


def half_and_half() -> np.ndarray:
    picture = plain(50, 50, 50)
    picture[:, 15:] = 150
    return picture


def test_light_by_hand() -> None:
    one = np.ones(3)
    assert relit(plain(50, 100, 200), np.array([2.0, 1.0, 0.5]), 1.0, 1.0)[0, 0].tolist() == [100, 100, 100]
    assert relit(plain(200, 200, 200), 2 * one, 1.0, 1.0).min() == 255  # no value wraps round
    # the mean is 100: 50 and 150 come to 75 and 125
    assert relit(half_and_half(), one, 0.5, 1.0)[0, [0, -1], 0].tolist() == [75, 125]
    # 255 * (51 / 255) ** 2 = 10.2
    assert relit(plain(51, 51, 51), one, 1.0, 2.0)[0, 0].tolist() == [10, 10, 10]


def test_colours_by_hand() -> None:
    # 0.299 * 100 + 0.587 * 200 + 0.114 * 50 = 153
    assert recoloured(plain(100, 200, 50), 0.0)[0, 0].tolist() == [153, 153, 153]
    assert recoloured(plain(100, 200, 50), 0.5)[0, 0].tolist() == pytest.approx([126.5, 176.5, 101.5], abs=0.6)
    assert recoloured(plain(100, 200, 50), 1.0, 2 * math.pi / 3)[0, 0].tolist() == [50, 100, 200]
    assert recoloured(plain(90, 90, 90), 1.7, 1.0)[0, 0].tolist() == [90, 90, 90]  # grey stays grey


def test_what_keeps_a_plain_picture_as_it_is() -> None:
    picture = plain(10, 120, 250)
    for same in (
        sharpened(picture, 0.8), out_of_focus(picture, 2.0), smeared(picture, 6, 0.5), shrunk(picture, 0.3),
        noisy(picture, 0.0, np.random.default_rng(0)),
    ):  # fmt: skip
        assert np.array_equal(same, picture)
    assert np.abs(compressed(picture, 95).astype(int) - picture).max() <= 3


def test_edges_are_sharpened_and_blurred() -> None:
    step = half_and_half()
    assert sharpened(step, 0.8).min() < 50
    assert sharpened(step, 0.8).max() > 150
    for soft in (out_of_focus(step, 1.5), smeared(step, 6, 0.0), shrunk(step, 0.25)):
        slope = np.abs(np.diff(soft[10, :, 0].astype(int)))
        assert 0 < slope.max() < 60
        assert soft[:, :3].max() == 50
    assert np.array_equal(smeared(step, 6, math.pi / 2), step)  # along the edge


def test_clahe_stretches_a_faint_pattern() -> None:
    faint = plain(100, 100, 100, 64, 64)
    faint[::2] = 108
    assert clahe(faint, 4.0).std() > 1.2 * faint.std()


def test_noise_has_its_deviation() -> None:
    grain = noisy(plain(128, 128, 128, 100, 100), 10.0, np.random.default_rng(0)).astype(float) - 128
    assert abs(grain.mean()) < 0.3
    assert grain.std() == pytest.approx(10, rel=0.03)
    assert noisy(plain(255, 255, 255), 10.0, np.random.default_rng(0)).min() > 200  # no value wraps round


def test_jpeg_leaves_traces() -> None:
    picture = out_of_focus(np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8), 3.0)
    poor, good = (np.abs(compressed(picture, quality).astype(int) - picture).mean() for quality in (10, 95))
    assert poor > 2 * good > 0


def test_one_corner_is_cut() -> None:
    seen = set()
    for seed in range(30):
        cut = corner_cut(plain(9, 9, 9), 0.4, np.random.default_rng(seed)).max(axis=2) == 0
        corners = cut[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert corners.sum() == 1
        assert 0 < cut.mean() <= 0.4 * 0.4 / 2 + 0.06  # the outline is painted too
        assert cut.any(axis=0).sum() <= 13
        assert cut.any(axis=1).sum() <= 9
        seen.add(int(corners.argmax()))
    assert seen == {0, 1, 2, 3}


def test_rectangles_cover_no_more_than_they_may() -> None:
    picture = plain(1, 2, 3, 60, 80)
    for seed in range(40):
        painted = (erased(picture, 0.15, np.random.default_rng(seed)) != picture).any(axis=2)
        assert 0 < painted.mean() <= 0.15
    assert (picture == (1, 2, 3)).all()
    assert erased(plain(1, 2, 3, 1, 1), 0.5, np.random.default_rng(0)).shape == (1, 1, 3)


def test_the_middle_stays_when_the_surround_is_painted() -> None:
    for seed in range(20):
        painted = (surround_painted(plain(1, 2, 3, 60, 80), np.random.default_rng(seed)) != (1, 2, 3)).any(axis=2)
        assert not painted[12:48, 16:64].any()
        assert painted[[0, 0, -1, -1], [0, -1, 0, -1]].all()
        assert painted.mean() < 0.4
