"""A run read back."""

from __future__ import annotations

import json
import math
from pathlib import Path

import browser
import numpy as np
import pytest
from tiny import make_tiny_data, read_csv, write_csv
from tiny_run import copy_run
from whole_run import predict

from animalclef.errors import RunError
from animalclef.report import Matches, load_run
from animalclef.report.thumbnails import read_photograph


def test_a_run_is_read_as_it_was_written(tiny_run: tuple[Path, Path]) -> None:
    data, path = tiny_run
    run = load_run(path)
    assert run.images.root == data.resolve()
    assert len(run.images.queries) == 14
    assert set(run.timings["seconds"]) == {"prepare", "describe", "match", "validate", "tune", "cluster"}
    assert run.timings["counts"]["query pairs"] == len(run.ranked)
    assert [item.reason for item in run.skipped] == ["not a readable image (cannot identify image file)"]
    first = run.images.queries.image_id[0]
    own = run.rows_of[first]
    assert set(run.ranked.query_id[own]) == {first}
    assert (np.diff(run.ranked.identity_probability[own]) <= 0).all()


def test_boxes_are_cut_out_again(tmp_path: Path) -> None:
    """A box that cannot be written with few digits, and one that is turned."""
    data = make_tiny_data(tmp_path / "data", datasets=("CatID",))
    rows = read_csv(data / "metadata.csv")
    boxes = {"0": [10.1, 20.3, 90.7, 70.9, 0.0], "3": [30, 25, 80, 60, 0.3]}
    for row in rows:
        row["bbox"] = json.dumps(boxes[row["image_id"]]) if row["image_id"] in boxes else ""
    write_csv(data / "metadata.csv", list(rows[0]), [list(row.values()) for row in rows])
    predict(data, tmp_path / "run")
    run = load_run(tmp_path / "run")
    sizes = {}
    for image_id in ("0", "1", "3"):
        image = read_photograph(run, image_id, 400)
        assert image is not None
        sizes[image_id] = (image.pixels.shape[1], image.pixels.shape[0])
        features = Matches(run).features(image_id)
        assert features is not None
        assert features.image_size_wh == image.original_size_wh
    assert sizes["0"] == (91, 71)
    assert sizes["3"] == (80, 60)
    assert sizes["1"][0] >= 160


def test_a_run_of_before_roots_were_noted_is_read_with_data(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    data, run = tiny_run[0], copy_run(tiny_run[1], tmp_path / "run")
    settings = json.loads((run / "finished.json").read_text())
    (run / "finished.json").write_text(json.dumps({key: settings[key] for key in ("scores", "data", "config")}))
    (run / "timings.json").unlink()
    old = load_run(run, data)
    assert old.timings == {}
    assert Matches(old).are_there
    assert read_photograph(old, old.images.queries.image_id[0], 100) is not None


def test_keypoints_outside_the_run_are_not_opened(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    run = copy_run(tiny_run[1], tmp_path / "run")
    settings = json.loads((run / "finished.json").read_text())
    elsewhere = {"keypoints": f"../../{tiny_run[1].parent.name}/run/{settings['keypoints']}"}
    (run / "finished.json").write_text(json.dumps(settings | elsewhere))
    assert not Matches(load_run(run)).are_there


def test_there_is_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such folder"):
        load_run(tmp_path / "nowhere")


def test_scores_that_are_absent_are_nan(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    run = copy_run(tiny_run[1], tmp_path / "run")
    rows = read_csv(run / "candidates.csv")
    rows[0]["inliers"] = ""
    write_csv(run / "candidates.csv", list(rows[0]), [list(row.values()) for row in rows])
    assert math.isnan(load_run(run).ranked.columns["inliers"][0])


def test_what_a_browser_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser.shutil, "which", lambda name: None if name == "chromedriver" else f"/usr/bin/{name}")
    assert browser.why_no_browser().startswith("needs chromedriver (Debian: apt-get install")
