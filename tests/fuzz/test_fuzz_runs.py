"""A flipped byte in a run folder: the same answers, or one short sentence; never other answers.

A value of another kind in a run folder without digests, as of an earlier version: a run, or one short sentence.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from damage import MANY, hostile_cells, reads, with_a_wrong_value
from hypothesis import given
from hypothesis import strategies as st
from tiny_run import copy_run, make_tiny_run

from animalclef.store.finished_run import load_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    _, run = make_tiny_run(tmp_path_factory.mktemp("run"))
    return run


def told(run: Path) -> object:
    """Return what commands read of a run."""
    found = load_run(run).with_everything()
    ranked, predictions = found.ranked, found.predictions
    return (
        predictions.identity.tolist(), predictions.probability.tolist(), found.decision.model_dump_json(),
        ranked.gallery_id.tolist(), ranked.probability.tolist(), found.images.identity.tolist(), found.order,
        found.encounters, found.config.model_dump_json(), sorted(found.pseudo_queries),
        [part.same.tolist() for part in found.pseudo_queries.values()],
    )  # fmt: skip


@MANY
@given(data=st.data())
def test_a_flipped_byte(run: Path, data: st.DataObject) -> None:
    before = told(run)
    names = sorted(path.relative_to(run).as_posix() for path in run.iterdir() if path.is_file())
    path = run / data.draw(st.sampled_from([name for name in names if name != ".lock"]))
    content = path.read_bytes()
    if not content:
        return
    place = data.draw(st.integers(0, len(content) - 1))
    bit = data.draw(st.integers(0, 7))
    path.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])
    try:
        after = reads(lambda: told(run))
        assert after is None or after == before, path.name
    finally:
        path.write_bytes(content)


@pytest.fixture(scope="module")
def unsealed(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_run(run, tmp_path_factory.mktemp("unsealed") / "run")


@MANY
@given(data=st.data())
def test_a_wrong_value_in_the_json_of_a_run(unsealed: Path, data: st.DataObject) -> None:
    path = unsealed / data.draw(st.sampled_from(["finished.json", "decision.json", "timings.json"]))
    content = path.read_bytes()
    path.write_text(json.dumps(with_a_wrong_value(data, json.loads(content))))
    try:
        reads(lambda: told(unsealed))
    finally:
        path.write_bytes(content)


@MANY
@given(data=st.data(), cell=hostile_cells)
def test_a_hostile_cell_in_a_table_of_a_run(unsealed: Path, data: st.DataObject, cell: str) -> None:
    path = data.draw(st.sampled_from(sorted(unsealed.glob("*.csv"))))
    content = path.read_bytes()
    rows = list(csv.reader(io.StringIO(content.decode())))
    row = data.draw(st.integers(0, len(rows) - 1))
    rows[row][data.draw(st.integers(0, len(rows[row]) - 1))] = cell
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    path.write_bytes(text.getvalue().encode(errors="replace"))
    try:
        reads(lambda: told(unsealed))
    finally:
        path.write_bytes(content)
