"""MiewID against a forward written down from its published description, with weights made up here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from animalclef.config import EmbedConfig
from animalclef.errors import WeightsError
from animalclef.features.embedding import embedder_registry as embedders
from animalclef.features.embedding.embedder_registry import EMBEDDERS
from animalclef.features.embedding.timm_embedder import TimmExtractor, load_embedder
from animalclef.structures import DecodedImage, FloatArray

SIDE = 64
MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


class FeatureSet(nn.Module):
    """The published description: features, GeM with a learnt exponent and eps 1e-6, batch norm."""

    def __init__(self, backbone: str) -> None:
        super().__init__()
        self.backbone = timm.create_model(backbone, pretrained=False)
        self.backbone.classifier, self.backbone.global_pool = nn.Identity(), nn.Identity()
        self.exponent = nn.Parameter(torch.tensor([2.6]))
        self.bn = nn.BatchNorm1d(self.backbone.num_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.backbone.forward_features(x).clamp(min=1e-6) ** self.exponent
        return self.bn(functional.avg_pool2d(maps, maps.shape[2:]).flatten(1) ** (1 / self.exponent))


def layout(model: FeatureSet, pooling: str) -> dict[str, torch.Tensor]:
    """The tensors as published, with an unused training head."""
    state = {name: value.clone() for name, value in model.state_dict().items() if name != "exponent"}
    return {**state, pooling: model.exponent.detach().clone(), "final.weight": torch.zeros(5, 8)}


def made_up(backbone: str) -> FeatureSet:
    """Random weights that keep their scale: batch norms know the photograph, branches are weak as in a trained one."""
    torch.manual_seed(0)
    model = FeatureSet(backbone)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean over what was seen
            nn.init.constant_(module.weight, 1.0 if isinstance(module.act, nn.SiLU) else 0.3)
    with torch.no_grad():
        values = (photograph().pixels[:SIDE, : 2 * SIDE].astype(np.float32) / 255 - MEAN) / STD
        model(torch.from_numpy(values).reshape(SIDE, 2, SIDE, 3).permute(1, 3, 0, 2))
        model.bn.weight.uniform_(0.5, 1.5)
        model.bn.bias.uniform_(-0.2, 0.2)
    return model.eval()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> FeatureSet:
    """The same construction on a backbone of a few thousand weights."""
    entry = replace(EMBEDDERS["miewid-msv3"], backbone="test_efficientnet")
    monkeypatch.setattr(embedders, "EMBEDDERS", {**EMBEDDERS, "miewid-msv3": entry})
    return made_up("test_efficientnet")


def photograph() -> DecodedImage:
    pixels = np.random.default_rng(3).integers(0, 256, (90, 130, 3), dtype=np.uint8)
    return DecodedImage(pixels, None, (130, 90))


def stored(model: FeatureSet, pooling: str, folder: Path) -> Path:
    path = folder / f"{pooling}.safetensors"
    save_file(layout(model, pooling), path)
    return path


def embedding(extractor: TimmExtractor) -> FloatArray:
    with ThreadPoolExecutor(1) as pool:
        return extractor.extract_features([photograph()], pool)[0]["embedding"].astype(np.float32)


def expected(model: FeatureSet, pixels: np.ndarray) -> FloatArray:
    values = torch.from_numpy((pixels.astype(np.float32) / 255 - MEAN) / STD).permute(2, 0, 1)[None]
    with torch.no_grad():
        return functional.normalize(model(values))[0].numpy()


def settings(path: Path, **more: object) -> EmbedConfig:
    given = {"image_size": SIDE, "precision": "plain", **more}
    return EmbedConfig(model="miewid-msv3", weights=str(path), **given)


def as_in_card() -> np.ndarray:
    return np.asarray(Image.fromarray(photograph().pixels).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def test_either_published_layout_gives_the_described_embedding(tmp_path: Path) -> None:
    model = made_up("efficientnetv2_rw_m")
    wanted = expected(model, as_in_card())
    assert wanted.shape == (2152,)
    for pooling in ("pooling.p", "backbone.global_pool.p"):
        extractor = load_embedder(settings(stored(model, pooling, tmp_path)), "cpu")
        np.testing.assert_allclose(embedding(extractor), wanted, atol=1e-5)
    weights = sum(value.numel() for value in extractor.model.parameters())
    assert weights == pytest.approx(51.09e6, rel=1e-3)  # as published


def test_the_plugin_s_way_of_resizing_gives_another_embedding(small: FeatureSet, tmp_path: Path) -> None:
    path = stored(small, "pooling.p", tmp_path)
    as_in_plugin = cv2.resize(photograph().pixels, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    card, plugin = expected(small, as_in_card()), expected(small, as_in_plugin)
    np.testing.assert_allclose(embedding(load_embedder(settings(path), "cpu")), card, atol=1e-5)
    in_plugin = load_embedder(settings(path, resize="opencv-linear"), "cpu")
    np.testing.assert_allclose(embedding(in_plugin), plugin, atol=1e-5)
    assert np.abs(card - plugin).max() > 1e-3


def test_what_is_missing_surplus_or_misshapen_is_named(small: FeatureSet, tmp_path: Path) -> None:
    state = load_file(stored(small, "pooling.p", tmp_path))
    cases = {
        r"1 missing and 0 surplus keys \(first: missing pooling\.p\)": {"pooling.p": None},
        r"2 missing .*first: missing backbone\.conv_stem\.weight": {"backbone.conv_stem.weight": None, "bn.bias": None},
        r"0 missing and 1 surplus keys \(first: surplus neck\.weight\)": {"neck.weight": torch.zeros(1)},
        r"surplus backbone\.global_pool\.p": {"backbone.global_pool.p": torch.ones(1)},
        r"bn\.weight: expected shape \(\d+,\), got \(3,\)": {"bn.weight": torch.zeros(3)},
    }
    for number, (message, change) in enumerate(cases.items()):
        path = tmp_path / f"{number}.safetensors"
        changed = {name: value for name, value in {**state, **change}.items() if value is not None}
        save_file(changed, path)
        with pytest.raises(WeightsError, match=message):
            load_embedder(settings(path), "cpu")


@pytest.mark.parametrize(("precision", "least"), [("float32", 0.999999), ("bfloat16", 0.999)])
def test_faster_arithmetic_stays_close(small: FeatureSet, tmp_path: Path, precision: str, least: float) -> None:
    path = stored(small, "pooling.p", tmp_path)
    plain = embedding(load_embedder(settings(path), "cpu"))
    extractor = load_embedder(settings(path, precision=precision), "cpu")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in extractor.model.modules())
    assert float(plain @ embedding(extractor)) > least
