"""A recipe that is given as settings is changed by `settings` and `seed` as one that is named."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from animalclef.api import training
from animalclef.config import TrainConfig, TrainMatcherConfig, load_recipe


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The settings that trainings are started with."""
    configs: list[Any] = []
    for name in ("train_network", "train_on_images"):
        monkeypatch.setattr(training, name, lambda config, *_, **__: configs.append(config))
    monkeypatch.setattr(training, "table_of", lambda *_: SimpleNamespace(images=None))
    return configs


def test_a_given_recipe_is_changed(used: list[Any], tmp_path: Path) -> None:
    training.train_embedder(
        tmp_path, tmp_path, recipe=load_recipe(TrainConfig, "miewid"), settings=["epochs=7"], seed=3
    )
    training.train_matcher(tmp_path, tmp_path, recipe=TrainMatcherConfig(), settings=["steps=70"], seed=3)
    assert used == [
        load_recipe(TrainConfig, "miewid", ["epochs=7"], 3),
        load_recipe(TrainMatcherConfig, None, ["steps=70"], 3),
    ]


@pytest.mark.parametrize("name", ["miewid", "triplet-resnet50"])
def test_a_given_recipe_is_taken_as_it_is(name: str, used: list[Any], tmp_path: Path) -> None:
    recipe = load_recipe(TrainConfig, name)
    training.train_embedder(tmp_path, tmp_path, recipe=recipe)
    assert used == [recipe]
