"""SuperGlue on stored keypoints: our part with a module of its published shape, and transformers' own where it is."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from animalclef.config import RerankConfig, load_config
from animalclef.errors import ConfigError, StaleArtefactError, WeightsError
from animalclef.hub.catalogue import WEIGHTS
from animalclef.hub.needed_weights import needed_weights
from animalclef.matching import superglue
from animalclef.matching.jobs import Job
from animalclef.matching.lightglue.matcher import DeviceWorker, LightGlueMatcher
from animalclef.matching.superglue import SuperGlue, load_superglue, normalised, open_superglue, transport
from animalclef.structures import LocalFeatures

CPU = torch.device("cpu")
SIZE_WH = (640, 400)


def features(count: int, seed: int, extractor: str = "superpoint") -> LocalFeatures:
    """Random keypoints of a non-square image."""
    rng = np.random.default_rng([seed, count])
    points = (rng.random((count, 2)) * SIZE_WH).astype(np.float32)
    descriptors = rng.normal(size=(count, 256)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    nothing, confidence = np.zeros(count, np.float32), rng.random(count).astype(np.float32)
    key = f"{seed + 1:016x}{count:016x}"
    return LocalFeatures(key, points, descriptors, nothing, nothing, SIZE_WH, confidence, extractor)


class _Encoder(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = torch.nn.ModuleList([torch.nn.Linear(3, 256)])

    def forward(self, keypoints: torch.Tensor, scores: torch.Tensor) -> tuple[torch.Tensor, None]:
        return self.encoder[0](torch.cat([keypoints, scores.unsqueeze(2)], dim=2)), None


class _Layer(torch.nn.Module):
    """A message from all points of the image itself or of the other, unlike for each point."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = torch.nn.Linear(256, 256)

    def forward(self, tokens: torch.Tensor, encoder_hidden_states: torch.Tensor | None = None) -> tuple[Any, ...]:
        source = tokens if encoder_hidden_states is None else encoder_hidden_states
        share = torch.softmax(tokens @ source.transpose(1, 2), dim=-1)
        return self.dense(share @ source), None, ()


class Standing(torch.nn.Module):
    """The parts of transformers' SuperGlueForKeypointMatching that are used, with its names."""

    def __init__(self, config: object = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.keypoint_detector = torch.nn.Linear(1, 1)
        self.keypoint_encoder = _Encoder()
        self.gnn = torch.nn.Module()
        self.gnn.layers_types = ["self", "cross"] * 2  # type: ignore[assignment]
        self.gnn.layers = torch.nn.ModuleList([_Layer() for _ in range(4)])
        self.final_projection = torch.nn.Linear(256, 256)
        self.bin_score = torch.nn.Parameter(torch.tensor(1.0))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("transformers")
    package.SuperGlueConfig = SimpleNamespace  # type: ignore[attr-defined]
    package.SuperGlueForKeypointMatching = Standing  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transformers", package)


def matcher(network: Any, threshold: float = 0.0, **settings: Any) -> LightGlueMatcher:
    config = RerankConfig(matcher="superglue", **settings)
    engine = SuperGlue(network.eval().requires_grad_(False), CPU, threshold)
    return LightGlueMatcher(config, [DeviceWorker(engine, 1 << 24, 4096)])


def test_one_point_each_by_hand() -> None:
    """[[p, 1 - p], [1 - p, p]] with p / (1 - p) = exp((similarity - alone) / 2)."""
    found = transport(torch.tensor([[3.0]]), torch.tensor(1.0), 100)
    assert found.exp().item() == pytest.approx(1 / (1 + np.exp(-1)), abs=1e-6)


def test_no_point_is_given_away_twice() -> None:
    torch.manual_seed(1)
    share = transport(3 * torch.randn(5, 8), torch.tensor(0.5), 200).exp()
    assert share.shape == (5, 8)
    assert (share.sum(0) < 1).all()
    assert (share.sum(1) < 1 + 1e-5).all()
    certain = transport(30 * torch.eye(3, 4), torch.tensor(0.0), 200).exp()
    np.testing.assert_allclose(certain.numpy(), np.eye(3, 4), atol=0.01)


def test_places_are_told_from_the_middle_in_0_7_of_the_longer_side() -> None:
    nothing = np.zeros(3, np.float32)
    points = np.array([[320, 200], [640, 400], [0, -0.4]], np.float32)
    one = LocalFeatures("a", points, np.zeros((3, 256), np.float32), nothing, nothing, SIZE_WH, nothing, "superpoint")
    expected = [[0, 0], [320 / 448, 200 / 448], [-320 / 448, -200 / 448]]
    np.testing.assert_allclose(normalised(one), expected, atol=1e-6)


def test_a_pair_gets_the_same_alone_and_in_any_company() -> None:
    images = {one.key: one for one in (features(count, seed) for seed, count in enumerate((0, 1, 2, 37, 64)))}
    ours = matcher(Standing(), batch_size=4, tolerance=0.5)
    query, *others = images
    jobs = [Job(key, tuple(other for other in images if other != key)) for key in (query, *others)]
    together = {}
    for done in ours.match_jobs(jobs, lambda pair: False, images.__getitem__, 1):
        together |= dict(zip(map(frozenset, done.pairs), done.scores, strict=True))
    assert len(together) == 10
    for pair, scores in together.items():
        one, other = sorted(pair)
        for first, second in ((one, other), (other, one)):
            alone = ours.match(images[first], [images[second]])[0]
            np.testing.assert_allclose(alone, scores, atol=1e-4)
        if query in pair:
            assert not scores.any()
    assert sum(scores[0] > 0 for scores in together.values()) >= 4
    assert ours.columns == (
        "matches", "confidence_sum", "matches_0.2", "matches_0.5", "matches_0.8", "inliers", "inlier_ratio"
    )  # fmt: skip


def test_the_threshold_leaves_out_doubtful_matches() -> None:
    network, one, other = Standing(), features(40, 1), features(30, 2)
    every = matcher(network).correspondences(one, other).confidence
    level = float(np.sort(every)[len(every) // 2])
    some = matcher(network, level).correspondences(one, other).confidence
    np.testing.assert_array_equal(np.sort(some), np.sort(every[every > level]))
    assert 0 < len(some) < len(every)


def test_features_without_a_confidence_or_of_another_length_are_refused() -> None:
    engine = SuperGlue(Standing().eval(), CPU)
    nothing = np.zeros(1, np.float32)
    sift = LocalFeatures("k", np.zeros((1, 2), np.float32), np.zeros((1, 128), np.uint8), nothing, nothing, SIZE_WH)
    with pytest.raises(StaleArtefactError, match=r"got sift features of k\. Set keypoints\.extractor=superpoint"):
        engine.prepare(sift)
    with pytest.raises(StaleArtefactError, match="got another-256 features"):  # though they have 256 numbers too
        engine.prepare(features(3, 0, "another-256"))


@pytest.mark.usefixtures("installed")
def test_the_published_file_loads_strictly_its_detector_aside(tmp_path: Path) -> None:
    state = {name: value.clone() for name, value in Standing().state_dict().items()}
    state["bin_score"] += 1
    save_file(state, tmp_path / "whole.safetensors")
    network = load_superglue(tmp_path / "whole.safetensors")
    assert network.bin_score.item() == 2
    assert not network.training
    lost = {name: value for name, value in state.items() if name != "gnn.layers.2.dense.bias"}
    save_file(lost, tmp_path / "lost.safetensors")
    with pytest.raises(WeightsError, match=r"1 missing and 0 surplus .*missing gnn\.layers\.2\.dense\.bias"):
        load_superglue(tmp_path / "lost.safetensors")
    save_file({**state, "other.weight": torch.zeros(1)}, tmp_path / "more.safetensors")
    with pytest.raises(WeightsError, match=r"0 missing and 1 surplus .*surplus other\.weight"):
        load_superglue(tmp_path / "more.safetensors")


@pytest.mark.usefixtures("installed")
def test_loading_leaves_torchs_generator_as_it_was(tmp_path: Path) -> None:
    save_file(Standing().state_dict(), tmp_path / "mine.safetensors")
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    load_superglue(tmp_path / "mine.safetensors")
    torch.testing.assert_close(torch.rand(3), wanted, rtol=0, atol=0)


class _Whole(torch.nn.Module):
    """A layer that hands out its tokens bare."""

    def forward(self, tokens: torch.Tensor, encoder_hidden_states: torch.Tensor | None = None) -> torch.Tensor:
        return tokens


def _without(name: str) -> Any:
    network = Standing()
    delattr(network, name)
    return network


def _with(name: str, part: Any) -> Any:
    network = Standing()
    holder, _, last = name.rpartition(".")
    setattr(network.get_submodule(holder), last, part)
    return network


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("network", "told"),
    [
        (_without("final_projection"), "final_projection"),
        (_without("keypoint_encoder"), "keypoint_encoder"),
        (_without("bin_score"), "bin_score"),
        (_with("gnn.layers", torch.nn.ModuleList([_Layer()])), "ValueError"),
        (_with("gnn.layers_types", ["self", "crossed"] * 2), "crossed"),
        (_with("gnn.layers", torch.nn.ModuleList([_Whole() for _ in range(4)])), r"\(2, 256\)"),
        (_with("final_projection", torch.nn.Linear(256, 128)), r"\(1, 2, 128\)"),
        (_with("final_projection", torch.nn.Linear(128, 256)), "RuntimeError"),
    ],
)
def test_another_superglue_of_transformers_is_refused(
    network: Any, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys.modules["transformers"], "SuperGlueForKeypointMatching", lambda config: network)
    save_file(Standing().state_dict(), tmp_path / "mine.safetensors")
    with pytest.raises(ConfigError, match=rf"has other parts than animalclef calls.*{told}.*Install transformers"):
        load_superglue(tmp_path / "mine.safetensors")


@pytest.mark.parametrize(
    ("setting", "value"),
    [("backend", "lightglue"), ("precision", "bfloat16"), ("compile", True), ("depth_confidence", 0.9),
     ("width_confidence", 0.99)],
)  # fmt: skip
def test_settings_of_lightglue_are_refused(setting: str, value: object) -> None:
    config = RerankConfig.model_validate({"matcher": "superglue", setting: value})
    with pytest.raises(ConfigError, match=rf"rerank\.{setting}={value} is a setting of LightGlue's.*Leave it out"):
        open_superglue(config, "superpoint", "cpu")


@pytest.mark.usefixtures("installed")
def test_settings_that_say_what_it_does_are_not_refused(tmp_path: Path) -> None:
    save_file(Standing().state_dict(), tmp_path / "mine.safetensors")
    config = RerankConfig(
        matcher="superglue", weights=str(tmp_path / "mine.safetensors"), precision="float32", depth_confidence=-1,
        width_confidence=-1,
    )  # fmt: skip
    opened = open_superglue(config, "superpoint", "cpu")
    assert opened.made_by[1] == superglue._version("transformers")
    assert superglue._version("no-such-package") == ""  # imported without being installed: no version
    assert opened.device_workers[0].kind == "cpu"


@pytest.mark.usefixtures("installed")
def test_it_is_opened_for_superpoint_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(superglue.metadata, "version", lambda name: "1")
    save_file(Standing().state_dict(), tmp_path / "mine.safetensors")
    config = RerankConfig(matcher="superglue", weights=str(tmp_path / "mine.safetensors"), filter_threshold=0.3)
    opened = open_superglue(config, "superpoint", "cpu")
    assert opened.device_workers[0].engine.threshold == 0.3  # type: ignore[attr-defined]
    assert opened.made_by[-2:] == ("float32", "cpu")
    with pytest.raises(ConfigError, match=r"keypoints\.extractor is aliked-n16\. Set keypoints\.extractor=superpoint"):
        open_superglue(config, "aliked-n16", "cpu")


def test_without_transformers_its_extra_and_its_terms_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"not be used commercially.*animalclef\[noncommercial\]"):
        load_superglue(tmp_path / "a.safetensors")


def test_its_weights_are_asked_for_and_say_that_they_are_not_for_commerce() -> None:
    chosen = ["keypoints.extractor=superpoint", "rerank.matcher=superglue"]
    assert needed_weights(load_config(None, chosen)) == ["superpoint", "superglue-outdoor"]
    assert needed_weights(load_config(None, [*chosen, "rerank.weights=superglue-indoor"]))[1:] == ["superglue-indoor"]
    assert {WEIGHTS[name].licence for name in ("superpoint", "superglue-outdoor", "superglue-indoor")} == {
        "non-commercial research (Magic Leap)"
    }


class _Detector(torch.nn.Module):
    """Stands for transformers' detector: hands out keypoints that are known already."""

    def __init__(self, *images: LocalFeatures) -> None:
        super().__init__()
        size = np.array(SIZE_WH, np.float32)
        self.found = (
            torch.tensor(np.stack([image.keypoints_xy / size for image in images])),
            torch.tensor(np.stack([image.confidence for image in images])),
            torch.tensor(np.stack([image.descriptors for image in images])),
            torch.ones(len(images), len(images[0]), dtype=torch.int),
        )

    def forward(self, pixels: torch.Tensor) -> Any:
        return self.found


def test_transformers_own_model_finds_the_same_where_nothing_is_padded(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="SuperGlue comes with the extra `noncommercial`")
    torch.manual_seed(0)
    theirs = transformers.SuperGlueForKeypointMatching(transformers.SuperGlueConfig()).eval().requires_grad_(False)
    for name, value in theirs.state_dict().items():
        if name.endswith("running_mean"):
            value.normal_(0, 0.1)
        elif name.endswith(("running_var", "batch_norm.weight")):
            value.uniform_(0.5, 2)
        elif name.startswith(("gnn", "keypoint_encoder")) and value.ndim == 2:
            value.mul_(1.5)
    theirs.final_projection.final_proj.weight.copy_(5 * torch.eye(256))
    save_file(theirs.state_dict(), tmp_path / "all.safetensors")
    one, shuffled = features(48, 1), np.random.default_rng(0).permutation(48)
    other = replace(one.select(shuffled), key="0" * 32, keypoints_xy=one.keypoints_xy[shuffled] * np.float32(0.9))
    ours = matcher(load_superglue(tmp_path / "all.safetensors"))
    left, right = sorted((one, other), key=lambda image: image.key)
    theirs.keypoint_detector = _Detector(left, right)
    with torch.inference_mode():
        found = theirs(torch.zeros(1, 2, 3, SIZE_WH[1], SIZE_WH[0]))
    wanted = found.matching_scores[0, 0].numpy()
    matched = np.flatnonzero(found.matches[0, 0].numpy() >= 0)
    assert len(matched) > 20
    assert wanted[matched].min() < 0.9
    drawn = ours.correspondences(left, right)
    np.testing.assert_allclose(drawn.confidence, wanted[matched], atol=1e-4)
    np.testing.assert_allclose(drawn.query_xy, left.keypoints_xy[matched])
    np.testing.assert_allclose(drawn.gallery_xy, right.keypoints_xy[found.matches[0, 0].numpy()[matched]])
