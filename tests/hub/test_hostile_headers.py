"""Headers of weight files whose values are of another type: one sentence, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from animalclef.errors import ConfigError, WeightsError
from animalclef.features.embedding.embedder_registry import METADATA, find_embedder, trained_on_keys
from animalclef.hub.catalogue import lightglue_header
from animalclef.matching.lightglue.loading import load_lightglue


def weights(folder: Path, name: str, text: str) -> Path:
    save_file({"a": torch.zeros(1)}, folder / "w.safetensors", metadata={name: text})
    return folder / "w.safetensors"


@pytest.mark.parametrize(
    "about",
    [
        [1], 3, "x", {}, {"model": 3}, {"model": "timm:resnet18", "size": "large"},
        {"model": "timm:resnet18", "mean": [1], "std": [1]}, {"model": "timm:resnet18", "options": 3},
        {"model": "timm:resnet18", "resize": [1]}, {"model": "timm:resnet18", "mean": "abc", "std": "abc"},
    ],
)  # fmt: skip
def test_an_embedder_whose_header_is_of_another_kind(tmp_path: Path, about: object) -> None:
    path = weights(tmp_path, METADATA, json.dumps(about))
    with pytest.raises(ConfigError):
        find_embedder(f"file:{path}")
    assert trained_on_keys(path) == frozenset()


def test_an_embedder_with_a_whole_header(tmp_path: Path) -> None:
    about = {"model": "timm:resnet18", "size": 64, "mean": [0, 0.5, 1], "std": [1, 1, 1], "resize": "pil-bilinear"}
    entry = find_embedder(f"file:{weights(tmp_path, METADATA, json.dumps(about))}")
    assert (entry.size, entry.mean_std, entry.resize) == (64, ((0, 0.5, 1), (1, 1, 1)), "pil-bilinear")


@pytest.mark.parametrize("text", ["[1]", "3", "{", '{"features": "sift", "input_dim": "wide"}', '{"n_layers": 3}'])
def test_a_matcher_whose_header_is_of_another_kind(tmp_path: Path, text: str) -> None:
    path = weights(tmp_path, "lightglue", text)
    with pytest.raises(WeightsError):
        load_lightglue(path, "sift")


def test_a_matcher_without_a_header(tmp_path: Path) -> None:
    assert lightglue_header(weights(tmp_path, "other", "x")) is None
