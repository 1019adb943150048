"""Damaged and missing photographs of a data set are skipped by the parts, and listed as in a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import TINY_SETTINGS, make_tiny_data

import animalclef as ac
from animalclef.errors import DataError

SMALL = {"words": 8, "dimensions": 16}


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> ac.Dataset:
    """Photographs of which the first is empty, the second is gone and the last is a text."""
    folder = make_tiny_data(
        tmp_path_factory.mktemp("damaged") / "data", datasets=("NewtID",), individuals=4, gallery_images=4
    )
    paths = ac.load_dataset(folder).photographs.path
    (folder / paths.iloc[0]).write_bytes(b"")
    (folder / paths.iloc[1]).unlink()
    (folder / paths.iloc[-1]).write_bytes(b"no photograph")
    return ac.load_dataset(folder)


def test_an_embedder_leaves_out_their_rows_and_lists_them_as_a_run_does(
    damaged: ac.Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    embeddings = ac.Embedder("rootsift-vlad", **SMALL).embed(damaged)
    table = damaged.photographs
    assert embeddings.image_id.tolist() == table.image_id.iloc[2:-1].tolist()
    config = ac.load_config(None, *TINY_SETTINGS, "data.max_missing=1")
    run = ac.predict(damaged, config=config, run_dir=tmp_path / "run", workers=1)
    listed = [(one.image_id, one.path, one.split, one.reason) for one in embeddings.skipped]
    assert listed == list(run.skipped.itertuples(index=False, name=None))
    assert [one.reason for one in embeddings.skipped][:2] == ["the file is empty", "no such file"]
    assert f"3 photographs were skipped (first: {table.path.iloc[0]}: the file is empty)." in caplog.messages


def test_what_is_left_can_be_searched_and_scored(damaged: ac.Dataset) -> None:
    embeddings = ac.Embedder("rootsift-vlad", **SMALL).embed(damaged)
    assert len(ac.retrieve(embeddings, embeddings, k=3).index) == len(damaged) - 3
    identity = damaged.photographs.set_index("image_id").identity.loc[embeddings.image_id]
    assert 0 <= ac.retrieval_metrics(embeddings, list(identity)).mean["rank-1"] <= 1


def test_local_features_stay_one_for_each_row(damaged: ac.Dataset) -> None:
    features = ac.LocalFeatureExtractor("sift", max_keypoints=50).extract(damaged)
    assert len(features) == len(damaged)
    assert [row for row, one in enumerate(features) if not len(one)] == [0, 1, len(damaged) - 1]
    matches = ac.Matcher().match(features[0], features[2])
    assert (len(matches), matches.inliers) == (0, 0)


def test_masks_are_left_out(damaged: ac.Dataset) -> None:
    masks = ac.segment(damaged, model="grabcut")
    assert len(masks) == len(masks.image_id) == len(damaged) - 3
    assert [one.path for one in masks.skipped] == damaged.photographs.path.iloc[[0, 1, -1]].tolist()


def test_one_that_is_given_by_itself_is_an_error(damaged: ac.Dataset) -> None:
    bad = damaged.root / damaged.photographs.path.iloc[-1]
    for call in (ac.Embedder("rootsift-vlad", **SMALL).embed, ac.LocalFeatureExtractor().extract):
        for given in (bad, [bad]):
            with pytest.raises(DataError, match="not a readable image"):
                call(given)


def test_a_data_set_without_a_usable_photograph_is_an_error(tmp_path: Path) -> None:
    folder = make_tiny_data(tmp_path / "data", datasets=("NewtID",), individuals=2)
    dataset = ac.load_dataset(folder)
    for path in dataset.photographs.path:
        (folder / path).write_bytes(b"")
    sentence = r"No photograph of the data set can be used \(first: .*: the file is empty\)"
    for call in (ac.Embedder("rootsift-vlad", **SMALL).embed, ac.LocalFeatureExtractor().extract):
        with pytest.raises(DataError, match=sentence):
            call(dataset)
    with pytest.raises(DataError, match=sentence):
        ac.segment(dataset, model="grabcut")


def test_a_box_outside_the_photograph_is_the_reason(tmp_path: Path) -> None:
    folder = make_tiny_data(tmp_path / "data", datasets=("NewtID",), individuals=2)
    table = ac.load_dataset(folder).table
    boxes = table.images.bbox_xywhr.copy()
    boxes[0] = (100_000, 0, 10, 10, 0)
    boxed = replace(table, images=table.images.with_columns(bbox_xywhr=boxes))
    embeddings = ac.Embedder("rootsift-vlad", **SMALL).embed(ac.Dataset(boxed))
    assert "lies outside the photograph" in embeddings.skipped[0].reason
    assert np.isfinite(embeddings.values).all()
