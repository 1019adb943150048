"""An embedder's file says what it was trained on, and that does not play the query."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from embedder_cases import TINY_TRAINING
from tiny import make_tiny_data, read_csv, write_csv
from whole_run import predict

from animalclef.config import DataConfig, SplitConfig, load_config
from animalclef.config.embedder_training import EmbedderNetworkConfig, TrainConfig
from animalclef.data.hashing import hash_images, photograph_keys
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.errors import ConfigError
from animalclef.features.embedding.embedder_registry import trained_on_keys
from animalclef.pipeline.embed_only import Embedding, evaluate_embedder
from animalclef.runtime.progress import Silent
from animalclef.store.pseudo_query_file import read_pseudo_queries
from animalclef.store.run_folder import RunFolder
from animalclef.structures import ImageTable
from animalclef.training.embedder.embedder_training import train_embedder
from animalclef.training.embedder.trained_network import build_trained, save_embedder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight known cats with three photographs each, and queries."""
    return make_tiny_data(tmp_path_factory.mktemp("learnt") / "data", datasets=("CatID",), individuals=8)


def gallery(data: Path) -> ImageTable:
    return hash_images(load_table(find_source(data)).images.gallery, DataConfig(), 1, Silent())[0]


def network_file(folder: Path, learnt: list[str]) -> Path:
    torch.manual_seed(0)
    network = build_trained(EmbedderNetworkConfig(**{**TINY_TRAINING["network"]}))  # type: ignore[arg-type]
    save_embedder(folder / "mine.safetensors", network.module.state_dict(), network, learnt)
    return folder / "mine.safetensors"


def pseudo_queries(data: Path, run: Path, network: Path) -> set[str]:
    predict(data, run, f"embed.model=file:{network}")
    return set(read_pseudo_queries(RunFolder(run))["CatID"].splits.image_id)


def test_what_was_not_learnt_plays_the_query(data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = gallery(data)
    learnt = [key for row, key in enumerate(photograph_keys(images, 1)) if row % 2]
    network = network_file(tmp_path, learnt)
    assert trained_on_keys(network) == set(learnt)
    with caplog.at_level(logging.WARNING):
        played = pseudo_queries(data, tmp_path / "run", network)
    assert played == set(images.image_id[::2])
    assert "flatters" not in caplog.text


def test_where_all_was_learnt_a_warning_says_so(data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = gallery(data)
    with caplog.at_level(logging.WARNING):
        played = pseudo_queries(data, tmp_path / "run", network_file(tmp_path, photograph_keys(images, 1)))
    assert played == set(images.image_id)
    told = "CatID: the embedder was trained on 24 of the 24 database photographs, and too few are left"
    assert told in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        pseudo_queries(data, tmp_path / "run", tmp_path / "mine.safetensors")  # nothing is tuned again, but told again
    assert told in caplog.text


def test_singletons_alone_do_not_play_the_query(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = make_tiny_data(tmp_path / "data", datasets=("CatID",), individuals=20, gallery_images=2)
    rows = [row for row in read_csv(data / "metadata.csv") if not (row["path"].endswith("_1.jpg") and row["identity"])
            or int(row["identity"].split("_")[1]) < 6]  # fmt: skip
    write_csv(data / "metadata.csv", list(rows[0]), [list(row.values()) for row in rows])
    images = gallery(data)
    often = [who for who, count in Counter(images.identity).items() if count > 1]
    assert (len(images), len(often)) == (26, 6)
    keys = np.array(photograph_keys(images, 1), dtype=object)
    network = network_file(tmp_path, keys[np.isin(images.identity.astype(str), often)].tolist())
    with caplog.at_level(logging.WARNING):
        played = pseudo_queries(data, tmp_path / "run", network)
    assert played == set(images.image_id)
    assert "trained on 12 of the 26 database photographs, and too few are left" in caplog.text


def test_another_run_can_leave_out_what_an_embedder_learnt(data: Path, tmp_path: Path) -> None:
    images = gallery(data)
    network = network_file(tmp_path, photograph_keys(images, 1)[::2])
    played = pseudo_queries(data, tmp_path / "tuned", network)
    predict(data, tmp_path / "plain", f"decide.not_learnt_by=[{network}]")
    assert set(read_pseudo_queries(RunFolder(tmp_path / "plain"))["CatID"].splits.image_id) == played
    with pytest.raises(ConfigError, match="no-file: expected a file of `animalclef train`"):
        predict(data, tmp_path / "plain", "decide.not_learnt_by=[no-file]")


@pytest.mark.parametrize("split", [None, "closed-set"])
def test_figures_of_learnt_photographs_are_told_to_flatter(
    split: str | None, data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parts = None if split is None else SplitConfig(kind="closed-set", share=0.5, least_training=1)
    images = gallery(data)
    network = network_file(tmp_path, photograph_keys(images, 1))
    config = load_config(None, [f"embed.model=file:{network}"])
    embedding = Embedding(config, "cpu", 1, Silent(), run=tmp_path / "run")
    with caplog.at_level(logging.WARNING):
        figures, _ = evaluate_embedder(load_table(find_source(data)), embedding, parts, hide_events=True)
    asked = sum(one.queries for one in figures.species)
    assert f"The embedder was trained on {asked} of these {asked} queries: figures flatter it." in caplog.text


def test_a_box_does_not_hide_what_was_learnt(data: Path) -> None:
    whole = gallery(data)
    boxes = np.tile(np.array([5, 5, 60, 40, 0], np.float32), (len(whole), 1))
    boxed, _ = hash_images(whole.with_columns(bbox_xywhr=boxes), DataConfig(), 1, Silent())
    assert set(boxed.key).isdisjoint(whole.key)
    assert photograph_keys(boxed, 1) == photograph_keys(whole, 2) == whole.key.tolist()
    gone = whole.with_columns(root=Path("nowhere"), key=np.full(len(whole), "", dtype=object))  # type: ignore[arg-type]
    assert set(photograph_keys(gone, 1)) == {""}


def test_a_training_writes_what_it_and_its_start_learnt(data: Path, tmp_path: Path) -> None:
    images = gallery(data)
    other = tmp_path / "other" / "a.jpg"
    other.parent.mkdir()
    cv2.imwrite(str(other), np.zeros((40, 60, 3), np.uint8))
    config = TrainConfig.model_validate(
        {**TINY_TRAINING, "epochs": 1, "validation": {"split": {"kind": "disjoint", "share": 0.3}}}
    )
    start = network_file(tmp_path, ["ab12"])
    trained = train_embedder(config, images, tmp_path / "out", start=start, device="cpu", workers=1, progress=Silent())
    learnt = trained_on_keys(trained.path)
    assert "ab12" in learnt
    assert 0 < len(learnt) - 1 < len(images)
    assert learnt - {"ab12"} < set(images.key)


def test_other_files_learnt_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(b"nothing")
    assert trained_on_keys(tmp_path / "x.pth") == trained_on_keys(tmp_path / "none") == frozenset()
    assert trained_on_keys(network_file(tmp_path, [])) == frozenset()
