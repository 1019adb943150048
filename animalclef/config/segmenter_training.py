"""Settings of a segmenter's training."""

from __future__ import annotations

from pydantic import Field

from animalclef.config.base import Settings
from animalclef.config.training_loop import TrainingPrecision

__all__ = ["TrainSegmenterConfig"]


class TrainSegmenterConfig(Settings):
    """The recipe of a segmenter's training: few and small steps, so that it stays near its start."""

    name: str = Field("animal-segmenter", pattern=r"^[A-Za-z0-9._-]+$", description="of the file that is written")
    seed: int = Field(0, ge=0, description="of everything random")
    fine: bool = Field(False, description="keep the decoder block at full resolution: 2.5 times the work")
    steps: int = Field(150, ge=1, description="of the optimiser")
    warmup_steps: int = Field(10, ge=0, description="first steps, in which the learning rate rises")
    batch_size: int = Field(4, ge=1, description="photographs per step")
    learning_rate: float = Field(2e-5, gt=0, description="of AdamW, after the warm-up; it falls to 0 as half a cosine")
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    ema: float = Field(0.97, ge=0, lt=1, description="decay of the averaged weights, which are what is saved")
    side: int = Field(320, ge=64, description="pixels; photographs are squeezed to side x side")
    given: float = Field(0.5, ge=0, le=1, description="share of the photographs taken from --data, where it is given")
    close: float = Field(0.3, ge=0, le=1, description="share of the photographs that are cut to the animal's box")
    side_weight: float = Field(0.5, ge=0, description="of the losses of the network's side outputs")
    held_out: int = Field(24, ge=1, description="photographs kept for validation")
    validate_every: int = Field(50, ge=1, description="steps between validations")
    checkpoint_every: int = Field(25, ge=1, description="steps between checkpoints")
    precision: TrainingPrecision = Field(
        "auto", description="Lightning Fabric's; auto: mixed on a GPU, float32 on the CPU"
    )
