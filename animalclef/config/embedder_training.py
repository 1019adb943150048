"""Settings of training an embedder."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from animalclef.config.base import Settings
from animalclef.config.data import DataConfig, EncounterConfig
from animalclef.config.embedder_recipe import AugmentConfig, DistillationConfig, LossConfig, SamplingConfig
from animalclef.config.training_loop import AveragingConfig, TrainingPrecision
from animalclef.config.training_split import SplitConfig

__all__ = [
    "EmbedderNetworkConfig",
    "EmbedderOptimiserConfig",
    "LabelConfig",
    "ScheduleConfig",
    "TrainConfig",
    "ValidationConfig",
]


class EmbedderNetworkConfig(Settings):
    """What is trained; what is left out is what the model's entry or timm says."""

    model: str = Field(
        "arcface:mobilenetv2_100",
        description="arcface:BACKBONE (any timm network, with a neck), a published embedder such as miewid-msv3, or "
        "timm:NAME",
    )
    dimensions: int | None = Field(
        512, ge=2, description="arcface: dimensions of the neck; none: pooled features as they are"
    )
    pool: Literal["avg", "gem"] = Field(
        "avg", description="arcface: the mean, or a generalised mean with a trained power"
    )
    image_size: int | None = Field(None, ge=16, le=4096, description="pixels of both sides")
    embed_size: int | None = Field(
        None,
        ge=16,
        description="pixels of both sides when the network is used; default: those of training. Larger is "
        "often better, as crops enlarge what training shows (FixRes, Touvron et al. 2019)",
    )
    mean: tuple[float, float, float] | None = Field(
        None, description="mean of each channel for normalising; null: the model's own"
    )
    std: tuple[float, float, float] | None = Field(
        None, description="standard deviation of each channel for normalising; null: the model's own"
    )
    resize: Literal["pil-bilinear", "pil-bicubic", "opencv-linear", "opencv-adaptive"] | None = Field(
        None, description="how photographs are resized outside training"
    )
    options: dict[str, str | int | float | bool] = Field({}, description="further arguments of the backbone")
    batch_norm: Literal["train", "frozen", "measured"] = Field(
        "train",
        description="frozen: the backbone's batch norms keep the statistics that they start with; measured: these are "
        "measured anew before the first step, what the network computes staying the same, for starts whose batch norms "
        "are folded into the weights",
    )


class LabelConfig(Settings):
    """Which photographs are trained on, and into which classes."""

    classes: Literal["identity", "species"] = Field(
        "identity", description="what is a class of the training: an individual or a species"
    )
    viewpoint_as_identity: bool | tuple[str, ...] = Field(
        False, description="each side of an animal is a class of its own: everywhere, or in the data sets named"
    )
    only: tuple[str, ...] = Field((), description="these data sets alone")
    without: tuple[str, ...] = Field((), description="all but these data sets")
    least_images: int = Field(2, ge=1, description="classes with fewer photographs to train on are left out")


class EmbedderOptimiserConfig(Settings):
    """The optimiser and its learning rates."""

    kind: Literal["adamw", "adam", "sgd"] = Field("adamw", description="the optimiser")
    learning_rate: float = Field(3e-4, gt=0, description="peak learning rate")
    backbone_factor: float = Field(1.0, gt=0, description="of the learning rate, for the backbone")
    head_factor: float = Field(1.0, gt=0, description="of the learning rate, for the loss (class centres)")
    momentum: float = Field(0.9, ge=0, lt=1, description="sgd")
    weight_decay: float = Field(0.01, ge=0, description="of matrices, never of biases and norms")
    clip: float | None = Field(1.0, gt=0, description="largest norm of the gradient; none: as it comes")
    accumulate: int = Field(1, ge=1, description="batches per step")


class ScheduleConfig(Settings):
    """The learning rate over the epochs; the frozen epochs have a warm-up of their own and then the peak."""

    kind: Literal["cosine", "ramp-decay", "constant"] = Field(
        "cosine", description="cosine: step by step down to `lowest`; ramp-decay: MiewID's, epoch by epoch"
    )
    warmup_epochs: float = Field(1.0, ge=0, description="linear from `first` to the peak")
    sustain_epochs: int = Field(0, ge=0, description="ramp-decay: epochs at the peak after its first")
    decay: float = Field(0.8, gt=0, le=1, description="ramp-decay: of each further epoch")
    first: float = Field(0.0, ge=0, le=1, description="share of the learning rate that the warm-up begins at")
    lowest: float = Field(0.0, ge=0, le=1, description="share of the learning rate that the decay ends at")


class ValidationConfig(Settings):
    """What is held out, and when training ends early."""

    split: SplitConfig | None = Field(
        SplitConfig(kind="disjoint", share=0.1, least_training=1), description="none: all photographs are trained on"
    )
    every: int = Field(1, ge=1, description="epochs between validations")
    patience: int | None = Field(
        None, ge=1, description="validations without a better rank-1 (of equals: mAP) before training ends"
    )


class TrainConfig(Settings):
    """The recipe of an embedder's training."""

    name: str = Field(
        "embedder", pattern=r"^[A-Za-z0-9._-]+$", description="name of the network, used in the names of its files"
    )
    seed: int = Field(0, ge=0, le=2_000_000_000, description="seed of everything random")
    data: DataConfig = DataConfig()
    encounters: EncounterConfig = EncounterConfig()
    network: EmbedderNetworkConfig = EmbedderNetworkConfig()
    labels: LabelConfig = LabelConfig()
    loss: LossConfig = LossConfig()
    distillation: DistillationConfig = DistillationConfig()
    sampling: SamplingConfig = SamplingConfig()
    augment: AugmentConfig = AugmentConfig()
    optimiser: EmbedderOptimiserConfig = EmbedderOptimiserConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    averaging: AveragingConfig = AveragingConfig()
    validation: ValidationConfig = ValidationConfig()
    batch_size: int = Field(32, ge=2, le=65_536, description="photographs per batch and process")
    epochs: int = Field(20, ge=1, description="epochs of the training")
    steps_per_epoch: int | None = Field(None, ge=1, description="default: as many as the sampling needs for an epoch")
    frozen_epochs: int = Field(0, ge=0, description="first epochs, in which the backbone is frozen")
    checkpoint_every: int = Field(200, ge=1, description="steps between checkpoints; each epoch ends with one too")
    precision: TrainingPrecision = Field("auto", description="auto: mixed on a GPU, float32 on the CPU")

    @model_validator(mode="after")
    def _some_epochs_learn_all(self) -> TrainConfig:
        if self.frozen_epochs >= self.epochs:
            raise ValueError(f"frozen_epochs must be below epochs = {self.epochs}")
        return self
