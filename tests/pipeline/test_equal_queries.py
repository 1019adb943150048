"""Queries that are the same file are reported, and answered as they are without the report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny import TINY_SETTINGS, make_tiny_data
from typer.testing import CliRunner

import animalclef as ac
from animalclef.cli import app
from animalclef.data.hashing import equal_queries
from animalclef.structures import ImageTable


def table_of(keys: str, datasets: str, queries: str) -> ImageTable:
    """One photograph per letter: its key, its data set, and whether it is a query (q)."""
    names = [f"{row}.jpg" for row in range(len(keys))]
    return ImageTable.of_lists(
        Path(), [one == "q" for one in queries], image_id=names, path=names, dataset=list(datasets), key=list(keys),
        identity=[None if one == "q" else "Ada" for one in queries],
    )  # fmt: skip


def test_a_sentence_counts_them_and_names_the_first_three() -> None:
    assert equal_queries(table_of("abab", "NNNN", "qqgg")) == []  # a query may be in the database
    assert equal_queries(table_of("aa", "NC", "qq")) == []
    assert equal_queries(table_of("aba", "NNN", "qqq")) == [
        "1 query has the same photograph as an earlier one: 2.jpg (same as 0.jpg). Each gets its own answer."
    ]
    assert equal_queries(table_of("aabaaa", "NNNNNN", "qqqqqq")) == [
        "4 queries have the same photograph as an earlier one: 1.jpg (same as 0.jpg), 3.jpg (same as 0.jpg), "
        "4.jpg (same as 0.jpg) and 1 more. Each gets its own answer."
    ]
    unread = table_of("aa", "NN", "qq").with_columns(key=np.array(["", ""], dtype=object))
    assert equal_queries(unread) == []


@pytest.fixture
def twice(tmp_path: Path) -> tuple[Path, str]:
    """A data set whose last query is a copy of its first one, and the sentence about it."""
    folder = make_tiny_data(tmp_path / "data", datasets=("NewtID",), individuals=4, gallery_images=4)
    table = ac.load_dataset(folder).photographs
    first, *_, last = table.path[table.split == "query"]
    shutil.copy(folder / first, folder / last)
    told = f"1 query has the same photograph as an earlier one: {last} (same as {first}). Each gets its own answer."
    return folder, told


def test_inspect_and_a_run_report_them(twice: tuple[Path, str], tmp_path: Path) -> None:
    data, sentence = twice
    shown = CliRunner().invoke(app, ["inspect", "--data", str(data)])
    assert sentence in " ".join(shown.stderr.split())
    run = ac.predict(data, config=ac.load_config(None, *TINY_SETTINGS), run_dir=tmp_path / "run", workers=1)
    assert run.summary["warnings"].count(sentence) == 1
    run.to_submission(tmp_path / "who.csv")
    assert sentence in json.loads((tmp_path / "who.metrics.json").read_bytes())["warnings"]
    assert len(run.predictions) == len(ac.load_dataset(data).table.images.queries)


def test_inspect_reads_no_other_file_whole(twice: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    data, _ = twice
    table = ac.load_dataset(data).photographs
    queries = table.path[table.split == "query"].tolist()
    for number, path in enumerate(queries[1:-1], 1):
        with (data / path).open("ab") as file:
            file.write(bytes(100_000 * number))  # a size of its own
    read: list[str] = []
    from animalclef.data import hashing

    original = hashing.read_regular
    monkeypatch.setattr(hashing, "read_regular", lambda path: read.append(path.name) or original(path))
    assert CliRunner().invoke(app, ["inspect", "--data", str(data)]).exit_code == 0
    assert sorted(read) == sorted(Path(one).name for one in (queries[0], queries[-1]))
