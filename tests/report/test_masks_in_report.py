"""Matches inside and outside the animals' masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny import make_masks, make_tiny_data
from whole_run import predict

from animalclef.errors import DataError
from animalclef.report.match_view import Matches
from animalclef.report.query_cards import _flags
from animalclef.store.finished_run import FinishedRun, load_run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_data(tmp_path_factory.mktemp("masked") / "data", datasets=("CatID",), individuals=3)


@pytest.fixture(scope="module")
def masks(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every photograph's left half is animal."""
    return make_masks(data, tmp_path_factory.mktemp("masks"), 0.5)


def first_pairs(run: FinishedRun) -> list[tuple[str, str]]:
    return [(query, run.ranked.gallery_id[own.start]) for query, own in run.rows_of.items()]


def test_matches_outside_the_masks_are_marked(data: Path, masks: Path, tmp_path: Path) -> None:
    predict(data, tmp_path / "run")
    run = load_run(tmp_path / "run")
    plain, marked = Matches(run), Matches(run, masks)
    outside = 0
    for query, candidate in first_pairs(run):
        found = marked.of(query, candidate)
        assert found is not None
        assert found.is_outside is not None
        ends = zip((query, candidate), (found.query_xy, found.gallery_xy), strict=True)
        on = [points[:, 0] + 0.5 < run_width(marked, image_id) / 2 for image_id, points in ends]
        near = [np.abs(points[:, 0] + 0.5 - run_width(marked, image_id) / 2) < 1 for image_id, points in
                zip((query, candidate), (found.query_xy, found.gallery_xy), strict=True)]  # fmt: skip
        sure = ~(near[0] | near[1])
        np.testing.assert_array_equal(found.is_outside[sure], ~(on[0] & on[1])[sure])
        assert (_flags(found) >> 1).tolist() == found.is_outside.astype(int).tolist()
        unmarked = plain.of(query, candidate)
        assert unmarked is not None
        assert unmarked.is_outside is None
        assert len(unmarked) == len(found)
        outside += int(found.is_outside.sum())
    assert outside > 0


def run_width(matches: Matches, image_id: str) -> int:
    features = matches.features(image_id)
    assert features is not None
    return features.image_size_wh[0]


def test_a_run_made_with_masks_draws_what_it_counted(data: Path, masks: Path, tmp_path: Path) -> None:
    predict(data, tmp_path / "run", f"keypoints.masks={masks}")
    run = load_run(tmp_path / "run")
    matches = Matches(run)
    for line, (query, candidate) in zip([own.start for own in run.rows_of.values()], first_pairs(run), strict=True):
        found = matches.of(query, candidate)
        assert found is not None
        assert found.is_outside is None
        assert len(found) == run.ranked.columns["matches"][line]


def test_a_folder_without_masks_is_one_sentence(data: Path, tmp_path: Path) -> None:
    predict(data, tmp_path / "run")
    with pytest.raises(DataError, match="no mask for any photograph"):
        Matches(load_run(tmp_path / "run"), tmp_path)
