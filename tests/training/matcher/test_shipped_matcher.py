"""The matcher that ships: its file, its card, and that it matches what it never saw."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import safe_open
from training_cases import drawn_photographs

import animalclef
from animalclef.config import load_recipe
from animalclef.config.training import MatcherNetworkConfig, TrainMatcherConfig
from animalclef.hub.load import read_weights
from animalclef.runtime.progress import Silent
from animalclef.training.matcher.lightglue_training import build_network
from animalclef.training.matcher.matcher_validation import measure, nearest_neighbours, network_matches
from animalclef.training.matcher.training_folder import fill_store, find_photographs, subjects_of
from animalclef.training.matcher.view_batches import PairSource

FILE = Path(animalclef.__file__).parent / "weights" / "lightglue-sift.safetensors"


def test_the_file_says_what_it_is_and_has_a_card() -> None:
    with safe_open(FILE, framework="np") as file:
        header = json.loads(file.metadata()["lightglue"])
    recipe = load_recipe(TrainMatcherConfig, "lightglue-sift")
    assert header == {"features": "sift", "input_dim": 128, **recipe.network.model_dump()}
    assert FILE.stat().st_size < 4_000_000
    card = FILE.with_suffix(".md").read_text(encoding="utf-8")
    assert "Apache-2.0" in card
    assert "seed" in card


def test_it_finds_more_on_warped_photographs_than_nearest_neighbours_do(tmp_path: Path) -> None:
    recipe = load_recipe(TrainMatcherConfig, "lightglue-sift", ["others=0"])
    network = build_network(128, MatcherNetworkConfig(**recipe.network.model_dump())).eval()
    network.load_state_dict({name: value.float() for name, value in read_weights(FILE).items()}, strict=True)
    photos = find_photographs(drawn_photographs(tmp_path / "images", 6))
    store, key_of, _ = fill_store(photos, tmp_path / "views", recipe, 1, Silent())
    pairs = PairSource(subjects_of(photos, key_of, store, 2, 16), store, recipe).pairs(8, 1)
    ours = measure(network_matches(network, recipe), pairs, 4.0)
    theirs = measure(nearest_neighbours(0.9), pairs, 4.0)
    assert ours["precision"] > 0.6
    assert ours["recall"] > theirs["recall"]
