"""The trained network: as the pipeline builds it, started from other weights, written and loaded again."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from animalclef.config import EmbedConfig
from animalclef.config.embedder_training import EmbedderNetworkConfig
from animalclef.errors import ConfigError, WeightsError
from animalclef.features.embedding.timm_embedder import load_embedder
from animalclef.structures import DecodedImage
from animalclef.training.embedder.trained_network import (
    Started,
    TrainedNetwork,
    build_trained,
    find_start,
    measure_batch_norms,
    save_embedder,
    set_mode,
    start_from,
)


def tiny(**changed: object) -> TrainedNetwork:
    settings = {"model": "arcface:test_resnet", "dimensions": 8, "image_size": 32, **changed}
    return build_trained(EmbedderNetworkConfig.model_validate(settings))


def embedded(path: Path, pixels: np.ndarray, **settings: object) -> np.ndarray:  # type: ignore[type-arg]
    extractor = load_embedder(EmbedConfig(model=f"file:{path}", precision="float32", **settings), "cpu")  # type: ignore[arg-type]
    with ThreadPoolExecutor(1) as pool:
        return extractor.extract_features([DecodedImage(pixels, None, pixels.shape[1::-1])], pool)[0]["embedding"]


@pytest.mark.parametrize("changed", [
    {},
    {"pool": "gem", "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "resize": "pil-bilinear"},
    {"dimensions": None},
    {"model": "arcface:test_efficientnet", "options": {"pad_type": "same"}, "image_size": 48, "pool": "gem"},
])  # fmt: skip
def test_what_is_written_embeds_in_the_pipeline_as_it_did_in_training(
    changed: dict[str, object], tmp_path: Path
) -> None:
    torch.manual_seed(1)
    network = tiny(**changed)
    with torch.no_grad():
        for part in network.module.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                part.running_mean.uniform_(-0.1, 0.1)
                part.running_var.uniform_(0.5, 2)
                part.weight.uniform_(0.5, 2)
    save_embedder(tmp_path / "mine.safetensors", network.module.state_dict(), network)
    pixels = np.random.default_rng(1).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    view = network.preprocessing.views(DecodedImage(pixels, None, (90, 60)))
    with torch.inference_mode():
        mine = network.module.eval()(network.preprocessing.normalise(torch.from_numpy(view), "cpu"))[0].numpy()
    theirs = embedded(tmp_path / "mine.safetensors", pixels)
    assert len(theirs) == network.dimensions
    assert float(mine / np.linalg.norm(mine) @ theirs) > 0.99999  # half precision of the matrices is all that differs


def test_the_file_says_what_it_is_and_keeps_small_tensors_and_large_numbers_whole(tmp_path: Path) -> None:
    network = tiny(options={"act_layer": "silu"})
    with torch.no_grad():
        network.module.neck.weight[0, 0] = 1e6  # type: ignore[index, union-attr]
    path = tmp_path / "mine.safetensors"
    save_embedder(path, network.module.state_dict(), network)
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["animalclef.embedder"])
        kinds = {name: file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
    assert about["model"] == "arcface:test_resnet"
    assert about["options"] == {"act_layer": "silu", "neck_dimensions": 8, "neck_pool": "avg"}
    assert (about["size"], about["resize"]) == (32, "opencv-adaptive")
    assert kinds["backbone.layer1.0.conv1.weight"] == torch.float16
    assert kinds["neck.weight"] == kinds["bn.running_var"] == torch.float32
    assert kinds["bn.num_batches_tracked"] == torch.int64


@pytest.mark.parametrize(("model", "sentence"), [
    ("embedder-lite", "Start from them with --start embedder-lite"), ("rootsift-vlad", "it has no weights to train"),
])  # fmt: skip
def test_what_is_no_network_is_not_trained(model: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        build_trained(EmbedderNetworkConfig(model=model))


def test_a_backbone_s_file_leaves_the_neck_new_and_must_fit_otherwise(tmp_path: Path) -> None:
    torch.manual_seed(2)
    backbone = timm.create_model("test_resnet", num_classes=5)
    save_file(backbone.state_dict(), tmp_path / "backbone.safetensors")
    network = tiny()
    before = network.module.neck.weight.detach().clone()  # type: ignore[union-attr, operator]
    started = start_from(network, tmp_path / "backbone.safetensors")
    assert started.new == ("bn.bias", "bn.num_batches_tracked", "bn.running_mean", "bn.running_var", "bn.weight",
                           "neck.weight")  # fmt: skip
    assert started.unused == ()
    taken = network.module.state_dict()
    assert torch.equal(taken["neck.weight"], before)
    assert all(torch.equal(taken[f"backbone.{name}"], value) for name, value in backbone.state_dict().items()
               if not name.startswith("fc."))  # fmt: skip

    torch.save({"model": backbone.state_dict()}, tmp_path / "wrapped.pth")
    assert start_from(tiny(), tmp_path / "wrapped.pth").new == started.new
    some = {name: value for name, value in backbone.state_dict().items() if not name.startswith("layer1.0.conv1")}
    save_file(some, tmp_path / "some.safetensors")
    with pytest.raises(WeightsError, match=r"1 missing and 0 surplus keys \(first: missing backbone.layer1.0.conv1"):
        start_from(tiny(), tmp_path / "some.safetensors")
    save_file({**backbone.state_dict(), "more.weight": torch.zeros(1)}, tmp_path / "more.safetensors")
    with pytest.raises(WeightsError, match=r"0 missing and 1 surplus keys \(first: surplus backbone.more.weight"):
        start_from(tiny(), tmp_path / "more.safetensors")
    narrow = {**backbone.state_dict(), "layer1.0.conv1.weight": torch.zeros(3, 3)}
    save_file(narrow, tmp_path / "narrow.safetensors")
    with pytest.raises(WeightsError, match=r"layer1.0.conv1.weight: expected shape .* got \(3, 3\)"):
        start_from(tiny(), tmp_path / "narrow.safetensors")


def test_a_whole_network_s_file_brings_its_neck_where_that_has_the_size(tmp_path: Path) -> None:
    torch.manual_seed(3)
    first = tiny()
    save_embedder(tmp_path / "first.safetensors", first.module.state_dict(), first)
    same = tiny()
    assert start_from(same, tmp_path / "first.safetensors").new == ()
    assert torch.allclose(same.module.neck.weight, first.module.neck.weight, atol=1e-3)  # type: ignore[union-attr, arg-type]
    wider = start_from(tiny(dimensions=12), tmp_path / "first.safetensors")
    assert wider.new == wider.unused == ("bn.bias", "bn.running_mean", "bn.running_var", "bn.weight", "neck.weight")
    bare = start_from(tiny(dimensions=None), tmp_path / "first.safetensors")
    assert bare.new == ()
    assert bare.unused[-1] == "neck.weight"
    with pytest.raises(WeightsError, match="no such weight file"):
        start_from(tiny(), tmp_path / "absent.safetensors")


def test_a_plain_timm_network_starts_strictly(tmp_path: Path) -> None:
    network = build_trained(EmbedderNetworkConfig(model="timm:test_resnet", image_size=32))
    state = timm.create_model("test_resnet", num_classes=3).state_dict()
    save_file(state, tmp_path / "start.safetensors")
    assert start_from(network, tmp_path / "start.safetensors").new == ()
    save_file({**state, "bn.weight": torch.zeros(1)}, tmp_path / "more.safetensors")
    with pytest.raises(WeightsError, match=r"surplus bn\.weight"):
        start_from(network, tmp_path / "more.safetensors")


def test_published_weights_are_a_start_only_where_somebody_publishes_them() -> None:
    with pytest.raises(WeightsError, match="no weights of arcface:test_resnet are published"):
        find_start("published", "arcface:test_resnet")
    assert find_start("some.safetensors", "arcface:test_resnet") == Path("some.safetensors")


def test_miewid_s_published_file_is_a_start(published_bundle: Path) -> None:
    network = build_trained(EmbedderNetworkConfig(model="miewid-msv3", image_size=64))
    assert start_from(network, published_bundle / "miewid-msv3.safetensors") == Started((), ())
    assert network.dimensions == 2152


def test_settings_that_do_not_fit_are_told() -> None:
    with pytest.raises(ConfigError, match=r"network.dimensions: timm:test_resnet has no neck to set"):
        build_trained(EmbedderNetworkConfig(model="timm:test_resnet", dimensions=8))
    with pytest.raises(ConfigError, match="give the file with --start"):
        tiny(model="file:mine.safetensors")
    with pytest.raises(ConfigError, match="no such embedder"):
        tiny(model="nonsense")
    with pytest.raises(ConfigError, match="timm cannot build it"):
        tiny(model="arcface:nonsense")
    with pytest.raises(ConfigError, match="cannot take 40 x 40 pixels"):
        tiny(model="arcface:test_vit", image_size=40)


def test_a_frozen_batch_norm_keeps_its_statistics_and_a_frozen_backbone_all_of_them() -> None:
    for frozen, batch_norm, in_training in ((False, "train", True), (False, "frozen", False), (True, "train", False)):
        network = tiny().module
        set_mode(network, frozen=frozen, batch_norm=batch_norm)
        assert network.bn.training  # type: ignore[union-attr]
        assert network.backbone.training is not frozen  # type: ignore[union-attr]
        norms = [part for part in network.backbone.modules() if isinstance(part, nn.BatchNorm2d)]  # type: ignore[union-attr]
        assert norms
        assert all(part.training is in_training for part in norms)
        before = norms[0].running_mean.clone()
        network(torch.randn(4, 3, 32, 32))
        assert torch.equal(before, norms[0].running_mean) is not in_training


def test_measured_batch_norms_compute_the_same_and_are_normal_again() -> None:
    network = build_trained(EmbedderNetworkConfig(model="arcface:test_resnet", dimensions=8, image_size=32))
    generator = torch.Generator().manual_seed(0)
    norms = [part for part in network.module.backbone.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:  # as folded: statistics 0 and 1, the scale 1, a shift
        norm.bias.data = torch.randn(norm.bias.shape, generator=generator)
    neck = network.module.bn.running_mean.clone()
    inputs = torch.randn(8, 3, 32, 32, generator=generator)
    before = network.module.eval()(inputs)
    measure_batch_norms(network.module, inputs)
    assert torch.allclose(network.module.eval()(inputs), before, atol=1e-4)
    assert all(not torch.equal(norm.running_mean, torch.zeros_like(norm.running_mean)) for norm in norms)
    set_mode(network.module.backbone, frozen=False, batch_norm="measured")
    network.module.bn.eval()
    assert torch.allclose(network.module(inputs), before, atol=1e-2)  # the same photographs, batch statistics
    assert torch.equal(network.module.bn.running_mean, neck)
    assert not norms[0]._forward_pre_hooks


@pytest.mark.shared
def test_the_imagenet_mobilenet_starts_a_small_embedder(shared: Path) -> None:
    network = build_trained(EmbedderNetworkConfig(
        model="arcface:mobilenetv2_100", dimensions=16, image_size=64, options={"pad_type": "same"}
    ))  # fmt: skip
    started = start_from(network, shared / "weights" / "mobilenetv2_100_imagenet.safetensors")
    assert {name.partition(".")[0] for name in started.new} == {"bn", "neck"}
    assert started.unused == ()
