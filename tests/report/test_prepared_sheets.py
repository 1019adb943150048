"""The report shows what of each photograph a run used."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
from tiny import make_masks, make_tiny_data
from whole_run import predict

from animalclef.prepare.contact_sheet import CELL, contact_sheet, spread_rows
from animalclef.report.summary import prepared_sheets
from animalclef.report.thumbnails import outlined, read_photograph
from animalclef.report.write_report import write_report
from animalclef.runtime.progress import Silent
from animalclef.store.finished_run import load_run


def test_the_outline_is_drawn_where_the_mask_ends(tmp_path: Path) -> None:
    data = make_tiny_data(tmp_path / "data", datasets=("CatID",), individuals=3)
    masks = make_masks(data, tmp_path / "masks", 0.5)  # the left half of every photograph
    predict(data, tmp_path / "run", f"keypoints.masks={masks}")
    run = load_run(tmp_path / "run")
    image_id = str(run.images.image_id[0])
    plain = read_photograph(run, image_id, 200)
    assert plain is not None
    changed = (outlined(run, image_id, plain).pixels != plain.pixels).any(axis=2)
    columns = np.flatnonzero(changed.sum(axis=0) > 0.9 * len(changed))  # from the top to the bottom
    middle = plain.pixels.shape[1] / 2
    assert {side for side in (0, 1) if any(abs(column - side * middle) <= 2 for column in columns)} == {0, 1}
    assert not changed[:, int(middle) + 4 :].any()


def test_a_report_names_the_preparation_and_draws_the_sheet(tmp_path: Path) -> None:
    data = make_tiny_data(tmp_path / "data", datasets=("NewtID",), individuals=3)
    predict(data, tmp_path / "run", "prepare.mode=cut-out")
    run = load_run(tmp_path / "run")
    (one,) = prepared_sheets(run)
    assert (one.name, one.preparation.mode) == ("NewtID", "cut-out")
    jpeg = base64.b64decode(one.picture.removeprefix("data:image/jpeg;base64,"))
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape[1] % CELL == 0
    page = write_report(run, None, tmp_path / "report.html", 3, 1, Silent()).page.read_text(encoding="utf-8")
    assert "NewtID: cut-out" in page
    assert one.picture in page
    (tmp_path / "run" / "prepare.json").unlink()
    assert prepared_sheets(run) == ()


def test_a_sheet_has_a_cell_for_every_photograph() -> None:
    red = np.zeros((10, 20, 3), np.uint8)
    red[..., 0] = 255
    sheet = cv2.imdecode(np.frombuffer(contact_sheet([(red, "a"), (None, "b"), (red, "c")], 2), np.uint8), 1)
    assert sheet.shape == (2 * (CELL + 16), 2 * CELL, 3)
    assert sheet[20, 20, 2] > 200  # BGR: the first cell is red, the second black
    assert sheet[20, CELL + 20].max() < 30
    assert spread_rows(3, 10) == [0, 1, 2]
