"""What a call takes in place of a path: a `Run`, and a truth as a DataFrame."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import animalclef as ac
from animalclef.errors import DataError


def test_a_run_is_read_again(tiny_run: tuple[Path, Path]) -> None:
    run = ac.load_run(tiny_run[1])
    again = ac.load_run(run)
    assert again is not run
    assert again.predictions.equals(run.predictions)


def test_a_report_takes_the_truth_as_a_frame_as_it_takes_the_file(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    run, truth = ac.load_run(tiny_run[1]), pd.read_csv(tiny_run[0] / "truth.csv")
    pages = [
        run.report(tmp_path / name, truth=given).read_bytes()
        for name, given in {"file.html": tiny_run[0] / "truth.csv", "frame.html": truth}.items()
    ]
    assert pages[0] == pages[1]
    with pytest.raises(TypeError, match="truth: expected a truth file or a DataFrame, got dict"):
        run.report(tmp_path / "no.html", truth={"1": "Ada"})  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"truth: 14 of its queries are not in "):
        run.report(tmp_path / "no.html", truth=truth.assign(image_id=[f"x{one}" for one in truth.image_id]))
