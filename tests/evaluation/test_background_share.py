"""The share of matches beside the animals: by hand, and over a whole run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny import make_masks, make_tiny_data
from typer.testing import CliRunner
from whole_run import predict

from animalclef.cli import app
from animalclef.errors import DataError
from animalclef.evaluation.background_share import share_outside
from animalclef.structures import Correspondences


def matched(
    query: list[tuple[float, float]], gallery: list[tuple[float, float]], inliers: list[bool]
) -> Correspondences:
    confidence = np.ones(len(query), np.float32)
    xy = [np.array(side, np.float32).reshape(-1, 2) for side in (query, gallery)]
    return Correspondences(xy[0], xy[1], confidence, np.array(inliers, dtype=bool))


def test_a_match_counts_as_outside_where_one_end_is() -> None:
    left = np.zeros((4, 6), dtype=bool)
    left[:, :3] = True  # of a query of 60 x 40 pixels: x < 30
    top = np.zeros((20, 10), dtype=bool)
    top[:10] = True  # of a gallery image of 10 x 20: y < 10
    four = matched([(5, 5), (5, 5), (50, 5), (50, 35)], [(1, 1), (1, 19), (1, 1), (1, 19)], [True, False, True, False])
    sizes = ((60, 40), (10, 20))
    assert share_outside(four, (left, top), sizes) == 0.75
    assert share_outside(four, (left, top), sizes, inliers_only=True) == 0.5
    assert share_outside(four, (left, np.ones((1, 1), dtype=bool)), sizes) == 0.5
    nothing = matched([], [], [])
    assert np.isnan(share_outside(nothing, (left, top), sizes))
    assert np.isnan(share_outside(matched([(5, 5)], [(1, 1)], [False]), (left, top), sizes, inliers_only=True))


def test_evaluate_shows_it_for_the_best_candidates(tmp_path: Path) -> None:
    data = make_tiny_data(tmp_path / "data", datasets=("NewtID",), individuals=3, unknown=1)
    run = tmp_path / "run"
    predict(data, run)
    arguments = ["evaluate", "--run", str(run), "--truth", str(data / "truth.csv"), "--data", str(data)]
    for share, low, high in ((1.0, 0.0, 0.0), (0.5, 0.1, 0.9), (0.0, 1.0, 1.0)):
        masks = make_masks(data, tmp_path / f"masks{share}", share)
        result = CliRunner().invoke(app, [*arguments, "--masks", str(masks), "--json"], catch_exceptions=False)
        (found,) = json.loads(result.stdout)["background"]
        assert (found["dataset"], found["pairs"]) == ("NewtID", 4)
        assert low <= found["matches"] <= high
    shown = CliRunner().invoke(app, [*arguments, "--masks", str(masks)], catch_exceptions=False)
    assert "outside the masks" in shown.output
    with pytest.raises(DataError, match="no masks in the table"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    with pytest.raises(DataError, match="--masks needs --data"):
        CliRunner().invoke(app, [*arguments[:-2], "--masks", str(masks)], catch_exceptions=False)
