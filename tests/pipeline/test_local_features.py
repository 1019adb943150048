"""Masks, views and extractors through whole runs: what is made again, and what never may be reused."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from tiny import make_masks, make_tiny_data, read_csv, write_csv
from whole_run import artefacts, count_work, predict

from animalclef.cli.console import plan_sentence
from animalclef.config import load_config
from animalclef.config.matching import FEATURES
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.engine.work import Capacity, ThisMachine
from animalclef.errors import DataError
from animalclef.features.extract import ExtractionJob
from animalclef.features.local.keypoint_network import DETECTORS
from animalclef.features.local.sift import SiftExtractor
from animalclef.matching.nearest_neighbour import MutualNearest
from animalclef.pipeline.cost import estimate
from animalclef.pipeline.image_contents import keyed
from animalclef.pipeline.models import Models
from animalclef.pipeline.run_context import RunContext, open_pair_log
from animalclef.store.run_folder import RunFolder
from animalclef.store.shard_store import ShardStore
from animalclef.structures import LocalFeatures, MatchKey

PHOTOGRAPHS = 17  # four known animals of three photographs, five queries
PAIRS = 12 * 5 + 12 * 11 // 2


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small images are quicker on one thread, and other tests may run beside these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_data(tmp_path_factory.mktemp("data") / "tiny", datasets=("NewtID",), individuals=4, unknown=1)


@pytest.fixture(scope="module")
def plain(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A finished run without masks and its submission."""
    run = tmp_path_factory.mktemp("plain") / "run"
    return run, predict(data, run)


@pytest.fixture
def again(plain: tuple[Path, bytes], tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(plain[0], tmp_path / "again"))


def done(counts: Counter[str]) -> dict[str, int]:
    """What was counted since the last look; the pairs that the run's estimate tries do not count."""
    found = dict(+counts)
    counts.clear()
    return found


def test_masks_cost_new_pairs_but_no_new_keypoints_and_are_never_mixed_up(
    data: Path, plain: tuple[Path, bytes], again: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = count_work(monkeypatch)
    masks = make_masks(data, tmp_path / "masks")
    setting = f"keypoints.masks={masks}"
    predict(data, again, setting)
    assert done(counts) == {"pairs": PAIRS, "tuned": 1}
    masked = artefacts(again)
    assert masked["candidates.csv"] != artefacts(plain[0])["candidates.csv"]
    moved = Path(shutil.copytree(masks, tmp_path / "elsewhere"))
    predict(data, again, f"keypoints.masks={moved}")
    assert done(counts) == {}  # the masks count, not where they lie
    first = sorted((moved / "images" / "NewtID").iterdir())[0]  # a gallery photograph
    other = cv2.imread(str(first))
    other[:, : other.shape[1] // 2] = 0
    cv2.imwrite(str(first), other)
    predict(data, again, f"keypoints.masks={moved}")
    assert done(counts) == {"pairs": 11 + 5, "tuned": 1}  # with the gallery and the queries
    assert predict(data, again) == plain[1]
    assert done(counts) == {}
    assert artefacts(again) == artefacts(plain[0])
    predict(data, again, setting)
    assert done(counts) == {}
    assert artefacts(again) == masked


def test_masks_named_by_the_table_do_the_same(data: Path, tmp_path: Path) -> None:
    masks = make_masks(data, tmp_path / "data" / "masks")
    shutil.copytree(data / "images", tmp_path / "data" / "images")
    rows = read_csv(data / "metadata.csv")
    for row in rows:
        row["mask"] = str((Path("masks") / row["path"]).with_suffix(".png"))
    write_csv(tmp_path / "data" / "metadata.csv", list(rows[0]), [list(row.values()) for row in rows])
    by_table = predict(tmp_path / "data", tmp_path / "one")
    assert by_table == predict(data, tmp_path / "two", f"keypoints.masks={masks}")
    columns = [(tmp_path / run / "candidates.csv").read_bytes() for run in ("one", "two")]
    assert columns[0] == columns[1]


def test_run_lengths_of_another_shape_mask_nothing(data: Path, plain: tuple[Path, bytes], tmp_path: Path) -> None:
    shutil.copytree(data / "images", tmp_path / "data" / "images")
    rows = read_csv(data / "metadata.csv")
    for row in rows:
        row["segmentation"] = '{"size": [400, 20], "counts": [0, 8000]}'
    write_csv(tmp_path / "data" / "metadata.csv", list(rows[0]), [list(row.values()) for row in rows])
    predict(tmp_path / "data", tmp_path / "run")
    columns = ("query_id", "gallery_id", "similarity", "matches", "vote")
    found, without = (
        sorted([row[name] for name in columns] for row in read_csv(run / "candidates.csv"))
        for run in (tmp_path / "run", plain[0])
    )
    assert found == without


def test_masks_do_no_harm_where_nothing_is_matched(data: Path, tmp_path: Path) -> None:
    masks = make_masks(data, tmp_path / "masks")
    assert predict(data, tmp_path / "run", "rerank.matcher=none", f"keypoints.masks={masks}")


def test_the_border_costs_new_pairs_alone(
    data: Path, plain: tuple[Path, bytes], again: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = count_work(monkeypatch)
    predict(data, again, "keypoints.border=0.2")
    assert done(counts) == {"pairs": PAIRS, "tuned": 1}
    assert predict(data, again) == plain[1]
    assert done(counts) == {}


def test_a_mask_that_covers_everything_leaves_no_keypoints_and_every_query_an_answer(
    data: Path, tmp_path: Path
) -> None:
    masks = make_masks(data, tmp_path / "masks", share=0)
    answers = predict(data, tmp_path / "run", f"keypoints.masks={masks}").decode().splitlines()
    assert len(answers) == 1 + len([row for row in read_csv(data / "metadata.csv") if row["split"] == "query"])
    candidates = read_csv(tmp_path / "run" / "candidates.csv")
    assert {row["inliers"] for row in candidates} == {"0"}


def test_a_mask_of_another_size_stops_the_run_with_its_name(data: Path, tmp_path: Path) -> None:
    masks = make_masks(data, tmp_path / "masks")
    wrong = sorted((masks / "images" / "NewtID").iterdir())[2]
    cv2.imwrite(str(wrong), np.zeros((50, 50), np.uint8))
    with pytest.raises(DataError, match=f"{wrong.name}: expected the shape of its photograph"):
        predict(data, tmp_path / "run", f"keypoints.masks={masks}")


def test_views_are_described_and_matched_where_they_are_asked_for(
    data: Path, plain: tuple[Path, bytes], again: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = count_work(monkeypatch)
    setting = "keypoints.views={NewtID: [rot90, flip]}"
    predict(data, again, setting)
    # two views of each newt photograph; each of the 5 queries and 12 pseudo-queries against its 12 or 11 candidates
    assert done(counts) == {"keypoints": 2 * PHOTOGRAPHS, "pairs": 2 * (12 * 5 + 12 * 11), "tuned": 1}
    before, after = (
        {(row["query_id"], row["gallery_id"]): float(row["inliers"]) for row in read_csv(run / "candidates.csv")}
        for run in (plain[0], again)
    )
    assert before.keys() == after.keys()
    assert all(after[pair] >= before[pair] for pair in before)
    assert any(after[pair] > before[pair] for pair in before)
    predict(data, again, setting)
    assert done(counts) == {}
    assert predict(data, again) == plain[1]


def test_a_query_lying_on_its_side_is_found_by_a_view(tmp_path: Path) -> None:
    data = make_tiny_data(tmp_path / "data", datasets=("NewtID",), individuals=4, unknown=1)
    for row in read_csv(data / "metadata.csv"):
        if row["split"] == "query":
            picture = cv2.imread(str(data / row["path"]))
            cv2.imwrite(str(data / row["path"]), np.ascontiguousarray(np.rot90(picture, k=1)))
    run = tmp_path / "run"
    predict(data, run, "keypoints.views={NewtID: [rot90, rot180, rot270]}")
    best = {row["query_id"]: row for row in reversed(read_csv(run / "candidates.csv"))}
    truth = {row["image_id"]: row["identity"] for row in read_csv(data / "truth.csv") if row["known"] == "1"}
    assert all(best[query]["identity"] == who for query, who in truth.items())


def weights_of(name: str, folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    path = folder / f"{name}-{seed}.pth"
    torch.save(DETECTORS[FEATURES[name].family](name, 8).learned.state_dict(), path)
    return path


def test_another_extractor_and_other_weights_are_other_features(
    data: Path, plain: tuple[Path, bytes], again: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = count_work(monkeypatch)
    small = (
        "keypoints.extractor=aliked-t16", "keypoints.long_side=64", "keypoints.least_long_side=32",
        "cluster.new_ones=false",  # how many are new depends on weights made by chance
    )  # fmt: skip
    for seed in (0, 1):
        weights = weights_of("aliked-t16", tmp_path, seed)
        one = predict(data, again, *small, f"keypoints.weights={weights}")
        assert done(counts) == {"pairs": PAIRS, "tuned": 1}
    moved = shutil.copy(weights, tmp_path / "moved.pth")
    assert predict(data, again, *small, f"keypoints.weights={moved}") == one
    assert done(counts) == {}
    assert predict(data, again) == plain[1]
    assert done(counts) == {}


def keypoint_shards(run: Path) -> list[Path]:
    return sorted((run / "keypoints").glob("*/*.safetensors"))


def test_a_truncated_or_foreign_shard_is_made_again(
    data: Path, plain: tuple[Path, bytes], again: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    predict(data, other, "keypoints.max_keypoints=32")
    counts = count_work(monkeypatch)
    shards = keypoint_shards(again)
    shards[0].write_bytes(shards[0].read_bytes()[:-100])
    assert predict(data, again) == plain[1]
    count = int(shards[0].stem.rpartition("-")[2])
    assert done(counts) == {"keypoints": count}
    for mine, foreign in zip(shards, keypoint_shards(other), strict=True):
        shutil.copy(foreign, mine)  # the same photographs with other settings, under this run's name
    assert predict(data, again) == plain[1]
    assert done(counts) == {"keypoints": PHOTOGRAPHS}
    assert artefacts(again) == artefacts(plain[0])


def test_odd_photographs_go_the_whole_way(tmp_path: Path) -> None:
    """Black, tiny, and two identical ones; none of them has a keypoint but the twins."""
    data = make_tiny_data(tmp_path / "data", datasets=("NewtID",), individuals=4, unknown=1)
    rows = read_csv(data / "metadata.csv")
    gallery = [row for row in rows if row["split"] == "database"]
    queries = [row for row in rows if row["split"] == "query"]
    cv2.imwrite(str(data / gallery[0]["path"]), np.zeros((90, 140, 3), np.uint8))
    cv2.imwrite(str(data / queries[0]["path"]), np.zeros((90, 140, 3), np.uint8))
    noise = np.random.default_rng(0).integers(0, 255, (11, 16, 3), dtype=np.uint8)
    cv2.imwrite(str(data / queries[1]["path"]), noise)
    shutil.copy(data / gallery[6]["path"], data / queries[2]["path"])
    answers = dict(line.split(",") for line in predict(data, tmp_path / "run").decode().splitlines()[1:])
    assert answers[queries[2]["image_id"]] == gallery[6]["identity"]
    assert len(answers) == 5
    best = json.loads((tmp_path / "run" / "finished.json").read_text())
    assert best["config"]["keypoints"]["extractor"] == "sift"


def test_the_plan_tells_what_views_cost(data: Path, tmp_path: Path) -> None:
    loaded = keyed(load_table(find_source(data)).images, 1)
    counts = {}
    for name, views in (("plain", "{}"), ("turned", "{NewtID: [rot90, flip]}")):
        config = load_config(None, [f"keypoints.views={views}"])
        models = Models(None, SiftExtractor(config.keypoints), MutualNearest(config.rerank))
        folder = RunFolder(tmp_path / name)
        log = open_pair_log(config, folder, models)
        counts[name] = estimate(loaded, {"NewtID": []}, RunContext(config, folder, models, log))
    assert counts["plain"].pairs == 5 * 12 + 5 * 4 // 2 + 12 * 11 // 2  # queries; new ones; database, each once
    assert counts["turned"].pairs == 3 * ((5 + 12) * 12 + 5 * 4 + 12 * 11)  # with a view no pair is asked for twice
    assert "(up to 3 views of a query)" in plan_sentence(counts["turned"])
    assert "views" not in plan_sentence(counts["plain"])


class Cluster(ThisMachine):
    """This machine, said to be four with eight cores in all."""

    capacity = Capacity(machines=4, lanes=8, workers=4)


def test_the_plan_times_pairs_of_as_many_keypoints_as_are_matched(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = keyed(load_table(find_source(data)).images, 1)
    config = load_config(None, ["keypoints.matched=40"])
    models = Models(None, SiftExtractor(config.keypoints), MutualNearest(config.rerank))
    seen: list[tuple[int, bool]] = []
    original = MutualNearest.match

    def spying(self: MutualNearest, query: LocalFeatures, others: Sequence[LocalFeatures]) -> Any:
        seen.append((max(len(one) for one in (query, *others)), any(one is query for one in others)))
        return original(self, query, others)

    monkeypatch.setattr(MutualNearest, "match", spying)
    folder = RunFolder(tmp_path / "run")
    log = open_pair_log(config, folder, models)
    estimate(loaded, {"NewtID": []}, RunContext(config, folder, models, log))
    assert {most for most, _ in seen} == {40}
    assert not any(itself for _, itself in seen[1:])  # the first one is not timed


def test_the_plan_stays_within_a_budget_that_the_log_does_not_use_up(data: Path, tmp_path: Path) -> None:
    loaded = keyed(load_table(find_source(data)).images, 1)
    plans = {}
    for budget in ("30", "0.01min"):
        config = load_config(None, [f"budget.spend={budget}"])
        models = Models(None, SiftExtractor(config.keypoints), MutualNearest(config.rerank))
        folder = RunFolder(tmp_path / budget)
        log = open_pair_log(config, folder, models)
        assert log is not None
        log.append(
            [MatchKey("f" * 32)] * 40,
            [MatchKey(f"{row:016x}" * 2) for row in range(40)],
            np.zeros((40, len(log.columns)), dtype=np.float32),
        )
        plans[budget] = estimate(loaded, {"NewtID": []}, RunContext(config, folder, models, log))
    assert plans["30"].pairs == 30
    assert "up to 30 pairs to match within the budget of 30 pairs:" in plan_sentence(plans["30"])
    assert "within the budget of 0.01min:" in plan_sentence(plans["0.01min"])


def test_the_plan_of_a_cluster_tells_machines_hours_disk_and_network(data: Path, tmp_path: Path) -> None:
    loaded = keyed(load_table(find_source(data)).images, 1)
    config = load_config(None, ["cluster.new_ones=false"])
    models = Models(None, SiftExtractor(config.keypoints), MutualNearest(config.rerank))
    folder = RunFolder(tmp_path / "run")
    log = open_pair_log(config, folder, models)
    jobs = [ExtractionJob(SiftExtractor(config.keypoints), ShardStore(tmp_path / "keypoints"))]
    plan = estimate(loaded, {"NewtID": jobs}, RunContext(config, folder, models, log, engine=Cluster()))
    assert (plan.machines, plan.images_to_describe) == (4, len(loaded))
    assert plan.network_megabytes > plan.pairs * 1000 / 1e6  # features of a candidate, 144 bytes a keypoint
    told = plan_sentence(replace(plan, seconds=7200, megabytes=1000, network_megabytes=2345.6))
    assert told.endswith(
        "on 4 machines: about 2.0 h (8.0 machine hours), 1,000 MB on disk and 2,346 MB of network at most."
    )


@pytest.mark.shared
def test_real_networks_name_the_drawn_animals(data: Path, shared: Path, tmp_path: Path) -> None:
    truth = {row["image_id"]: row["identity"] for row in read_csv(data / "truth.csv") if row["known"] == "1"}
    for name, file in (("xfeat", "xfeat.safetensors"), ("aliked-t16", "aliked-t16.pth")):
        run = tmp_path / name
        weights = f"keypoints.weights={shared / 'weights' / file}"
        predict(data, run, f"keypoints.extractor={name}", weights, "keypoints.max_keypoints=256")
        ranked = sorted(read_csv(run / "candidates.csv"), key=lambda row: -float(row["inliers"]))
        best = {row["query_id"]: row["identity"] for row in reversed(ranked)}
        assert sum(best[query] == who for query, who in truth.items()) >= 3, name  # of four
