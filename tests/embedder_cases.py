"""A training of an embedder small enough for a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny import make_tiny_data

from animalclef.config import TrainConfig
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.structures import ImageTable

__all__ = ["TINY_TRAINING", "drawn_table", "tiny_training"]

TINY_TRAINING: dict[str, Any] = {
    "name": "tiny",
    "network": {"model": "arcface:test_resnet", "dimensions": 8, "image_size": 32},
    "augment": {"recipe": "miewid"},
    "validation": {"split": {"kind": "disjoint", "share": 0.3, "least_training": 1}},
    "schedule": {"warmup_epochs": 0.5},
    "batch_size": 6,
    "steps_per_epoch": 3,
    "epochs": 2,
}


def tiny_training(**changed: Any) -> TrainConfig:
    """The recipe of a training of a second."""
    return TrainConfig.model_validate({**TINY_TRAINING, **changed})


def drawn_table(folder: Path, **drawn: Any) -> ImageTable:
    """A drawn data set: twice five animals of three photographs, and queries."""
    return load_table(find_source(make_tiny_data(folder, **drawn))).images
