"""Preparing as a stage of `predict`: recorded, resumable, and the same bytes whatever happened before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny import make_tiny_data, read_csv
from whole_run import predict

from animalclef.config import Config
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.engine.work import Capacity
from animalclef.errors import WeightsError
from animalclef.pipeline import cost, models, prepare_photographs
from animalclef.pipeline.preparation_table import DatasetPreparation


class Oval:
    """Finds an oval in the middle of every photograph, and counts the photographs that it was shown."""

    fingerprint = "oval"

    def __init__(self) -> None:
        self.seen = 0

    def segment(self, images: Sequence[NDArray[np.uint8]], boxes: Any = None) -> list[NDArray[np.bool_]]:
        self.seen += len(images)
        found = []
        for image in images:
            height, width = image.shape[:2]
            y, x = np.ogrid[:height, :width]
            found.append(((x - width / 2) / (width * 0.3)) ** 2 + ((y - height / 2) / (height * 0.3)) ** 2 < 1)
        return found


@pytest.fixture
def oval(monkeypatch: pytest.MonkeyPatch) -> Oval:
    one = Oval()
    monkeypatch.setattr(models, "open_segmenter", lambda *args, **kwargs: one)
    return one


def test_cut_outs_are_recorded_and_never_segmented_twice(tmp_path: Path, oval: Oval) -> None:
    data, run = make_tiny_data(tmp_path / "data", datasets=("NewtID",)), tmp_path / "run"
    first = predict(data, run, "prepare.mode=cut-out")
    assert oval.seen == len(read_csv(data / "metadata.csv"))
    record = json.loads((run / "prepare.json").read_text())["datasets"]["NewtID"]
    assert (record["mode"], record["reason"]) == ("cut-out", "as the settings say")
    table = read_csv(run / "table.csv")
    assert all(json.loads(row["bbox_xywhr"])[2] > 0 for row in table)
    assert all(json.loads(row["mask"])["size"] for row in table)
    finished = json.loads((run / "finished.json").read_text())
    assert finished["config"]["prepare"]["mode"] == {"NewtID": "cut-out"}
    assert predict(data, run, "prepare.mode=cut-out") == first
    assert oval.seen == len(table)
    whole = predict(data, run, "prepare.mode=whole")
    assert json.loads((run / "finished.json").read_text())["scores"] != finished["scores"]
    assert predict(data, tmp_path / "other", "prepare.mode=whole") == whole


def test_what_finding_the_animals_costs_is_said_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = load_table(find_source(make_tiny_data(tmp_path, datasets=("NewtID",)))).images
    clock = iter([0.0, 6.0] * 4)  # 2 s a photograph
    monkeypatch.setattr(cost, "time", SimpleNamespace(perf_counter=lambda: next(clock)))

    def said(absent: int, capacity: Capacity | None) -> str | None:
        engine: Any = SimpleNamespace(capacity=capacity)
        context: Any = SimpleNamespace(config=Config(), engine=engine, workers=2)
        return cost.finding_sentence(images, absent, 64, Oval(), context)

    before = "300 photographs to find animals on"
    assert said(99, None) is None
    assert said(300, None) == f"{before}: about 5 min. --no-auto uses photographs whole."
    on_four = f"{before}, on 4 machines"
    assert said(300, Capacity(4, 16, workers=5)) == f"{on_four}: about 38 s (2 machine minutes)."
    assert said(300, Capacity(4, 64, workers=16)) == f"{on_four}: about 30 s (2 machine minutes)."  # for 5 tasks


def test_a_decision_is_applied_to_photographs_prepared_as_its_own(tmp_path: Path, oval: Oval) -> None:
    data, run = make_tiny_data(tmp_path / "data", datasets=("NewtID",)), tmp_path / "run"
    first = predict(data, run, "prepare.mode=cut-out")
    again = predict(data, tmp_path / "applied", "prepare.mode=auto", decision=run / "decision.json")
    assert again == first
    assert json.loads((tmp_path / "applied" / "prepare.json").read_text())["datasets"]["NewtID"]["mode"] == "cut-out"


def test_few_photographs_are_decided_by_rule(tmp_path: Path, oval: Oval) -> None:
    data, run = make_tiny_data(tmp_path / "data", datasets=("NewtID",)), tmp_path / "run"
    predict(data, run, "prepare.mode=auto")
    record = json.loads((run / "prepare.json").read_text())["datasets"]["NewtID"]
    assert record["variants"] == []
    assert record["mode"] == "cut-out"  # the oval fills 28% of a photograph
    assert record["filled"] == pytest.approx(0.28, abs=0.01)


@pytest.mark.parametrize(
    ("setting", "used", "noted"),
    [("auto", ["NewtID"], True), ("false", False, False), ("true", True, True), ("[NewtID]", ["NewtID"], True)],
)
def test_viewpoints_are_chosen_only_where_the_setting_is_auto(
    tmp_path: Path, oval: Oval, monkeypatch: pytest.MonkeyPatch, setting: str, used: object, noted: bool
) -> None:
    chosen = DatasetPreparation(mode="whole", reason="a trial", same_viewpoint=True)
    monkeypatch.setattr(prepare_photographs, "choose_preparations", lambda names, *_: dict.fromkeys(names, chosen))
    data, run = make_tiny_data(tmp_path / "data", datasets=("NewtID",)), tmp_path / "run"
    predict(data, run, "prepare.mode=auto", f"retrieve.same_viewpoint={setting}")
    assert json.loads((run / "finished.json").read_text())["config"]["retrieve"]["same_viewpoint"] == used
    assert json.loads((run / "prepare.json").read_text())["datasets"]["NewtID"]["same_viewpoint"] is noted


def test_boxes_and_masks_of_the_table_win(tmp_path: Path, oval: Oval) -> None:
    data = make_tiny_data(tmp_path / "data", datasets=("NewtID",))
    rows = (data / "metadata.csv").read_text().splitlines()
    boxed = [f"{rows[0]},bbox", *(f'{row},"[10, 10, 90, 90]"' for row in rows[1:])]
    (data / "metadata.csv").write_text("\n".join(boxed) + "\n")
    predict(data, tmp_path / "run", "prepare.mode=auto")
    record = json.loads((tmp_path / "run" / "prepare.json").read_text())["datasets"]["NewtID"]
    assert (record["mode"], record["reason"]) == ("whole", "the table gives boxes")
    assert oval.seen == 0


def test_without_a_segmenter_photographs_stay_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def absent(*args: Any, **kwargs: Any) -> None:
        raise WeightsError("animal-segmenter.safetensors: no such file.")

    monkeypatch.setattr(models, "open_segmenter", absent)
    data = make_tiny_data(tmp_path / "data", datasets=("NewtID",))
    whole = predict(data, tmp_path / "whole", "prepare.mode=whole")
    assert predict(data, tmp_path / "run", "prepare.mode=auto") == whole
    assert "Photographs are used whole." in caplog.text
    with pytest.raises(WeightsError):
        predict(data, tmp_path / "asked", "prepare.mode=masked")


def test_a_trial_writes_its_table_and_is_not_repeated(
    tmp_path: Path, oval: Oval, monkeypatch: pytest.MonkeyPatch
) -> None:
    from animalclef.pipeline import choose_preparation

    monkeypatch.setattr(choose_preparation, "can_be_tried", lambda photographs, evidence: True)
    data, run = make_tiny_data(tmp_path / "data", datasets=("NewtID",), gallery_images=4), tmp_path / "run"
    settings = ("prepare.mode=auto", "prepare.trial_queries=12", "prepare.trial_photographs=24", "decide.trials=2")
    first = predict(data, run, *settings)
    table = read_csv(run / "prepare.csv")
    assert [row["mode"] for row in table] == ["whole", "masked", "cut-out"]
    assert sum(int(row["chosen"]) for row in table) == 1
    assert all(0 <= float(row["score"]) <= 1 for row in table)
    tried = [path.read_text() for path in (run / "preparations").iterdir()]
    assert predict(data, run, *settings) == first
    assert [path.read_text() for path in (run / "preparations").iterdir()] == tried
