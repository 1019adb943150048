"""What is trained on: classes, sides, boxes, reduced copies, and what is held out."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from embedder_cases import drawn_table

from animalclef.config import DataConfig, EncounterConfig, SplitConfig
from animalclef.config.embedder_training import LabelConfig
from animalclef.data.encounters import find_encounters
from animalclef.data.hashing import hash_images
from animalclef.data.training_splits import split_rows
from animalclef.errors import DataError, TrainingError
from animalclef.features.embedding.preprocessing import Preprocessing
from animalclef.metrics.retrieval_metrics import RANKS, RetrievalFigures, SpeciesFigures
from animalclef.runtime.progress import Silent
from animalclef.structures import ImageTable
from animalclef.training.embedder.embedder_validation import embed_images, figures_row, hold_out
from animalclef.training.embedder.image_cache import cache_images
from animalclef.training.embedder.training_labels import TrainingSet, by_side, label_rows, named_rows


def strings(*values: str | None) -> np.ndarray:  # type: ignore[type-arg]
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def rows(root: Path = Path(), **columns: np.ndarray) -> ImageTable:  # type: ignore[type-arg]
    """Seven photographs: newts a (left, left, right, unknown side) and b (left), cat a, and a query."""
    given = {
        "image_id": strings(*"1234567"), "path": strings(*(f"{n}.png" for n in range(1, 8))),
        "dataset": strings(*["NewtID"] * 5, "CatID", "CatID"),
        "is_query": np.array([False] * 6 + [True]),
        "identity": strings("a", "a", "a", "a", "b", "a", None), "date": strings(*[""] * 7),
        "viewpoint": strings("left", "left", "right", "", "left", "", ""),
        "species": strings(*["newt"] * 5, "", ""), "encounter": strings(*[""] * 7),
        "bbox_xywhr": np.full((7, 5), np.nan, np.float32), "key": strings(*"1234567"),
    }  # fmt: skip
    return ImageTable(root=root, **{**given, **columns})  # type: ignore[arg-type]


def test_classes_are_the_individuals_of_each_data_set() -> None:
    learnt = label_rows(by_side(named_rows(rows(), LabelConfig()), LabelConfig()), LabelConfig(least_images=1))
    assert learnt.classes == ("CatID/a", "NewtID/a", "NewtID/b")
    assert learnt.label.tolist() == [1, 1, 1, 1, 2, 0]
    assert learnt.counts.tolist() == [1, 4, 1]
    assert learnt.species.tolist() == ["newt"] * 5 + ["CatID"]
    assert learnt.table.image_id.tolist() == list("123456")  # never the query


def test_sides_are_classes_where_they_are_known(caplog: pytest.LogCaptureFixture) -> None:
    config = LabelConfig(viewpoint_as_identity=True, least_images=1)
    named = named_rows(rows(), config)
    assert "1 photograph left out" in caplog.text
    assert named.image_id.tolist() == ["1", "2", "3", "5", "6"]
    assert set(named.identity) == {"a", "b"}
    learnt = label_rows(by_side(named, config), config)
    assert learnt.classes == ("CatID/a", "NewtID/a/left", "NewtID/a/right", "NewtID/b/left")
    assert learnt.label.tolist() == [1, 1, 2, 3, 0]
    cats = LabelConfig(viewpoint_as_identity=("CatID",))  # no cat's side is known, so all stay as they are
    assert len(named_rows(rows(), cats)) == 6
    assert by_side(named_rows(rows(), cats), cats).viewpoint.tolist() == [""] * 6


def test_data_sets_species_and_rare_classes_are_chosen() -> None:
    assert named_rows(rows(), LabelConfig(only=("CatID",))).image_id.tolist() == ["6"]
    species = LabelConfig(classes="species", least_images=1)
    assert label_rows(named_rows(rows(), species), species).classes == ("CatID", "newt")
    with pytest.raises(DataError, match=r"no data set DogID in .*; there are CatID, NewtID"):
        named_rows(rows(), LabelConfig(only=("DogID",)))
    with pytest.raises(DataError, match=r"1 of 3 individuals to train on have 2 photographs or more"):
        label_rows(named_rows(rows(), LabelConfig()), LabelConfig(least_images=2))


def test_a_query_cannot_be_in_a_training_set() -> None:
    with pytest.raises(ValueError, match="a query cannot be trained on"):
        TrainingSet(rows(), np.zeros(7, np.int64), ("a",), strings(*["x"] * 7))


def test_copies_are_cut_to_their_boxes_reduced_and_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    picture = np.zeros((60, 90, 3), np.uint8)
    picture[20:40, 30:70] = (0, 0, 255)  # red, in OpenCV's order
    for name in ("1", "2", "3", "4", "5", "6"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
    (tmp_path / "4.png").write_bytes(b"no picture")
    cv2.imwrite(str(tmp_path / "3.png"), np.repeat(np.repeat(picture, 4, axis=0), 4, axis=1))
    boxes = np.full((7, 5), np.nan, np.float32)
    boxes[0] = (30, 20, 40, 20, 0)
    boxes[1] = (40, 10, 20, 40, np.pi / 2)  # upright it is the same 40 x 20 pixels, turned by a quarter
    table = rows(tmp_path, bbox_xywhr=boxes, key=strings(*[""] * 7))
    named, aside = hash_images(named_rows(table, LabelConfig()), DataConfig(), 1, Silent())
    assert not aside
    pictures, broken = cache_images(named, tmp_path / "kept", 64, DataConfig(), 2, Silent())
    assert [(one.image_id, one.path) for one in broken] == [("4", "4.png")]
    assert "not a readable image" in broken[0].reason
    shapes = {image_id: pictures.pixels(key).shape[:2] for image_id, key in
              zip(named.image_id, named.key, strict=True) if image_id != "4"}  # fmt: skip
    assert shapes == {"1": (20, 40), "2": (40, 20), "3": (53, 80), "5": (53, 80), "6": (53, 80)}
    for place in (0, 1):
        assert (pictures.pixels(named.key[place])[2:-2, 2:-2] == (255, 0, 0)).all()
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").rglob("*.safetensors")}
    again, _ = cache_images(named, tmp_path / "kept", 64, DataConfig(), 1, Silent())
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").rglob("*.safetensors")} == files
    _, refused = cache_images(named, tmp_path / "other", 64, DataConfig(max_pixels=100), 1, Silent())
    assert len(refused) == 6
    _, refused = cache_images(named, tmp_path / "other", 64, DataConfig(), 1, Silent())
    assert [one.image_id for one in refused] == ["4"]  # too large is not for ever
    before = {key: pictures.pixels(key) for key in named.key[[0, 1, 2, 4, 5]]}
    shard = next(path for path in files if "pictures" in path.parts)
    content = bytearray(shard.read_bytes())
    content[-10] ^= 255
    shard.write_bytes(content)
    with caplog.at_level(logging.ERROR):
        again, _ = cache_images(named, tmp_path / "kept", 64, DataConfig(), 1, Silent())
    assert all(np.array_equal(again.pixels(key), pixels) for key, pixels in before.items())


def test_a_photograph_that_memory_is_too_short_for_ends_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((60, 90, 3), np.uint8))
    named = rows(tmp_path, key=strings(*[""] * 7)).select(np.array([0]))

    def short(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("animalclef.features.extract.read_image", short)
    named, _ = hash_images(named, DataConfig(), 1, Silent())
    with pytest.raises(DataError, match=r"1\.png: not enough memory to decode it\. Give fewer --workers"):
        cache_images(named, tmp_path / "kept", 64, DataConfig(), 1, Silent())


def test_a_data_set_called_mean_does_not_take_the_place_of_the_mean() -> None:
    ones = [SpeciesFigures(name, 1, 0, 1, 2, {f"rank-{k}": value for k in RANKS} | {"mAP": value})
            for name, value in (("cat", 0.5), ("mean", 1.0))]  # fmt: skip
    rows = figures_row(RetrievalFigures(tuple(ones)))
    assert {name: row["rank-1"] for name, row in rows.items()} == {"mean": 0.75, "cat": 0.5, "/mean": 1.0}


@pytest.mark.parametrize("workers", [1, 2])
def test_few_photographs_are_prepared_ahead_of_the_network(workers: int) -> None:
    """130 photographs of one brightness each, of which no more than a few wait beside the batch."""
    made: list[int] = []
    embedded: list[int] = []

    class Store:
        def pixels(self, key: str) -> np.ndarray:  # type: ignore[type-arg]
            made.append(int(key))
            return np.full((8, 8, 3), int(key), np.uint8)

    class Brightness(torch.nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            embedded.append(len(inputs))
            assert len(made) <= sum(embedded) + 2 * workers + 1
            return inputs.mean((2, 3))

    keys = strings(*(str(number) for number in range(130)))
    shown = Preprocessing((8, 8), (0.0,) * 3, (1 / 255,) * 3, "opencv-linear")
    found = embed_images(Brightness(), shown, Store(), keys, "cpu", nullcontext(), workers)  # type: ignore[arg-type]
    assert embedded == [64, 64, 2]
    assert np.allclose(found[:, 0], np.arange(130))


def test_what_is_held_out_is_measured_within_its_data_set(tmp_path: Path) -> None:
    table = drawn_table(tmp_path / "tiny")
    named, _ = hash_images(named_rows(table, LabelConfig()), DataConfig(), 1, Silent())
    encounter_of = find_encounters(named, {}, EncounterConfig()).of  # all are dated
    for kind in ("disjoint", "closed-set", "paper"):
        split = split_rows(named, encounter_of, SplitConfig(kind=kind, share=0.4, least_training=1), 0)
        held = hold_out(named, encounter_of, split, LabelConfig())
        who = np.array([f"{a}/{b}" for a, b in zip(held.table.dataset, held.table.identity, strict=True)])
        truth = np.array([[float(one == name) for name in sorted(set(who))] for one in who], np.float32)
        right = figures_row(held.measure(truth))
        assert right["mean"]["rank-1"] == right["mean"]["mAP"] == 1
        assert set(right) == {"mean", "CatID", "NewtID"}
        assert right["CatID"]["queries"] > 0
        assert figures_row(held.measure(np.ones_like(truth)))["mean"]["rank-1"] == 0
        learnt = set(named.image_id[split.train])
        assert not learnt & set(held.table.image_id[held.split.query])
    broken = np.where(np.arange(len(truth))[:, None] == 2, np.nan, truth)
    with pytest.raises(TrainingError, match=f"1 held-out .* not numbers .first image_id: {held.table.image_id[2]}"):
        held.measure(broken)
    species = hold_out(named, encounter_of, split, LabelConfig(classes="species"))
    assert set(species.species) == {"all"}
    assert set(species.identity) == {"CatID", "NewtID"}
