"""Outlines of the masks that a run used."""

from __future__ import annotations

import numpy as np

from animalclef.report.thumbnails import draw_outline


def test_the_outline_is_drawn_at_the_photographs_scale() -> None:
    pixels = np.full((80, 120, 3), 90, np.uint8)
    mask = np.zeros((40, 60), dtype=bool)
    mask[10:20, 30:50] = True
    draw_outline(pixels, mask)
    changed = (pixels != 90).any(axis=2)
    rows, columns = np.nonzero(changed)
    # the mask's border stands at rows 20 and 39 and columns 60 and 99; the line is three pixels wide, its rim soft
    assert abs(rows.min() - 19) <= 2
    assert abs(rows.max() - 40) <= 2
    assert abs(columns.min() - 59) <= 2
    assert abs(columns.max() - 100) <= 2
    assert not changed[25:35, 66:94].any()  # inside nothing is drawn


def test_an_empty_mask_draws_nothing() -> None:
    pixels = np.full((8, 12, 3), 90, np.uint8)
    draw_outline(pixels, np.zeros((4, 6), dtype=bool))
    assert (pixels == 90).all()
