"""`config show`: the settings with their descriptions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel
from typer.testing import CliRunner

from animalclef.cli import app
from animalclef.config import Config, TrainConfig, TrainMatcherConfig, load_config, load_recipe
from animalclef.config.base import Settings
from animalclef.config.training import TrainSegmenterConfig
from animalclef.errors import ConfigError


def shown(*arguments: str) -> str:
    return CliRunner().invoke(app, ["config", "show", *arguments], catch_exceptions=False).stdout


def test_what_is_shown_loads_as_the_same_settings(tmp_path: Path) -> None:
    changes = [
        "retrieve.top_k=7",
        "keypoints.views={NewtID: [flip]}",
        "decide.unknown_share={NewtID: 0.5}",
        "name=mine",
    ]
    arguments = [part for change in changes for part in ("--set", change)]
    (tmp_path / "saved.yaml").write_text(shown(*arguments))
    assert load_config(tmp_path / "saved.yaml") == load_config(None, changes)
    assert json.loads(shown("--json", *arguments)) == load_config(None, changes).model_dump(mode="json")


def test_a_comment_stands_above_each_setting() -> None:
    lines = shown().splitlines()
    at = lines.index("  top_k: 100")
    assert lines[at - 1] == "  # candidates on the shortlist of each query"
    assert "# The shortlist: the gallery photographs that each query is matched with." in lines
    assert all(len(line) <= 110 for line in lines if line.lstrip().startswith("#"))


def test_settings_of_trainings_are_shown() -> None:
    content = yaml.safe_load(shown("train", "--config", "miewid"))
    assert TrainConfig.model_validate(content) == load_recipe(TrainConfig, "miewid")
    assert TrainMatcherConfig.model_validate(yaml.safe_load(shown("train-matcher"))) == TrainMatcherConfig()
    assert TrainSegmenterConfig.model_validate(yaml.safe_load(shown("train-segmenter"))) == TrainSegmenterConfig()
    with pytest.raises(
        ConfigError, match=r"walk: no such settings\. Expected predict, train, train-matcher or train-segmenter"
    ):
        shown("walk")


def undescribed(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            yield from undescribed(field.annotation, f"{prefix}{name}.")
            assert field.annotation.__doc__, name
        elif not field.description:
            yield prefix + name


@pytest.mark.parametrize("model", [Config, TrainConfig, TrainMatcherConfig, TrainSegmenterConfig])
def test_every_setting_has_a_description(model: type[BaseModel]) -> None:
    assert list(undescribed(model)) == []
