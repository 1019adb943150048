"""A flipped byte in a run folder: the same answers, or one short sentence; never other answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from damage import FEW, reads
from hypothesis import given
from hypothesis import strategies as st
from tiny_run import make_tiny_run

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


@FEW
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
