"""Where the corners of a frame lie, and what it shows."""

from __future__ import annotations

import math

import numpy as np
import pytest

from animalclef.training.embedder.augmentation import Frame, draw_frame, take

BLACK = (0, 0, 0)


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_corners_by_hand() -> None:
    assert Frame().source_corners((200, 100)).tolist() == [[0, 0], [200, 0], [200, 100], [0, 100]]
    half = Frame(width=0.5, height=0.5, right=0.25, down=-0.25)
    assert half.source_corners((200, 100)).tolist() == [[100, 0], [200, 0], [200, 50], [100, 50]]
    mirrored = Frame(mirrored=True).source_corners((200, 100))
    assert mirrored.tolist() == [[200, 0], [0, 0], [0, 100], [200, 100]]
    slanted = Frame(shear=0.2).source_corners((200, 100))  # a tenth of the width to either side
    assert slanted == pytest.approx(np.array([[-20, 0], [180, 0], [220, 100], [20, 100]]))
    moved = Frame(corners=((0.1, 0.2), (0, 0), (0, 0), (0, 0))).source_corners((200, 100))
    assert moved[0].tolist() == pytest.approx([20, 20])


def test_a_quarter_turn_clockwise() -> None:
    # the photograph's lower left comes to the picture's upper left
    quarter = Frame(turn_rad=math.pi / 2)
    assert quarter.source_corners((200, 100)) == pytest.approx(np.array([[0, 100], [0, 0], [200, 0], [200, 100]]))
    turned = take(picture(), (20, 30), quarter, BLACK)
    assert np.abs(turned.astype(int) - np.rot90(picture(), -1)).max() <= 1


def test_what_frames_show() -> None:
    pixels = picture()
    assert np.array_equal(take(pixels, (30, 20), Frame(), BLACK), pixels)
    assert np.array_equal(take(pixels, (30, 20), Frame(mirrored=True), BLACK), pixels[:, ::-1])
    half = Frame(width=0.5, height=0.5, right=0.25, down=-0.25)
    assert np.array_equal(take(pixels, (15, 10), half, BLACK), pixels[:10, 15:])


def test_what_lies_beyond_the_photograph_is_the_fill() -> None:
    wide = take(picture(), (60, 40), Frame(width=2, height=2), (1, 2, 3))
    assert np.array_equal(wide[10:30, 15:45], picture())
    wide[10:30, 15:45] = (1, 2, 3)
    assert (wide == (1, 2, 3)).all()


@pytest.mark.parametrize("turn_deg", [0, 90, 180])
def test_fine_patterns_are_averaged_when_shrunk(turn_deg: int) -> None:
    stripes = np.zeros((90, 400, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    small = take(stripes, (40, 60), Frame(turn_rad=math.radians(turn_deg)), BLACK)
    assert np.abs(small[4:-4, 4:-4].astype(int) - 127).max() < 30


def test_frames_stay_within_the_photograph_and_the_bounds() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        frame = draw_frame(rng, area=(0.5, 1.0))
        corners = frame.source_corners((100, 100))
        assert corners.min() >= -1e-9
        assert corners.max() <= 100 + 1e-9
        assert 0.5 - 1e-9 <= frame.width * frame.height <= 1 + 1e-9
        assert not frame.mirrored
    turns = [draw_frame(rng, turn_deg=20).turn_rad for _ in range(200)]
    assert math.radians(15) < max(np.abs(turns)) <= math.radians(20)
    assert all(draw_frame(rng, mirror=1.0).mirrored for _ in range(5))
