"""The training forward beside kornia's own, padding, and the start from other weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from animalclef.config.training import MatcherNetworkConfig
from animalclef.errors import WeightsError
from animalclef.hub.load import read_weights
from animalclef.training.matcher.lightglue_training import Batch, build_network, forward, save_network, start_from

SIZES = torch.tensor([[640.0, 360.0]]), torch.tensor([[200.0, 300.0]])


def images(m: int, n: int, seed: int = 0) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    made = []
    for count, size in zip((m, n), SIZES, strict=True):
        made.append({
            "keypoints": torch.rand(1, count, 2, generator=generator) * size[:, None],
            "descriptors": torch.nn.functional.normalize(torch.randn(1, count, 128, generator=generator), dim=-1),
            "image_size": size,
            "scales": torch.rand(1, count, generator=generator) * 9,
            "oris": torch.rand(1, count, generator=generator) * 6,
        })  # fmt: skip
    return made


def batch_of(pair: list[dict[str, torch.Tensor]], with_scale: bool, padding: int = 0) -> Batch:
    sides: list[Any] = []
    for image in pair:
        size = image["image_size"]
        places = (image["keypoints"] - size[:, None] / 2) / (size.max() / 2)
        if with_scale:
            places = torch.cat([places, image["scales"][..., None], image["oris"][..., None]], -1)
        mask = torch.ones(places.shape[:2], dtype=torch.bool)
        tensors = [image["descriptors"], places, mask]
        sides.append([torch.cat([t, t.new_zeros(1, padding, *t.shape[2:])], 1) for t in tensors])
    pairs = list(zip(*sides, strict=True))
    return Batch(pairs[0], pairs[1], pairs[2], pairs[2], ("a and b",))


@pytest.mark.parametrize("config", [
    MatcherNetworkConfig(descriptor_dim=24, n_layers=3, num_heads=1),
    MatcherNetworkConfig(descriptor_dim=32, n_layers=2, num_heads=4, add_scale_ori=True),
    MatcherNetworkConfig(descriptor_dim=128, n_layers=1, num_heads=2),
])  # fmt: skip
@pytest.mark.parametrize("padding", [0, 5])
def test_the_last_layer_is_what_kornia_infers(config: MatcherNetworkConfig, padding: int) -> None:
    torch.manual_seed(1)
    network = build_network(128, config).eval()
    pair = images(37, 21)
    with torch.inference_mode():
        expected = network({"image0": pair[0], "image1": pair[1]})
        ours = forward(network, batch_of(pair, config.add_scale_ori, padding))
        short = forward(network, batch_of(pair, config.add_scale_ori, padding), last_only=True)
    last = ours.log_assignments[-1]
    rows, columns = [*range(37), 37 + padding], [*range(21), 21 + padding]
    assert torch.allclose(last[:, rows][:, :, columns], expected["log_assignment"], atol=1e-4)
    assert torch.equal(short.log_assignments[-1], last)
    assert len(ours.log_assignments) == config.n_layers
    assert len(ours.confidences) == config.n_layers - 1


def test_confidences_are_kornias() -> None:
    network: Any = build_network(128, MatcherNetworkConfig(descriptor_dim=16, n_layers=2)).eval()
    seen: list[Any] = []
    network.token_confidence[0].register_forward_hook(lambda module, given, result: seen.append(result))
    network.conf.depth_confidence = 0.95
    pair = images(9, 7)
    with torch.inference_mode():
        network({"image0": pair[0], "image1": pair[1]})
        logits = forward(network, batch_of(pair, False)).confidences[0]
    for one, theirs in zip(logits, seen[0], strict=True):
        assert torch.allclose(one.sigmoid(), theirs, atol=1e-5)


def test_padding_gives_no_gradient_that_is_not_a_number() -> None:
    network = build_network(128, MatcherNetworkConfig(descriptor_dim=16, n_layers=2))
    outputs = forward(network, batch_of(images(6, 4), False, padding=3))
    sum(scores[:, :6, :4].sum() for scores in outputs.log_assignments).backward()  # type: ignore[union-attr]
    assert all(torch.isfinite(one.grad).all() for one in network.parameters() if one.grad is not None)


def test_a_start_gives_all_but_the_projection_and_empty_heads_are_filled() -> None:
    torch.manual_seed(2)
    config = MatcherNetworkConfig(descriptor_dim=16, n_layers=2)
    start = {name: value.clone() for name, value in build_network(64, config).state_dict().items()}
    for name in start:
        if name.startswith("log_assignment.0."):
            start[name].zero_()
    network = build_network(128, config)
    assert start_from(network, start, "file") == ["input_proj.weight"]
    own = network.state_dict()
    assert torch.equal(own["transformers.1.self_attn.Wqkv.weight"], start["transformers.1.self_attn.Wqkv.weight"])
    assert torch.equal(own["log_assignment.0.final_proj.weight"], start["log_assignment.1.final_proj.weight"])

    wider = build_network(128, config.model_copy(update={"add_scale_ori": True}))
    assert start_from(wider, start, "file") == ["input_proj.weight", "posenc.Wr.weight"]
    encoding = wider.state_dict()["posenc.Wr.weight"]
    assert torch.equal(encoding[:, :2], start["posenc.Wr.weight"])
    assert not encoding[:, 2:].any()


def test_a_start_of_another_size_is_refused() -> None:
    start = build_network(64, MatcherNetworkConfig(descriptor_dim=16, n_layers=1)).state_dict()
    with pytest.raises(
        WeightsError, match=r"other.safetensors: posenc.Wr.weight is of shape \(8, 2\), expected \(12, 2\)"
    ):
        start_from(build_network(128, MatcherNetworkConfig(descriptor_dim=24, n_layers=1)), start, "other.safetensors")
    with pytest.raises(WeightsError, match=r"transformers\.1.* is absent"):
        start_from(build_network(128, MatcherNetworkConfig(descriptor_dim=16, n_layers=2)), start, "f")


def test_what_is_saved_loads_strictly_into_kornia(tmp_path: Path) -> None:
    import json

    from kornia.feature import LightGlue
    from safetensors import safe_open

    config = MatcherNetworkConfig(descriptor_dim=16, n_layers=2)
    save_network(tmp_path / "n.safetensors", build_network(128, config).state_dict(), config)
    with safe_open(tmp_path / "n.safetensors", framework="pt") as file:
        header = json.loads(file.metadata()["lightglue"])
    assert header == {
        "features": "sift", "input_dim": 128, "descriptor_dim": 16, "n_layers": 2, "num_heads": 1,
        "add_scale_ori": False,
    }  # fmt: skip
    weights = read_weights(tmp_path / "n.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float16}
    header.pop("features")
    LightGlue(features=None, **header).load_state_dict(weights, strict=True)


def test_a_file_that_is_no_weights_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    for name in ("x.safetensors", "absent.safetensors"):
        with pytest.raises(WeightsError, match=name):
            read_weights(tmp_path / name)
