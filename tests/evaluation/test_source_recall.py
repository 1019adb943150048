"""Recall of each source of candidates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from rows import Row, image_table, strings
from tiny import write_csv

from animalclef.data.submission import Truth
from animalclef.evaluation.evaluate import recall_of_sources
from animalclef.pipeline.candidate_search import ranks_of_sources
from animalclef.store.finished_run import _read
from animalclef.structures import Shortlist

NAN = np.nan


def test_recall_by_hand() -> None:
    truth = Truth(
        strings("q", "r", "s"), strings("a", "b", "z"), strings("newt", "newt", "newt"), np.array([1, 1, 0], bool)
    )
    rows = [("q", "a", 11, 1), ("q", "a", NAN, 3), ("q", "b", 1, 2), ("r", "b", NAN, NAN), ("s", "z", 1, 1)]
    sources = pd.DataFrame(rows, columns=["query_id", "identity", "embedding", "vote"])
    embedding, vote = recall_of_sources(sources, truth)
    assert (embedding.source, embedding.queries) == ("embedding", 2)
    assert list(embedding.recall.values()) == [0, 0, 0.5, 0.5]
    assert vote.recall == {"recall@1": 0.5, "recall@10": 0.5, "recall@25": 0.5, "recall@100": 0.5}


def test_ranks_of_sources_by_hand() -> None:
    images = image_table([Row("q"), Row("r"), Row("g0", "a"), Row("g1", "b"), Row("g2", "c")])

    def listed(rows: list[list[int]]) -> Shortlist:
        index = np.array(rows, dtype=np.int32)
        return Shortlist(images.queries.image_id, images.gallery.image_id, index, np.zeros(index.shape, np.float32))

    lists = {
        "embedding": listed([[2, 1], [0, -1]]),
        "vote": listed([[1, 0], [-1, -1]]),
        "shortlist": listed([[2, 1], [0, -1]]),
    }
    frame = ranks_of_sources(lists, images)
    expected = [
        ["q", "g2", "c", 1, NAN, 1], ["q", "g1", "b", 2, 1, 2],
        ["q", "g0", "a", NAN, 2, NAN], ["r", "g0", "a", 1, NAN, 1],
    ]  # fmt: skip
    columns = ["query_id", "gallery_id", "identity", "embedding", "vote", "shortlist"]
    pd.testing.assert_frame_equal(frame, pd.DataFrame(expected, columns=columns), check_dtype=False)


def test_nobody_named_anybody() -> None:
    images = image_table([Row("q"), Row("g0", "a")])
    empty = Shortlist(strings("q"), strings("g0"), np.full((1, 2), -1, np.int32), np.full((1, 2), NAN, np.float32))
    frame = ranks_of_sources({"embedding": empty, "shortlist": empty}, images)
    assert list(frame.columns) == ["query_id", "gallery_id", "identity", "embedding", "shortlist"]
    truth = Truth(strings("q"), strings("a"), strings("newt"), np.array([True]))
    assert [list(one.recall.values()) for one in recall_of_sources(frame, truth)] == [[0] * 4] * 2


def test_ranks_read_back_from_a_file_with_gaps(tmp_path: Path) -> None:
    rows = [("q", "g0", "a", "1", ""), ("q", "g1", "b", "", "1")]
    path = write_csv(tmp_path / "sources.csv", ("query_id", "gallery_id", "identity", "embedding", "vote"), rows)
    sources = _read(path, ("query_id",))
    truth = Truth(strings("q"), strings("a"), strings("newt"), np.array([True]))
    found = {one.source: one.recall["recall@100"] for one in recall_of_sources(sources, truth)}
    assert found == {"embedding": 1.0, "vote": 0.0}
