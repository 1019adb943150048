"""Warnings about masks, an absent segmenter and a review are logged once, and kept in the run's figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import TINY_SETTINGS, make_masks, make_tiny_data, read_csv

import animalclef as ac
from animalclef.data.review_log import ReviewLog, Said, SeenPhotograph
from animalclef.errors import WeightsError
from animalclef.pipeline import models


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_tiny_data(tmp_path / "data", datasets=("NewtID",), individuals=4, gallery_images=4)


def check_kept(run: ac.Run, told: str, to: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One warning holds the text, in the log, in the summary, and in the figures beside a submission."""
    run.to_submission(to / "who.csv")
    figures = json.loads((to / "who.metrics.json").read_bytes())
    for sentences in (caplog.messages, run.summary["warnings"], figures["warnings"]):
        assert sum(told in one for one in sentences) == 1


def test_masks_without_keypoints(data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    masks = make_masks(data, tmp_path / "masks", share=0.0)
    config = ac.load_config(None, *TINY_SETTINGS, f"keypoints.masks={masks}")
    told = "masks keep no keypoint of their photograph"
    for _ in range(2):  # the second one resumes
        caplog.clear()
        check_kept(ac.predict(data, config=config, run_dir=tmp_path / "run", workers=1), told, tmp_path, caplog)


def test_an_absent_segmenter(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def absent(*args: Any, **kwargs: Any) -> None:
        raise WeightsError("animal-segmenter.safetensors: no such file.")

    monkeypatch.setattr(models, "open_segmenter", absent)
    config = ac.load_config(None, *TINY_SETTINGS, "prepare.mode=auto")
    run = ac.predict(data, config=config, run_dir=tmp_path / "run", workers=1)
    check_kept(run, "Photographs are used whole.", tmp_path, caplog)


def test_contradictions_of_a_review(data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config, log = ac.load_config(None, *TINY_SETTINGS), tmp_path / "review.jsonl"
    run = ac.predict(data, config=config, run_dir=tmp_path / "run", workers=1)
    rows = [row for row in read_csv(run.path / "table.csv") if row["split"] == "query"]
    first, second = (SeenPhotograph(row["image_id"], row["key"], row["path"]) for row in rows[:2])
    said: tuple[Said, ...] = ("same", "different")
    for one, answer in zip(("Ada", "Bob"), said, strict=True):
        ReviewLog(log).add(one, answer, (first, second), {})
    caplog.clear()
    again = ac.predict(data, config=config, run_dir=run.path, reviewed=log, workers=1)
    check_kept(again, "1 contradiction; their answers are left out.", tmp_path, caplog)
