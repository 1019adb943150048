"""Views written down by hand, and a training small enough for a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tiny import photograph

from animalclef.config.training import TrainMatcherConfig
from animalclef.training.matcher.photograph_views import View

__all__ = ["TINY_RECIPE", "drawn_photographs", "tiny_recipe", "view"]

TINY_RECIPE: dict[str, Any] = {
    "name": "tiny",
    "network": {"descriptor_dim": 8, "n_layers": 2, "num_heads": 1},
    "keypoints": {"max_keypoints": 48, "long_side": 160, "least_long_side": 96},
    "points": 24,
    "batch_size": 2,
    "steps": 6,
    "warmup_steps": 2,
    "validation_pairs": 6,
    "validate_every": 3,
    "held_out": 0.3,
}


def tiny_recipe(**changed: Any) -> TrainMatcherConfig:
    """The recipe of a training of a second."""
    return TrainMatcherConfig.model_validate({**TINY_RECIPE, **changed})


def drawn_photographs(folder: Path, count: int = 6) -> Path:
    """A folder of blotchy animals, none of them square."""
    folder.mkdir(parents=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), photograph([3, number], 0))
    return folder


def view(
    places: list[tuple[float, float]],
    *,
    turn_rad: list[float] | None = None,
    scale: list[float] | None = None,
    px_per_unit: float = 1.0,
    on_surface: list[bool] | None = None,
    background: list[bool] | None = None,
) -> View:
    """A view of 512 x 256 pixels whose keypoints lie at `places` of the surface; its descriptors are one-hot."""
    m = len(places)
    xy = np.array(places, dtype=np.float32).reshape(m, 2)
    return View(
        keypoints_xy=xy,
        descriptors=np.eye(m, 128, dtype=np.uint8) * 255,
        scale=np.ones(m, np.float32),
        orientation_rad=np.zeros(m, np.float32),
        size_wh=np.array([512, 256], dtype=np.int32),
        surface_xy=xy,
        surface_turn_rad=np.array(turn_rad or [0.0] * m, dtype=np.float32),
        surface_scale=np.array(scale or [1.0] * m, dtype=np.float32),
        px_per_unit=np.full(m, px_per_unit, np.float32),
        on_surface=np.array([True] * m if on_surface is None else on_surface, dtype=bool),
        background=np.array([False] * m if background is None else background, dtype=bool),
        to_source=np.eye(3),
    )
