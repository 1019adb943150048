"""The embedder that ships: its file, its card, its name, and that it knows animals it never saw."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from typer.testing import CliRunner

from animalclef.cli import app
from animalclef.config import DataConfig, EmbedConfig, TrainConfig, load_recipe
from animalclef.data.decode import read_image
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.features.embedding.embedder_registry import find_embedder
from animalclef.features.embedding.timm_embedder import load_embedder
from animalclef.hub.shipped import SHIPPED, shipped_embedder
from animalclef.metrics.retrieval_metrics import Candidates, one_against_all
from animalclef.structures import DecodedImage
from animalclef.synthetic import TrainingSetConfig, render_training_set
from animalclef.training.embedder.trained_network import build_trained, find_start, start_from


def test_the_file_says_what_it_is_and_has_a_card() -> None:
    path = shipped_embedder("embedder-small")
    assert SHIPPED == ("embedder-small",)
    recipe = load_recipe(TrainConfig, "embedder-small")
    with safe_open(path, framework="np") as file:
        header = json.loads(file.metadata()["animalclef.embedder"])
    assert (header["model"], header["size"]) == (recipe.network.model, recipe.network.image_size)
    assert path.stat().st_size < 12_000_000
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    for said in ("Apache-2.0", "Command", "seed", "Data", "minutes"):
        assert said in card


def test_its_name_is_enough_to_embed_and_to_start_from() -> None:
    assert find_embedder("embedder-small").weights == shipped_embedder("embedder-small")
    assert find_start("embedder-small", "arcface:mobilenetv2_100") == shipped_embedder("embedder-small")
    started = start_from(
        build_trained(load_recipe(TrainConfig, "embedder-tune").network), find_start("embedder-small", "")
    )
    assert started.new == ()


def test_it_tells_animals_of_species_it_never_saw(tmp_path: Path) -> None:
    """Two invented species of another seed; each photograph against all others of its species."""
    config = TrainingSetConfig(seed=901, species=2, animals=5, photographs=3, visits=6)
    images = load_table(find_source(render_training_set(tmp_path / "crowd", config))).images
    embedder = load_embedder(EmbedConfig(model="embedder-small", precision="float32"), "cpu")
    decoded: list[DecodedImage] = [read_image(images, row, DataConfig()) for row in range(len(images))]
    with ThreadPoolExecutor(1) as pool:
        vectors = np.stack([entry["embedding"] for entry in embedder.extract_features(decoded, pool)])
    found = one_against_all(Candidates(vectors, images.identity, images.species, images.viewpoint))
    assert vectors.shape == (30, 256)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-4)
    assert found.mean["rank-1"] > 0.25  # 0.33 when it was trained; 0.14 by chance


def test_predict_takes_it_by_name(tmp_path: Path) -> None:
    from tiny import TINY_SETTINGS, make_tiny_data

    data = make_tiny_data(tmp_path / "data", datasets=("NewtID",))
    settings = [part for one in (*TINY_SETTINGS, "embed.model=embedder-small") for part in ("--set", one)]
    places = ["--data", str(data), "--run", str(tmp_path / "run"), "--out", str(tmp_path / "who.csv"), "--no-ledger"]
    result = CliRunner().invoke(app, ["predict", *places, *settings], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "who.csv").is_file()
