"""Pseudo-queries come back from a run folder as they were, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rows import Row, image_table

from animalclef.data.pseudo_query import OpenSetSplits, PseudoQueries
from animalclef.decision.pseudo_query_scores import lay_out
from animalclef.errors import StaleArtefactError
from animalclef.store.pseudo_query_file import Stamp, holds_pseudo_queries, read_pseudo_queries, write_pseudo_queries
from animalclef.store.run_folder import RunFolder
from animalclef.structures import PairScores


def strings(*values: str) -> np.ndarray:
    return np.array(values, dtype=object)


def case() -> PseudoQueries:
    """g0 sees g1 (itself) and g2; g2 sees g0 alone, without a number of inliers."""
    gallery = image_table([Row("g0", "Ünal"), Row("g1", "Ünal"), Row("g2", "b")])
    roles = (np.array([[True, False]]), np.array([[False, True]]))
    splits = OpenSetSplits(strings("g0", "g2"), strings("Ünal", "b"), *roles)
    columns = {
        "similarity": np.array([0.9, 0.25, 0.125], np.float32),
        "inliers": np.array([31, 4, np.nan], np.float32),
    }
    scores = PairScores(strings("g0", "g0", "g2"), strings("g1", "g2", "g0"), columns)
    return lay_out(scores, gallery, splits, top_k=1, encounter_of={"g0": "a", "g1": "b", "g2": "c"})


def same(one: PseudoQueries, other: PseudoQueries) -> None:
    for name in ("same", "agrees", "as_known", "as_unknown", "one_more", "gallery_id", "identity"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for name in ("image_id", "identity", "is_known", "is_unknown"):
        np.testing.assert_array_equal(getattr(one.splits, name), getattr(other.splits, name), err_msg=name)
    assert list(one.columns) == sorted(other.columns)
    for name, values in one.columns.items():
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, other.columns[name], err_msg=name)


def test_candidates_are_named_where_they_are_laid_out() -> None:
    part = case()
    assert part.gallery_id is not None
    assert part.identity is not None
    assert part.gallery_id.tolist() == [["g1", "g2"], ["g0", None]]
    assert part.identity.tolist() == [["Ünal", "b"], ["Ünal", None]]
    assert part.as_known.tolist() == [[True, False], [True, False]]
    assert part.as_unknown.tolist() == [[False, True], [True, False]]
    assert part.select(np.array([1])).gallery_id.tolist() == [["g0", None]]  # type: ignore[union-attr]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    nobody = PseudoQueries({"similarity": np.zeros((0, 1), np.float32)}, *(np.zeros((0, 1), bool),) * 4,
                           OpenSetSplits(strings(), strings(), *(np.zeros((0, 0), bool),) * 2))  # fmt: skip
    write_pseudo_queries(run, {"newt": case(), "lynx/1": nobody}, Stamp())
    back = read_pseudo_queries(run)
    assert list(back) == ["lynx/1", "newt"]
    same(back["newt"], case())
    assert (len(back["lynx/1"]), back["lynx/1"].gallery_id) == (0, None)


def test_the_same_pseudo_queries_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_pseudo_queries(RunFolder(tmp_path / name), {"newt": case()}, Stamp("one", "two", "three"))
    first, second = (tmp_path / name / "validation.safetensors" for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_absent_ones_name_the_command_that_makes_them(tmp_path: Path) -> None:
    with pytest.raises(StaleArtefactError, match=r"no stored pseudo-queries.*animalclef predict --run"):
        read_pseudo_queries(RunFolder(tmp_path))
    assert not holds_pseudo_queries(RunFolder(tmp_path), "one")


def test_a_run_of_cluster_is_not_to_be_made_again_by_predict(tmp_path: Path) -> None:
    (tmp_path / "finished.json").write_text('{"made_by": "cluster"}')
    sentence = r"a run of `cluster` has no decision to tune or to fuse; use another folder for predict"
    with pytest.raises(StaleArtefactError, match=sentence):
        read_pseudo_queries(RunFolder(tmp_path))
    assert RunFolder(tmp_path).again.startswith(f"Run `animalclef cluster --run {tmp_path}` again")


@pytest.mark.parametrize("damage", ["last", "name", "cut", "empty", "text"])
def test_damage_is_noticed(tmp_path: Path, damage: str) -> None:
    run = RunFolder(tmp_path)
    write_pseudo_queries(run, {"newt": case()}, Stamp("one"))
    assert holds_pseudo_queries(run, "one")
    assert not holds_pseudo_queries(run, "other")
    path = tmp_path / "validation.safetensors"
    content = path.read_bytes()
    changed = {
        "last": content[:-1] + bytes([content[-1] ^ 1]),
        "name": content.replace(b"g2", b"g9"),
        "cut": content[: len(content) // 2],
        "empty": b"",
        "text": b"not a file of arrays",
    }[damage]
    assert changed != content
    path.write_bytes(changed)
    with pytest.raises(StaleArtefactError, match=r"damaged.*animalclef predict --run"):
        read_pseudo_queries(run)
    assert not holds_pseudo_queries(run, "one")


def test_pseudo_queries_of_other_scores_than_the_runs_results_are_refused(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    write_pseudo_queries(run, {"newt": case()}, Stamp("one", "scores", "data"))
    assert list(read_pseudo_queries(run)) == ["newt"]  # nothing is finished yet
    run.finished.write_text(json.dumps({"scores": "scores", "data": "data"}))
    assert list(read_pseudo_queries(run)) == ["newt"]
    run.finished.write_text(json.dumps({"scores": "older", "data": "data"}))
    with pytest.raises(StaleArtefactError, match="other settings or data"):
        read_pseudo_queries(run)
