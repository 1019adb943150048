"""A result is not written under the ending of another format."""

from __future__ import annotations

from pathlib import Path

import pytest

import animalclef as ac
from animalclef.errors import OutputError


def test_a_submission_is_csv(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"who\.xlsx: a submission is written as CSV, not as \.xlsx"):
        ac.load_run(tiny_run[1]).to_submission(tmp_path / "who.xlsx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["rep.pdf", "rep.docx", "rep.csv"])
def test_a_report_is_a_page_or_a_folder(tiny_run: tuple[Path, Path], tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=rf"{name}: a report is a page \(\.html\) or a folder\. Give a name with"):
        ac.load_run(tiny_run[1]).report(tmp_path / name)
    assert not list(tmp_path.iterdir())
