"""Settings that every training shares."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from animalclef.config.base import Settings

__all__ = ["AveragingConfig", "TrainingPrecision"]

TrainingPrecision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
"""Lightning Fabric's names; auto: mixed on a GPU, float32 on the CPU."""


class AveragingConfig(Settings):
    """How the weights that are validated and written are averaged over the steps."""

    kind: Literal["ema", "swa", "none"] = Field(
        "ema", description="ema: moving average; swa: mean of the last epochs (stochastic weight averaging); none"
    )
    decay: float = Field(0.998, ge=0, lt=1, description="ema: of the average, each step")
    start: float = Field(0.75, ge=0, lt=1, description="swa: share of the epochs after which each is averaged")
