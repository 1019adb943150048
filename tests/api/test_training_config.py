"""The settings of a training are given as those of a run: as settings, by name, or as a YAML file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from animalclef.api import training
from animalclef.api.datasets import load_config
from animalclef.config import TrainConfig, TrainMatcherConfig, load_recipe
from animalclef.errors import ConfigError


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The settings that trainings are started with."""
    configs: list[Any] = []
    for name in ("train_network", "train_on_images"):
        monkeypatch.setattr(training, name, lambda config, *_, **__: configs.append(config))
    monkeypatch.setattr(training, "table_of", lambda *_: SimpleNamespace(images=None))
    return configs


def test_given_settings_are_changed_by_the_seed_alone(used: list[Any], tmp_path: Path) -> None:
    training.train_embedder(tmp_path, tmp_path, config=load_config("miewid", "epochs=7", command="train"), seed=3)
    training.train_matcher(tmp_path, tmp_path, config=TrainMatcherConfig(steps=70))
    assert used == [
        load_recipe(TrainConfig, "miewid", ["epochs=7"], 3),
        load_recipe(TrainMatcherConfig, None, ["steps=70"]),
    ]


@pytest.mark.parametrize("name", ["miewid", "triplet-resnet50"])
def test_a_shipped_config_is_found_by_its_name(name: str, used: list[Any], tmp_path: Path) -> None:
    training.train_embedder(tmp_path, tmp_path, config=name)
    assert used == [load_recipe(TrainConfig, name)]


def test_a_file_is_read(used: list[Any], tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("steps: 12\n", encoding="utf-8")
    training.train_matcher(tmp_path, tmp_path, config=tmp_path / "mine.yaml", seed=4)
    assert used == [TrainMatcherConfig(name="mine", steps=12, seed=4)]


def test_settings_of_another_command_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"config: expected settings .*\(TrainConfig\), .*got Config"):
        training.train_embedder(tmp_path, tmp_path, config=load_config())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"Did you mean train\?"):
        load_config(command="trian")  # type: ignore[call-overload]
