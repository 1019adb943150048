"""Upright keypoints: chosen where photographs are never turned, kept apart from others, and carried by a decision."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny import TINY_SETTINGS, make_tiny_data, read_csv
from typer.testing import CliRunner
from whole_run import predict

from animalclef.catalogue.recogniser import Machine
from animalclef.catalogue.seasons import create_catalogue
from animalclef.cli.app import app
from animalclef.config import DataConfig, load_config
from animalclef.data.hashing import hash_images
from animalclef.data.pseudo_query import OpenSetSplits, PseudoQueries
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.errors import ConfigError
from animalclef.features.local.keypoint_network import DETECTORS
from animalclef.pipeline.choose_upright import UprightTrial, upright_gain
from animalclef.report.match_view import Matches
from animalclef.runtime.progress import Silent
from animalclef.store.finished_run import load_run
from animalclef.store.shard_store import ShardStore
from animalclef.structures import ImageTable

SETTINGS = ("prepare.mode=whole", "decide.trials=2", "prepare.trial_queries=24")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Newts are hardly turned; cats lie at any angle."""
    folder = make_tiny_data(tmp_path_factory.mktemp("upright") / "data", individuals=12, gallery_images=4)
    for number, row in enumerate(read_csv(folder / "metadata.csv")):
        if row["dataset"] == "CatID":
            path = folder / row["path"]
            picture = cv2.imread(str(path))
            height, width = picture.shape[:2]
            turn = cv2.getRotationMatrix2D((width / 2, height / 2), 75.0 * number, 1.0)
            cv2.imwrite(str(path), cv2.warpAffine(picture, turn, (width, height), borderMode=cv2.BORDER_REFLECT))
    return folder


@pytest.fixture(scope="module")
def chosen(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    run = tmp_path_factory.mktemp("chosen") / "run"
    return run, predict(data, run, *SETTINGS)


def test_a_data_set_without_turns_is_described_upright(chosen: tuple[Path, bytes]) -> None:
    run, _ = chosen
    record = json.loads((run / "prepare.json").read_text())["datasets"]
    assert record["NewtID"]["upright"] is True
    assert record["NewtID"]["upright_gain"] > record["NewtID"]["upright_error"] > 0
    assert record["CatID"]["upright"] is False
    assert record["CatID"]["upright_gain"] < 0
    assert load_run(run).config.keypoints.upright == ("NewtID",)


def test_what_is_chosen_is_what_can_be_asked_for(data: Path, chosen: tuple[Path, bytes], tmp_path: Path) -> None:
    run, submission = chosen
    assert predict(data, tmp_path / "asked", *SETTINGS, "keypoints.upright=[NewtID]") == submission
    decided = [(one / "decision.json").read_bytes() for one in (run, tmp_path / "asked")]
    assert decided[0] == decided[1]
    predict(data, tmp_path / "turned", *SETTINGS, "keypoints.upright=false")
    assert (tmp_path / "turned" / "candidates.csv").read_bytes() != (run / "candidates.csv").read_bytes()


def test_a_data_set_that_the_table_does_not_hold_stops_the_run(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"keypoints\.upright: the table has no data set KatID; it has CatID, NewtID"):
        predict(data, tmp_path / "run", *SETTINGS, "keypoints.upright=[KatID]")


def test_no_auto_tries_nothing_but_leaves_what_is_asked_for(data: Path, tmp_path: Path) -> None:
    def made(name: str, *more: str) -> object:
        settings = [part for one in (*TINY_SETTINGS, *more) for part in ("--set", one)]
        arguments = [
            "predict",
            "--data",
            str(data),
            "--run",
            str(tmp_path / name),
            "--out",
            str(tmp_path / f"{name}.csv"),
        ]
        result = CliRunner().invoke(app, [*arguments, "--no-auto", "--no-ledger", *settings], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return load_run(tmp_path / name).config.keypoints.upright

    assert made("plain") is False
    assert made("asked", "keypoints.upright=[CatID]") == ("CatID",)


def test_a_second_run_tries_nothing_again(data: Path, chosen: tuple[Path, bytes]) -> None:
    run, submission = chosen
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.parent.name in ("preparations", "pairs")}
    assert predict(data, run, *SETTINGS) == submission
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_decision_says_what_is_described_upright(data: Path, chosen: tuple[Path, bytes], tmp_path: Path) -> None:
    run, submission = chosen
    assert json.loads((run / "decision.json").read_text())["preparation"]["upright"] == ["NewtID"]
    assert predict(data, tmp_path / "applied", "prepare.mode=whole", decision=run / "decision.json") == submission


def test_matches_that_are_drawn_are_those_of_the_run(chosen: tuple[Path, bytes]) -> None:
    run = load_run(chosen[0])
    view, seen = Matches(run), set()
    best = run.candidates.groupby("query_id").head(1)
    for query_id, gallery_id, matches in zip(best["query_id"], best["gallery_id"], best["matches"], strict=True):
        found = view.of(str(query_id), str(gallery_id))
        assert found is not None
        assert len(found) == matches
        seen.add(run.images.dataset[run.images.row_of[str(query_id)]])
    assert seen == {"CatID", "NewtID"}
    features = view.features(str(run.images.image_id[run.images.dataset == "NewtID"][0]))
    assert features is not None
    assert not features.orientation_rad.any()


def test_views_of_upright_photographs_are_upright_too(data: Path, tmp_path: Path) -> None:
    predict(data, tmp_path / "run", *SETTINGS, "keypoints.upright=true", "keypoints.views={CatID: [rot90]}")
    stores = {path.name.partition("-")[2]: path for path in (tmp_path / "run" / "keypoints").iterdir()}
    assert set(stores) == {"upright", "rot90-upright"}
    for path in stores.values():
        store = ShardStore(path, path.name)
        keys = [key for key in load_run(tmp_path / "run").images.key if key in store]
        assert keys
        assert not any(store.get(key)["orientation_rad"].any() for key in keys)


def _pseudo_queries(own: list[float], stranger: list[float]) -> PseudoQueries:
    count = len(own)
    columns = {"inliers": np.stack([own, stranger], axis=1).astype(np.float32)}
    same = np.tile([True, False], (count, 1))
    everything = np.ones_like(same)
    names = np.array([str(row) for row in range(count)], dtype=object)
    who = np.array([f"animal {row // 2}" for row in range(count)], dtype=object)
    known = np.ones((1, count), dtype=bool)
    return PseudoQueries(columns, same, everything, everything, everything, OpenSetSplits(names, who, known, ~known))


def test_the_gain_is_the_mean_change_of_the_log_ratio() -> None:
    turned = _pseudo_queries([3.0] * 20, [1.0] * 20)
    upright = _pseudo_queries([7.0, 3.0] * 10, [1.0] * 20)
    trial = upright_gain(turned, upright)
    assert trial is not None
    assert trial.gain == pytest.approx(np.log(2) / 2)
    assert trial.error == pytest.approx(0.0, abs=1e-12)  # every individual gains the same
    assert trial.is_better


def test_nothing_is_said_where_too_few_can_be_compared() -> None:
    few = _pseudo_queries([3.0] * 15, [1.0] * 15)
    assert upright_gain(few, few) is None
    same = _pseudo_queries([3.0] * 20, [1.0] * 20)
    assert upright_gain(same, same) == UprightTrial(0.0, 0.0)
    assert not UprightTrial(0.0, 0.0).is_better


@pytest.mark.parametrize("first", ["sift", "aliked-t16"])
def test_a_network_beside_sift_keeps_its_own_features(data: Path, tmp_path: Path, first: str) -> None:
    """Upright keypoints are SIFT's; where a network comes first, its settings decide and nothing is upright."""
    weights = tmp_path / "aliked.pth"
    torch.manual_seed(0)
    torch.save(DETECTORS["aliked"]("aliked-t16", 8).learned.state_dict(), weights)
    aliked = f"{{extractor: aliked-t16, weights: '{weights}', long_side: 64, least_long_side: 32, max_keypoints: 32}}"
    sift = "{extractor: sift, max_keypoints: 32}"
    main, member = (sift, aliked) if first == "sift" else (aliked, sift)
    keypoints = [f"keypoints.{part.strip()}".replace(": ", "=") for part in main.strip("{}").split(",")]
    members = f"rerank.members=[{{name: other, keypoints: {member}}}]"
    predict(data, tmp_path / "run", *SETTINGS, *keypoints, members, "keypoints.upright=true")
    turned = {}
    for path in (tmp_path / "run" / "keypoints").iterdir():
        store = ShardStore(path, path.name)
        entry = store.get(next(key for key in load_run(tmp_path / "run").images.key if key in store))
        turned["sift" if entry["descriptors"].dtype == np.uint8 else "aliked"] = entry["orientation_rad"].any()
    assert set(turned) == {"sift", "aliked"}
    assert turned["sift"] == (first != "sift")


def test_the_order_of_names_makes_no_difference_and_members_do_as_the_run() -> None:
    one, other = (load_config(None, [f"keypoints.upright=[{names}]"]) for names in ("B, A, A", "A, B"))
    assert one == other
    with pytest.raises(ConfigError, match=r"a member's keypoints\.upright is that of the run"):
        load_config(None, ["rerank.members=[{name: up, keypoints: {upright: true}}]"])
    with pytest.raises(ConfigError, match="upright"):
        load_config(None, ["keypoints.upright=CatID"])


def test_nothing_is_recorded_where_nothing_is_chosen(data: Path, tmp_path: Path) -> None:
    predict(data, tmp_path / "run", *SETTINGS, "keypoints.upright=[CatID]")
    assert not (tmp_path / "run" / "preparations").exists()
    record = json.loads((tmp_path / "run" / "prepare.json").read_text())["datasets"]
    assert {name: (one["upright"], one["upright_gain"]) for name, one in record.items()} == {
        "CatID": (True, None), "NewtID": (False, None),
    }  # fmt: skip


def test_a_folder_of_masks_that_holds_none_of_the_sample_stops_no_trial(data: Path, tmp_path: Path) -> None:
    row = next(row for row in read_csv(data / "metadata.csv") if row["split"] == "query")
    mask = (tmp_path / "masks" / row["path"]).with_suffix(".png")
    mask.parent.mkdir(parents=True)
    cv2.imwrite(str(mask), np.full(cv2.imread(str(data / row["path"])).shape[:2], 255, np.uint8))
    predict(data, tmp_path / "run", *SETTINGS, f"keypoints.masks={tmp_path / 'masks'}")
    assert load_run(tmp_path / "run").config.keypoints.upright == ("NewtID",)


def test_the_axes_of_a_catalogue_come_from_all_its_photographs_not_from_a_trial(data: Path, tmp_path: Path) -> None:
    config = load_config(None, [*TINY_SETTINGS, *SETTINGS, "retrieve.top_k=12", "embed.members=[]"])
    loaded = load_table(find_source(data))
    create_catalogue(tmp_path / "kept", loaded, config, "Ada", "", Machine(device="cpu"))
    embeddings = tmp_path / "kept" / "run" / "embeddings"
    fitted = sorted(embeddings.glob("*-axes"))
    assert len(fitted) == 2
    for folder in fitted:
        axes = ShardStore(folder).get("axes")
        store = ShardStore(folder.with_name(folder.name.removesuffix("-axes")))
        keys = [key for key in loaded_keys(loaded.images) if key in store]
        assert len(keys) == len(store) > 48  # the queries, too
        values = np.stack([store.get(key)["embedding"].astype(np.float32) for key in keys])
        np.testing.assert_allclose(axes["mean"], values.mean(axis=0), atol=1e-4)
        assert np.count_nonzero(axes["variance"]) == len(keys) // 4  # others are compared on them, too


def loaded_keys(images: ImageTable) -> list[str]:
    return list(dict.fromkeys(hash_images(images, DataConfig(), 1, Silent())[0].key.tolist()))
