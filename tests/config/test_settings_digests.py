"""Digests that runs, pair logs, stores and trainings of earlier versions are found by."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

from animalclef.config import TrainConfig, TrainMatcherConfig, fingerprint, load_config, load_recipe
from animalclef.config.base import Settings
from animalclef.config.training import TrainSegmenterConfig
from animalclef.pipeline.models import scores_fingerprint
from animalclef.pipeline.run_context import open_pair_log
from animalclef.store.run_folder import RunFolder

CHANGED = (
    "seed=3", "retrieve.top_k=20", "embed.words=64", "rerank.ratio=0.8", "decide.splits=3", "budget.spend=5000",
    "rerank.members=[{matcher: lightglue, keypoints: {extractor: disk}}]", "keypoints.matched=500",
    "embed.members=[{model: embedder-lite, crops: 5}]", "prepare.mode={CatID: masked}",
)  # fmt: skip
EARLIER = ["embed.members=[embedder-lite]"]  # the defaults of 6fc39ce, which computed these digests
GROUPS = {
    "data": ("67e9bf4c43436dba", "67e9bf4c43436dba"),
    "encounters": ("f0092470e72a1bc0", "f0092470e72a1bc0"),
    "prepare": ("9006ce80284f74ad", "1eec4350bfbb1129"),
    "embed": ("43a51f01e684c933", "123f4027892fa7fc"),
    "retrieve": ("13d148592f643dbe", "a1eda0050c1d54f1"),
    "vote": ("9459a3ba74a6949d", "9459a3ba74a6949d"),
    "keypoints": ("7b4d0a056ca07543", "d26ec67c3a37774b"),
    "rerank": ("85664f10181f9efd", "cb8a3ed0474584a0"),
    "budget": ("828351ada234e62b", "335cc11e7b483774"),
    "cluster": ("49cb53ae03694ed4", "49cb53ae03694ed4"),
    "decide": ("f10ffbbe904cc3e9", "53d297f00c7196ac"),
}
RECIPES = {
    "efficientnet-b3-arcface": "79e4cec87b424f60",
    "embedder-lite": "92b1bc4badc852f5",
    "embedder-lite-laptop": "1203d2580ebb81fb",
    "embedder-lite-tune": "4f15fa4acd2f8c1d",
    "miewid": "439b5dff66a3e33a",
    "resnet50-arcface": "9c90574bf720dd8e",
    "triplet-resnet50": "4f2f3303af88939e",
}


class _Group(Settings):
    fixed: ClassVar[dict[str, Any]] = {"rules": ["probability"], "weight": 0.0}
    kept: int = 3


class _Tree(Settings):
    group: _Group = _Group()


class _EarlierGroup(Settings):
    rules: tuple[str, ...] = ("probability",)
    kept: int = 3
    weight: float = 0.0


class _EarlierTree(Settings):
    group: _EarlierGroup = _EarlierGroup()


def test_what_became_a_constant_is_part_of_digests_alone() -> None:
    assert fingerprint(_Group(), 1) == fingerprint(_EarlierGroup(), 1)
    assert fingerprint(_Tree()) == fingerprint(_EarlierTree()) == fingerprint(_Tree().digested())
    assert fingerprint(_Group(kept=4)) == fingerprint(_EarlierGroup(kept=4)) != fingerprint(_Group())
    assert _Tree().digested(exclude={"group": {"kept"}}) == {"group": {"rules": ["probability"], "weight": 0.0}}
    assert _Tree().model_dump(mode="json") == {"group": {"kept": 3}}


def test_what_became_a_constant_loads_and_is_told_where_it_was_used(caplog: pytest.LogCaptureFixture) -> None:
    assert _Group.model_validate({"weight": 0, "rules": ["probability"], "kept": 4}) == _Group(kept=4)
    assert caplog.text == ""
    assert _Group.model_validate({"weight": 0.5}) == _Group()
    assert "weight: this setting of an earlier version has gone" in caplog.text


@pytest.mark.parametrize("which", [0, 1])
def test_digests_of_a_run_are_those_of_earlier_versions(which: int) -> None:
    config = load_config(None, (EARLIER, CHANGED)[which])
    assert {name: fingerprint(getattr(config, name)) for name in GROUPS} == {
        name: digests[which] for name, digests in GROUPS.items()
    }
    assert fingerprint(config) == ("86f44b78cac1d346", "b39f4c4bf5066fda")[which]
    whole = config.digested(exclude={"cluster": True, "data": {"cache_gb"}})
    assert fingerprint(whole) == ("c88624a3367844e5", "73af89c1d631edc4")[which]
    shaping = [fingerprint(config.embed.shaping(with_network=has)) for has in (False, True)]
    assert shaping == [["fc6e7ae372f58a08", "49a38508e99335d4"], ["3ff877b519f9cf19", "0386ef22ef3f65cb"]][which]


@pytest.mark.parametrize("which", [0, 1])
def test_scores_and_pair_logs_are_those_of_earlier_versions(
    which: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(None, (EARLIER, CHANGED)[which])
    monkeypatch.setattr(cv2, "__version__", "0")
    monkeypatch.setattr(np, "__version__", "0")
    parts = {"extractor": SimpleNamespace(fingerprint="e"), "matcher": SimpleNamespace(columns=()), "made_by": ["m"]}
    weightless: Any = SimpleNamespace(**parts, network=None, segmenter=SimpleNamespace(fingerprint="s"))
    networked: Any = SimpleNamespace(**parts, network=SimpleNamespace(digest="n"), segmenter=None)
    scores = [scores_fingerprint(config, models) for models in (weightless, networked)]
    assert scores == [["eb7df343e813c964", "9cf9b29cd48fa7e8"], ["91ff55c8b8f3b2a4", "82e98dc3e2cb6841"]][which]
    log = open_pair_log(config, RunFolder(tmp_path), weightless)
    assert log is not None
    assert log.path.stem == ("a3f6578a378f1c94", "5f6f8a4d47739f15")[which]


@pytest.mark.parametrize("name", RECIPES)
def test_digests_of_an_embedders_training_are_those_of_earlier_versions(name: str) -> None:
    assert fingerprint(load_recipe(TrainConfig, name)) == RECIPES[name]


def test_digests_of_other_settings_are_those_of_earlier_versions() -> None:
    settings = (TrainConfig(), TrainMatcherConfig(), TrainSegmenterConfig())
    assert [fingerprint(one) for one in settings] == [
        "50a3b3ebdeeba3e2", "e685cc297999b975", "b095646477a5dcd4"
    ]  # fmt: skip
    assert fingerprint(load_recipe(TrainMatcherConfig, "lightglue-sift")) == "8d35717a952dd27a"
