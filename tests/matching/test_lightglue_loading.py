"""Weight files become networks only where every key fits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightglue_cases import SMALL, random_model, save_ours
from safetensors.torch import load_file, save_file

from animalclef.errors import ConfigError, WeightsError
from animalclef.hub import needed_weights
from animalclef.matching.lightglue import loading as lightglue_loading
from animalclef.matching.lightglue.loading import LightGlueConfig, LightGlueModel, find_lightglue, load_lightglue

SIFT = LightGlueConfig("sift", 128, 96, 3, 1, add_scale_ori=True)


def published(model: LightGlueModel, prefix: str = "") -> dict[str, torch.Tensor]:
    """The authors' names: `self_attn.N` and `cross_attn.N`."""
    state = {}
    for name, value in model.network.state_dict().items():
        parts = name.split(".")
        if parts[0] == "transformers":
            parts = [parts[2], parts[1], *parts[3:]]
        state[prefix + ".".join(parts)] = value.clone()
    return state


def same(one: LightGlueModel, other: LightGlueModel) -> bool:
    state = other.network.state_dict()
    return all(torch.equal(value, state[name]) for name, value in one.network.state_dict().items())


def test_the_authors_names_are_kornias(tmp_path: Path) -> None:
    model = random_model()
    state = published(model)
    assert "cross_attn.3.to_qk.weight" in state
    torch.save(state, tmp_path / "one.pth")
    found = load_lightglue(tmp_path / "one.pth", "aliked")
    assert same(found, model)
    assert not found.network.training
    assert (found.config.input_dim, found.config.descriptor_dim, found.config.n_layers) == (32, 64, 4)
    assert (found.config.num_heads, found.config.add_scale_ori, found.config.depth_confidence) == (2, False, 0.95)


def test_lighterglue_lies_under_a_prefix_beside_its_extractor(tmp_path: Path) -> None:
    model = random_model(replace(SMALL, features="xfeat"))
    state = published(model, "matcher.") | {"extractor.net.conv.weight": torch.zeros(3)}
    del state["matcher.confidence_thresholds"]
    torch.save(state, tmp_path / "one.pt")
    found = load_lightglue(tmp_path / "one.pt", "xfeat")
    assert same(found, model)
    assert found.config.depth_confidence == -1


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_one_missing_or_surplus_key_is_named(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"one{ending}"
    write = torch.save if ending == ".pth" else save_file
    state = published(random_model())
    left = state.pop("cross_attn.2.to_v.bias")
    write(state, path)
    with pytest.raises(WeightsError, match=r"1 missing and 0 surplus keys.*transformers\.2\.cross_attn\.to_v\.bias"):
        load_lightglue(path, "aliked")
    write({**state, "cross_attn.2.to_v.bias": left, "more": left.clone()}, path)
    with pytest.raises(WeightsError, match=r"0 missing and 1 surplus keys.*more"):
        load_lightglue(path, "aliked")
    write({**state, "cross_attn.2.to_v.bias": left[:5].clone()}, path)
    with pytest.raises(WeightsError, match=r"cross_attn\.to_v\.bias"):
        load_lightglue(path, "aliked")
    write({}, path)
    with pytest.raises(WeightsError):
        load_lightglue(path, "aliked")
    write({"something": left}, path)
    with pytest.raises(WeightsError, match="not LightGlue weights"):
        load_lightglue(path, "aliked")


def test_a_release_has_the_shape_it_was_published_with(tmp_path: Path) -> None:
    torch.save(published(random_model()), tmp_path / "small.pth")
    with pytest.raises(WeightsError, match=r"missing and 0 surplus"):
        load_lightglue(tmp_path / "small.pth", "aliked", released=True)  # nine layers were expected
    with pytest.raises(ConfigError, match=r"dense-sift: LightGlue has no weights.*aliked"):
        load_lightglue(tmp_path / "small.pth", "dense-sift", released=True)


def test_our_own_files_say_what_they_are(tmp_path: Path) -> None:
    model = random_model(SIFT)
    path = save_ours(tmp_path / "compact.safetensors", model)
    found = load_lightglue(path, "sift")
    assert same(found, model)
    assert (found.config.num_heads, found.config.add_scale_ori, found.config.signed_orientation) == (1, True, False)
    assert (found.config.depth_confidence, found.config.width_confidence) == (-1, -1)
    assert found.digest == load_lightglue(path, "sift").digest
    with pytest.raises(ConfigError, match=r"a matcher for sift; keypoints\.extractor gives aliked"):
        load_lightglue(path, "aliked")
    save_file(load_file(path), path, metadata={"lightglue": '{"features": "sift", "colour": 3}'})
    with pytest.raises(WeightsError, match="header does not fit"):
        load_lightglue(path, "sift")


@pytest.mark.parametrize("flash", [False, True])
def test_loading_leaves_torchs_attention_as_it_was(flash: bool, tmp_path: Path) -> None:
    torch.save(published(random_model()), tmp_path / "one.pth")
    before = torch.backends.cuda.flash_sdp_enabled()
    torch.backends.cuda.enable_flash_sdp(flash)
    try:
        load_lightglue(tmp_path / "one.pth", "aliked")
        assert torch.backends.cuda.flash_sdp_enabled() is flash
    finally:
        torch.backends.cuda.enable_flash_sdp(before)


def test_heads_of_zeros_switch_their_part_off(tmp_path: Path) -> None:
    state = published(random_model())
    for name, value in state.items():
        if name.startswith("token_confidence"):
            value.zero_()
    torch.save(state, tmp_path / "one.pth")
    config = load_lightglue(tmp_path / "one.pth", "aliked").config
    assert (config.depth_confidence, config.width_confidence) == (-1, 0.99)
    found = load_lightglue(tmp_path / "one.pth", "aliked").with_settings({"depth_confidence": 0.5})
    assert found.config.depth_confidence == 0.5


def test_what_ships_comes_before_what_the_authors_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = tmp_path / "compact.safetensors"
    monkeypatch.setattr(lightglue_loading, "shipped_matcher", lambda name: shipped if name == "sift" else None)
    monkeypatch.setattr(needed_weights, "find_weights", lambda name, folder: Path(name))
    assert find_lightglue("sift", None) == (shipped, False)
    assert find_lightglue("aliked", None) == (Path("lightglue-aliked"), True)
    assert find_lightglue("xfeat", None) == (Path("lighterglue"), True)
    assert find_lightglue("sift", "lightglue-sift") == (Path("lightglue-sift"), True)
    assert find_lightglue("sift", str(save_ours(tmp_path / "mine.safetensors", random_model(SIFT))))[1] is False
    with pytest.raises(WeightsError, match=r"rerank\.weights absent\.pth: no such file"):
        find_lightglue("sift", "absent.pth")


@pytest.mark.shared
def test_the_real_compact_weights(shared: Path) -> None:
    model = load_lightglue(shared / "weights" / "lighterglue_l3.safetensors", "xfeat")
    assert (model.config.n_layers, model.config.num_heads, model.config.descriptor_dim) == (3, 1, 96)
    assert (model.config.depth_confidence, model.config.width_confidence) == (-1, -1)
