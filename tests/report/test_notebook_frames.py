"""Frames for notebooks, against what was drawn."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny import read_csv
from whole_run import predict

from animalclef.evaluation.evaluate import evaluate_run
from animalclef.report import FinishedRun, Matches, load_run
from animalclef.report.notebook_frames import (
    answers_of,
    embeddings_of,
    errors_frame,
    leaks_frame,
    match_places,
    nearest,
    photographs_frame,
    recall_frame,
)


@pytest.fixture
def run(tiny_run: tuple[Path, Path]) -> FinishedRun:
    return load_run(tiny_run[1])


def test_photographs_are_counted_with_their_sizes(run: FinishedRun) -> None:
    frame = photographs_frame(run)
    assert len(frame) == 2 * (5 * 4 + 5 + 2)
    assert (frame["used"].sum(), int(frame["width"].isna().sum())) == (len(frame) - 1, 1)  # one is no photograph
    sized = frame.dropna(subset="width")
    assert sized["width"].between(160, 200).all()
    assert sized["height"].between(120, 155).all()


def test_embeddings_are_those_that_the_run_ranked_by(run: FinishedRun) -> None:
    embeddings = embeddings_of(run, "NewtID")
    assert embeddings is not None
    query = next(one for one in run.images.queries.image_id if one in set(embeddings.image_id))
    gallery = run.images.gallery.image_id
    own = run.rows_of[query]
    stated = dict(zip(run.ranked.gallery_id[own], run.ranked.columns["similarity"][own], strict=True))
    found = nearest(embeddings, query, gallery, most=3)
    assert [name for name, _ in found] == sorted(stated, key=lambda name: -stated[name])[:3]
    assert [likeness for _, likeness in found] == pytest.approx([stated[name] for name, _ in found], abs=1e-5)
    assert embeddings_of(run, "nobody") is None


def test_recall_grows_with_the_list(run: FinishedRun, tiny_run: tuple[Path, Path]) -> None:
    answers = answers_of(run, tiny_run[0] / "truth.csv")
    assert answers is not None
    frame = recall_frame(run, answers)
    assert set(frame["score"]) == {*run.ranked.columns, "probability", "identity_probability"}
    truth = tiny_run[0] / "truth.csv"
    ranks = {one.dataset: one.measures["rank-1"].mean for one in evaluate_run(run, truth).groups}
    first = frame[(frame["score"] == "identity_probability") & (frame["k"] == 1)]
    assert dict(zip(first["dataset"], first["recall"], strict=True)) == pytest.approx(ranks)
    for _, part in frame.groupby(["dataset", "score"]):
        assert part["recall"].is_monotonic_increasing
    last = frame[frame["k"] == 100]["recall"]
    assert (last == 1).all()  # the whole gallery was a candidate
    assert answers_of(run, None) is None
    assert answers_of(run, tiny_run[0] / "none.csv") is None


def test_errors_stand_beside_what_may_explain_them(run: FinishedRun, tiny_run: tuple[Path, Path]) -> None:
    answers = answers_of(run, tiny_run[0] / "truth.csv")
    assert answers is not None
    frame = errors_frame(run, answers, photographs_frame(run)).set_index("image_id")
    known = frame[frame["gallery_images"] > 0]
    assert set(known["gallery_images"]) == {4}
    assert set(known["days"]) == {30}  # the fourth month's photograph is the gallery's last, the query the fifth's
    assert frame.loc[frame["gallery_images"] == 0, "days"].isna().all()
    assert not frame["other_viewpoint"].any()


def test_places_of_matches_lie_on_the_photograph(run: FinishedRun) -> None:
    pairs = [(query, run.ranked.gallery_id[own.start]) for query, own in list(run.rows_of.items())[:3]]
    places = match_places(run, pairs)
    found = [Matches(run).of(*pair) for pair in pairs]
    assert len(places) == sum(int(one.is_inlier.sum()) for one in found if one is not None)
    assert ((places >= 0) & (places <= 1)).all()
    assert match_places(run, []).shape == (0, 2)


def test_a_query_that_is_in_the_gallery_leaks(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    assert len(leaks_frame(load_run(tiny_run[1]), correlation=0.999)) == 0
    data = Path(shutil.copytree(tiny_run[0], tmp_path / "data"))
    rows = read_csv(data / "metadata.csv")
    query = next(row for row in rows if row["split"] == "query")
    shown = next(row for row in rows if row["split"] == "database")
    shutil.copyfile(data / shown["path"], data / query["path"])
    predict(data, tmp_path / "run", "rerank.matcher=none")
    found = leaks_frame(load_run(tmp_path / "run"), correlation=0.999)
    assert found[["query_id", "gallery_id", "same_file"]].to_numpy().tolist() == [
        [query["image_id"], shown["image_id"], True]
    ]
    assert found["correlation"][0] == pytest.approx(1)
    assert np.isfinite(found["correlation"]).all()
