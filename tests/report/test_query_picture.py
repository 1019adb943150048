"""`show`: one picture of a query."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pytest
from rows import strings
from tiny import read_csv
from tiny_run import copy_run
from typer.testing import CliRunner

from animalclef.cli import app
from animalclef.errors import DataError, OutputError
from animalclef.report import draw_query, load_run, write_picture
from animalclef.report.query_picture import _query_of


def first_query(data: Path) -> str:
    return read_csv(data / "truth.csv")[0]["image_id"]


def test_the_command_writes_one_png(
    tiny_run: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, run = tiny_run
    monkeypatch.chdir(tmp_path)
    query = first_query(data)
    result = CliRunner().invoke(app, ["show", query, "--run", str(run)], catch_exceptions=False)
    assert result.output == f"Picture: {query}.png\n"
    picture = cv2.imread(str(tmp_path / f"{query}.png"))
    assert picture is not None
    assert picture.shape[1] > picture.shape[0]


def test_lines_are_drawn_where_matches_agree(tiny_run: tuple[Path, Path]) -> None:
    run = load_run(tiny_run[1])
    drawn = draw_query(run, first_query(tiny_run[0]), candidates=1)
    hue = drawn.astype(int)
    coloured = (hue.max(axis=2) - hue.min(axis=2) > 120) & (hue[:, :, 2] > hue[:, :, 0])
    assert coloured[:, : drawn.shape[1] // 2].any()
    assert coloured[:, drawn.shape[1] // 2 :].any()
    more = draw_query(run, first_query(tiny_run[0]), candidates=3)
    assert more.shape[1] == 2 * drawn.shape[1]
    assert more.shape[0] > 1.5 * drawn.shape[0]


def test_a_query_without_candidates_and_without_photograph(tiny_run: tuple[Path, Path], unknown_image: str) -> None:
    assert draw_query(load_run(tiny_run[1]), unknown_image).std() > 0


def test_photographs_that_are_gone_leave_placeholders(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    there = draw_query(load_run(tiny_run[1]), first_query(tiny_run[0]))
    gone = draw_query(load_run(tiny_run[1], tmp_path / "elsewhere"), first_query(tiny_run[0]))
    assert gone.shape == there.shape
    assert not np.array_equal(gone, there)


def test_a_query_is_found_by_the_name_of_its_file_where_one_alone_has_it() -> None:
    paths = strings("a/IMG_1.jpg", "b/IMG_2.jpg", "c/IMG_2.jpg")
    queries = SimpleNamespace(image_id=strings("7", "8", "9"), path=paths)
    run = cast(Any, SimpleNamespace(images=SimpleNamespace(queries=queries), path="runs/r"))
    assert [_query_of(run, name) for name in ("7", "IMG_1.jpg", "IMG_1", "elsewhere/IMG_1.jpg")] == ["7"] * 4
    for name in ("IMG_2.jpg", "IMG_3", "IMG_1.png"):
        with pytest.raises(DataError, match=f"{name}: no query of runs/r; a query is, for example, [789]"):
            _query_of(run, name)


def test_who_is_no_query_is_told(tiny_run: tuple[Path, Path]) -> None:
    with pytest.raises(DataError, match=r"nobody: no query of .*; a query is, for example,"):
        draw_query(load_run(tiny_run[1]), "nobody")


def test_a_picture_has_an_ending(tmp_path: Path) -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    with pytest.raises(OutputError, match=r"ends with .png or .jpg"):
        write_picture(tmp_path / "one.gif", pixels)
    write_picture(tmp_path / "one.jpg", pixels)
    assert cv2.imread(str(tmp_path / "one.jpg")).shape == (4, 6, 3)


def test_an_interrupted_run_is_told(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    run = copy_run(tiny_run[1], tmp_path / "run")
    (run / "finished.json").unlink()
    result = CliRunner().invoke(app, ["show", "1", "--run", str(run), "--out", str(tmp_path / "1.png")])
    assert isinstance(result.exception, DataError)
    assert not (tmp_path / "1.png").exists()
