"""A run of photographs in a bucket, opened where there are no copies of them, or no bucket."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from buckets import NO_ANSWER, command, copies, forget, no_answer, remove_copies
from PIL import Image
from tiny import TINY_SETTINGS, make_tiny_data
from whole_run import count_work

import animalclef
from animalclef.data.decode import upright_size_wh
from animalclef.data.masks import find_masks, read_mask
from animalclef.data.review_log import ReviewLog
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.errors import DataError
from animalclef.review.session import ReviewSession
from animalclef.runtime.bucket import Bucket
from animalclef.runtime.remote_files import copies_folder
from animalclef.store.finished_run import load_run

CONFIG = animalclef.load_config(None, *TINY_SETTINGS)


@pytest.fixture
def run(store: Any, tmp_path: Path) -> Path:
    """A run of photographs in the bucket; its copies are gone."""
    data = make_tiny_data(tmp_path / "data", datasets=("NewtID",), individuals=4, unknown=1)
    store.put(f"{data}/", "wild/newts/", recursive=True)
    forget()
    animalclef.predict("s3://wild/newts", config=CONFIG, run_dir=tmp_path / "run", device="cpu")
    remove_copies(tmp_path)
    return tmp_path / "run"


def test_readers_get_the_photographs_that_they_need_and_no_others(run: Path, tmp_path: Path) -> None:
    opened = load_run(run)
    assert copies(tmp_path) == set()  # opening alone asks for nothing
    query = str(opened.predictions.image_id[0])
    command("show", query, "--run", run, "--candidates", 1, "--out", tmp_path / "one.png")
    best = opened.ranked.gallery_id[opened.rows_of[query]][0]
    assert copies(tmp_path) == {Path(opened.images.path[opened.row_of[one]]).name for one in (query, best)}
    remove_copies(tmp_path)
    said = command("report", run)
    assert "Not shown" not in said
    assert "removed" not in said
    assert (run / "report.html").read_text().count("data:image/jpeg") >= 16
    assert json.loads((run / "finished.json").read_text())["address"] == "s3://wild/newts"


def test_the_bound_is_that_of_the_run_and_a_run_goes_on_without_work(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_run(run)
    marker = copies_folder("s3://wild/newts", "photographs") / ".animalclef-remote.json"
    assert json.loads(marker.read_text()) == {"url": "s3://wild/newts", "gigabytes": 20.0}
    counts = count_work(monkeypatch)
    before = (run / "candidates.csv").read_bytes()
    animalclef.predict("s3://wild/newts", config=CONFIG, run_dir=run, device="cpu")
    assert not counts
    assert (run / "candidates.csv").read_bytes() == before


def test_without_an_answer_there_is_one_sentence_and_a_report(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_answer(monkeypatch)
    read, asked = Bucket.read, []
    monkeypatch.setattr(Bucket, "read", lambda bucket, path: asked.append(path) or read(bucket, path))
    said = command("report", run, "--workers", 1)
    assert said.count(NO_ANSWER) == 1
    assert "Not shown: 16 of 16 photographs; the report has placeholders." in said
    assert len(asked) == 1  # it is not asked again at once
    assert "data:image/jpeg" not in (run / "report.html").read_text()
    query = load_run(run).predictions.image_id[0]
    said = command("show", query, "--run", run, "--candidates", 1, "--out", run / "one.png")
    assert said.count(NO_ANSWER) == 1
    assert "Not shown: 2 of the 2 photographs." in said
    assert len(asked) == 1


def test_without_the_extra_there_is_one_sentence_and_a_report(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    said = command("report", run)
    assert said.count("s3://wild/newts: this kind of store cannot be read here. Run pip install 'animalclef[s3]'.") == 1
    assert (run / "report.html").is_file()


def test_a_review_warns_once_and_shows_the_photographs_when_the_bucket_answers(
    run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    finished = load_run(run)
    session = ReviewSession(finished, ReviewLog(run.with_name("log"), {"run": "run", "data": finished.data}), "Ada")
    with monkeypatch.context() as silent:
        no_answer(silent)
        assert [session.photograph(row, 240) for row in (0, 1)] == [None, None]
    assert [one.getMessage().count(NO_ANSWER) for one in caplog.records] == [1]
    forget()
    assert session.photograph(0, 240) is not None


def test_masks_beside_the_photographs_come_again_and_a_silent_bucket_says_nothing_about_a_photograph(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = np.zeros((30, 40), np.uint8)
    mask[:, 20:] = 255
    for name, pixels in (("a.jpg", np.full((30, 40, 3), 90, np.uint8)), ("a.png", mask)):
        Image.fromarray(pixels).save(tmp_path / name)
        store.put(str(tmp_path / name), f"wild/newts/{name}")
    store.pipe("wild/newts/metadata.csv", b"image_id,path,identity,mask\n1,a.jpg,Ada,a.png\n")
    images = load_table(find_source(Path("s3://wild/newts"))).images
    masks = find_masks(images, None)
    assert masks is not None
    (images.root / "a.png").unlink()
    read = read_mask(images, 0, masks.source[0], (40, 30))
    assert read is not None
    assert read.sum() == 30 * 20
    (images.root / "a.jpg").unlink()
    no_answer(monkeypatch)
    with pytest.raises(DataError, match=NO_ANSWER):
        upright_size_wh(images.root / "a.jpg")
