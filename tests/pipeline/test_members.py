"""Several embedders and matchers in one run: what each adds, what it costs, and when it is left out."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny import make_tiny_data, read_csv
from whole_run import artefacts, count_work, predict

from animalclef.config import load_config
from animalclef.errors import ConfigError, WeightsError
from animalclef.hub.needed_weights import needed_weights
from animalclef.pipeline.cluster import cluster_run
from animalclef.store.finished_run import load_run

PHOTOGRAPHS, QUERIES, GALLERY = 17, 5, 12
PAIRS = GALLERY * QUERIES + GALLERY * (GALLERY - 1) // 2
VLAD = "embed.members=[{name: six, model: rootsift-vlad, words: 6, dimensions: 16, long_side: 96, step: 12, " \
       "bin_sizes: [6], local_dimensions: 16}]"  # fmt: skip
FEW = "rerank.members=[{name: few, keypoints: {max_keypoints: 32}}]"
BOTH = (VLAD, FEW)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_data(tmp_path_factory.mktemp("data") / "tiny", datasets=("NewtID",), individuals=4, unknown=1)


@pytest.fixture(scope="module")
def plain(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("plain") / "run"
    predict(data, run)
    return run


@pytest.fixture
def again(plain: Path, tmp_path: Path) -> Path:
    """A copy of the run with one embedder and one matcher."""
    return Path(shutil.copytree(plain, tmp_path / "again"))


def column(run: Path, name: str) -> dict[tuple[str, str], str]:
    return {(row["query_id"], row["gallery_id"]): row[name] for row in read_csv(run / "candidates.csv")}


def test_each_member_adds_the_scores_of_a_run_of_its_own_and_costs_only_its_own_work(
    data: Path, again: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = count_work(monkeypatch)
    predict(data, again, *BOTH, "decide.scores=[similarity, inliers, 'inliers:few']")
    pairs = counts.pop("pairs")
    assert dict(+counts) == {"keypoints": PHOTOGRAPHS, "embeddings": PHOTOGRAPHS, "tuned": 1}
    assert pairs in (PAIRS, PAIRS - GALLERY * QUERIES)  # without the queries where it has no weight
    alone = tmp_path / "alone"
    predict(data, alone, "embed.words=6", "keypoints.max_keypoints=32")
    theirs, ours = column(alone, "similarity"), column(again, "similarity:six")
    assert theirs.keys() == ours.keys()
    assert all(float(ours[pair]) == pytest.approx(float(value), abs=1e-5) for pair, value in theirs.items())
    counts.clear()
    predict(data, again, *BOTH, "decide.scores=[similarity, inliers, 'inliers:few']")
    assert dict(+counts) == {}


def test_a_run_with_members_leaves_the_plain_run_as_it_was(data: Path, plain: Path, again: Path) -> None:
    predict(data, again, *BOTH)
    predict(data, again)
    assert artefacts(again) == artefacts(plain)


def test_sizes_chosen_for_the_photographs_hold_for_members_too(data: Path, tmp_path: Path) -> None:
    """So that a decision, and the run of it, can be used again."""
    run, sized = tmp_path / "run", (VLAD, "keypoints.max_keypoints=null", "keypoints.long_side=null")
    submission = predict(data, run, *sized)
    preparation = json.loads((run / "decision.json").read_text())["preparation"]
    assert (preparation["max_keypoints"], preparation["matched"]) == (2048, 1536)
    decision = Path(shutil.copy(run / "decision.json", tmp_path / "mine.json"))
    assert predict(data, tmp_path / "other", *sized, decision=decision) == submission
    finished = load_run(run)
    cluster_run(finished, finished.config)
    assert (run / "clusters.csv").is_file()


def test_the_shortlist_is_the_union_of_all_sources(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    predict(data, run, VLAD, "retrieve.top_k=3")
    rows = read_csv(run / "sources.csv")
    assert list(rows[0])[3:] == ["embedding", "embedding:six", "vote", "shortlist"]
    for query in {row["query_id"] for row in rows}:
        mine = [row for row in rows if row["query_id"] == query]
        listed = [row for row in mine if row["shortlist"]]
        assert len(listed) == 3
        assert next(row for row in mine if row["embedding"] == "1")["shortlist"] == "1"
        best = next(row for row in mine if row["embedding:six"] == "1")
        assert best["shortlist"] in ("1", "2")  # unless the first embedder has it, too
        assert all(row["query_id"] == query for row in listed)
    filled = read_csv(run / "candidates.csv")
    assert all(row["similarity"] and row["similarity:six"] for row in filled)


def test_a_matcher_without_weight_skips_the_queries(
    data: Path, plain: Path, again: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = "decide.scores=[similarity,inliers]"
    predict(data, again, FEW, own)  # tunes on these two, so the member has no weight
    assert set(column(again, "inliers:few").values()) == {""}
    assert "NewtID: matcher few has no weight, so it skips the queries." in caplog.text
    caplog.clear()
    weighted = json.loads((again / "decision.json").read_text())
    del weighted["digest"]
    for part in weighted["datasets"].values():
        part["weights"]["inliers:few"] = 0.5
        part["calibrators"]["inliers:few"] = part["calibrators"]["inliers"]
    (tmp_path / "weighted.json").write_text(json.dumps(weighted))
    with caplog.at_level(logging.WARNING):
        predict(data, again, FEW, decision=tmp_path / "weighted.json")
    predict(data, tmp_path / "alone", "keypoints.max_keypoints=32")
    alone, member = column(tmp_path / "alone", "inliers"), column(again, "inliers:few")
    assert len(member) == QUERIES * GALLERY
    assert member == {pair: alone[pair] for pair in member}
    assert "has no weight" not in caplog.text


def test_a_budget_is_shared_by_all_matchers(data: Path, again: Path) -> None:
    predict(data, again, FEW, "budget.spend=60", "decide.scores=[similarity, inliers, 'inliers:few']")
    first, member = column(again, "inliers"), column(again, "inliers:few")
    matched = {pair for pair, value in first.items() if value}
    assert 0 < len(matched) < len(first)
    assert matched == {pair for pair, value in member.items() if value}


def test_a_member_whose_weights_are_absent_stops_the_run_or_is_left_out(
    data: Path, plain: Path, again: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    absent = f"timm:test_resnet, weights: {tmp_path / 'absent.safetensors'}"
    with pytest.raises(WeightsError, match=r"Member test_resnet: .*absent.safetensors.* With `optional: true`"):
        predict(data, again, f"embed.members=[{{model: '{absent.split(',')[0]}',{absent.split(',')[1]}}}]")
    predict(data, again, f"embed.members=[{{model: '{absent.split(',')[0]}',{absent.split(',')[1]}, optional: true}}]")
    assert "Member test_resnet is left out" in caplog.text
    assert artefacts(again) == artefacts(plain)


@pytest.mark.parametrize(
    ("setting", "label"),
    [
        ("embed.members=[embedder-lite]", "embedder-lite"),
        ("embed.members=[{model: 'timm:tf_efficientnet_lite0'}]", "tf_efficientnet_lite0"),
        ("embed.members=[{model: 'file:/some/where/mine.safetensors'}]", "mine"),
        ("embed.members=[{model: miewid-msv3, name: wid}]", "wid"),
    ],
)
def test_an_embedder_is_called_by_its_model_or_its_name(setting: str, label: str) -> None:
    assert list(load_config(None, [setting]).of_embedders()) == [label]


def test_a_matcher_is_called_by_its_extractor_and_matcher_and_keeps_the_masks_of_the_run() -> None:
    config = load_config(None, ["rerank.members=[aliked-t16, sift+lightglue]", "keypoints.border=0.1"])
    members = config.of_matchers()
    assert list(members) == ["aliked-t16", "sift+lightglue"]
    assert [one.rerank.matcher for one in members.values()] == ["mutual-nearest", "lightglue"]
    assert {one.keypoints.border for one in members.values()} == {0.1}


def test_the_weights_of_members_are_needed_too() -> None:
    members = ["embed.members=[miewid-msv3, {model: dinov2-s, optional: true}]", "rerank.members=[xfeat]"]
    config = load_config(None, members)
    assert set(needed_weights(config)) == {"miewid-msv3", "dinov2-s", "xfeat"}
    assert set(needed_weights(config, optional=False)) == {"miewid-msv3", "xfeat"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["embed.members=[embedder-lite, embedder-lite]"], "two members are called embedder-lite"),
        (["rerank.members=[sift, sift]"], "two members are called sift"),
        (["rerank.matcher=none", "rerank.members=[sift]"], "none of them can be `none`"),
        (["embed.members=[{model: x, name: 'a:b'}]"], "embed.members"),
    ],
)
def test_members_that_cannot_be(settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(None, settings)


@pytest.mark.shared
def test_an_imagenet_network_joins_the_weight_free_embedding(data: Path, shared: Path, tmp_path: Path) -> None:
    weights = next((shared / "weights").glob("*efficientnet_lite0*"))
    member = f"{{model: 'timm:tf_efficientnet_lite0', weights: {weights}}}"
    predict(data, tmp_path / "run", f"embed.members=[embedder-lite, {member}]")
    rows: list[dict[str, Any]] = read_csv(tmp_path / "run" / "candidates.csv")
    names = ["similarity", "similarity:embedder-lite", "similarity:tf_efficientnet_lite0"]
    assert all(-1 <= float(row[name]) <= 1.0001 for row in rows for name in names)
    assert len({row[names[2]] for row in rows}) > len(rows) // 2


def test_the_shipped_network_joins_the_weight_free_embedding_alone() -> None:
    labels = {
        model: [one.label for one in load_config(None, [f"embed.model={model}"]).embed.members]
        for model in ("rootsift-vlad", "miewid-msv3")
    }
    assert labels == {"rootsift-vlad": ["embedder-lite"], "miewid-msv3": []}
    assert load_config(None, ["embed.members=[]"]).embed.members == ()
    (lite,) = load_config(None).of_embedders().values()
    assert (lite.embed.model, lite.embed.members) == ("embedder-lite", ())
