"""Settings of training a matcher or a segmenter, of a study, and those that every training shares."""

from __future__ import annotations

import re
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from animalclef.config.base import FileName, Seed, Settings
from animalclef.config.data import SplitConfig
from animalclef.config.matching import KeypointConfig

__all__ = [
    "ArmConfig",
    "AveragingConfig",
    "MatcherLossConfig",
    "MatcherNetworkConfig",
    "OptimiserConfig",
    "StudyConfig",
    "TrainMatcherConfig",
    "TrainSegmenterConfig",
    "TrainingPrecision",
    "WarpConfig",
    "slug",
]

TrainingPrecision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
"""Lightning Fabric's names; auto: mixed on a GPU, float32 on the CPU."""


class AveragingConfig(Settings):
    """How the weights that are validated and written are averaged over the steps."""

    kind: Literal["ema", "swa", "none"] = Field(
        "ema", description="ema: moving average; swa: mean of the last epochs (stochastic weight averaging); none"
    )
    decay: float = Field(0.998, ge=0, lt=1, description="ema: of the average, each step")
    start: float = Field(0.75, ge=0, lt=1, description="swa: share of the epochs after which each is averaged")


class MatcherNetworkConfig(Settings):
    """The size of a LightGlue network."""

    descriptor_dim: int = Field(96, ge=8, description="width of the network")
    n_layers: int = Field(3, ge=1, description="number of layers")
    num_heads: int = Field(1, ge=1, description="attention heads of a layer")
    add_scale_ori: bool = Field(False, description="encode each keypoint's scale and orientation beside its place")

    @model_validator(mode="after")
    def _whole_heads(self) -> MatcherNetworkConfig:
        if self.descriptor_dim % (2 * self.num_heads):
            raise ValueError(f"descriptor_dim must be an even multiple of num_heads, not {self.descriptor_dim}")
        return self


class WarpConfig(Settings):
    """How a photograph is changed for a second view of it; every share is a probability."""

    views: int = Field(2, ge=2, description="views per photograph; the first is the photograph as it is")
    upright: float = Field(0.5, ge=0, le=1, description="share of the views turned by less than 25 degrees")
    most_zoom: float = Field(1.6, ge=1, description="largest change of scale")
    perspective: float = Field(0.15, ge=0, lt=0.5, description="how far a corner moves, as a share of the side")
    thin_plate: float = Field(0.5, ge=0, le=1, description="share of the views that are bent as well")
    bend: float = Field(0.035, ge=0, lt=0.2, description="how far a control point moves, as a share of the long side")
    light: float = Field(0.8, ge=0, le=1, description="share of the views in other light")
    blur: float = Field(0.4, ge=0, le=1, description="share of the views that are blurred")
    noise: float = Field(0.5, ge=0, le=1, description="share of the views with noise")
    occlusion: float = Field(0.4, ge=0, le=1, description="share of the views with covered parts")


class MatcherLossConfig(Settings):
    """What counts as a match, and how the parts of the loss are weighed. Pixels are those of a long side of 512."""

    match_px: float = Field(4.0, gt=0, description="keypoints this near to each other, both ways, are a match")
    miss_px: float = Field(8.0, gt=0, description="a keypoint with nothing this near has no match")
    most_turn_deg: float = Field(45.0, gt=0, le=180, description="a match's orientations agree to this")
    most_scale_ratio: float = Field(2.0, gt=1, description="a match's scales agree to this")
    confidence_weight: float = Field(0.1, ge=0, description="of the token confidences' loss")

    @model_validator(mode="after")
    def _in_order(self) -> MatcherLossConfig:
        if self.miss_px < self.match_px:
            raise ValueError(f"miss_px must not be below match_px = {self.match_px}")
        return self


class OptimiserConfig(Settings):
    """AdamW with a warm-up and a cosine decay to zero."""

    learning_rate: float = Field(4e-4, gt=0, description="peak learning rate")
    projection_rate: float = Field(2e-3, gt=0, description="of the input projection while the rest is frozen")
    weight_decay: float = Field(0.01, ge=0, description="weight decay of AdamW")
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    ema: float = Field(0.998, ge=0, lt=1, description="decay of the averaged weights, which are what is saved")
    accumulate: int = Field(1, ge=1, description="batches per step")


class TrainMatcherConfig(Settings):
    """The recipe of a matcher's training."""

    name: FileName = Field("lightglue-sift", description="name of the network, used in the names of its files")
    seed: Seed = Field(0, description="seed of everything random")
    render_seed: Seed = Field(0, description="seed of the photographs that --render makes")
    keypoints: KeypointConfig = KeypointConfig()
    network: MatcherNetworkConfig = MatcherNetworkConfig()
    warps: WarpConfig = WarpConfig()
    loss: MatcherLossConfig = MatcherLossConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    points: int = Field(256, ge=2, description="keypoints drawn of each view; a view with fewer gives all it has")
    batch_size: int = Field(8, ge=1, description="pairs per batch")
    steps: int = Field(3000, ge=1, description="optimiser steps")
    frozen_steps: int = Field(0, ge=0, description="first steps, in which only the input projection is trained")
    warmup_steps: int = Field(100, ge=0, description="steps of the linear warm-up")
    others: float = Field(0.2, ge=0, lt=1, description="share of pairs that show two different subjects")
    held_out: float = Field(0.1, gt=0, lt=1, description="share of the groups kept for validation")
    validation_pairs: int = Field(200, ge=1, description="pairs of a validation")
    validate_every: int = Field(500, ge=1, description="steps between validations")
    checkpoint_every: int = Field(100, ge=1, description="steps between checkpoints")
    precision: TrainingPrecision = Field("auto", description="auto: mixed on a GPU, float32 on the CPU")

    @model_validator(mode="after")
    def _of_sift(self) -> TrainMatcherConfig:
        if self.keypoints.extractor != "sift":
            raise ValueError(f"keypoints.extractor = {self.keypoints.extractor}: a matcher is trained on sift alone")
        if self.keypoints.upright not in ("auto", False):
            raise ValueError("keypoints.upright: a matcher is trained on rotation-invariant keypoints; leave it out")
        return self


class TrainSegmenterConfig(Settings):
    """The recipe of a segmenter's training: few and small steps, so that it stays near its start."""

    name: FileName = Field("animal-segmenter", description="of the file that is written")
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


def slug(name: str) -> str:
    """Return a name fit for a folder: letters, digits and hyphens, in lower case."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()


class ArmConfig(Settings):
    """One way to obtain the networks that embed each data set."""

    name: str = Field(min_length=1)
    recipe: str | None = Field(None, description="a training recipe; default: the study's")
    set: tuple[str, ...] = Field((), description="differences from the recipe, as --set takes them: a.b=value")
    start: str | None = Field(None, description="a name given with --start NAME=FILE; default: random weights")
    trained: bool = Field(True, description="false: the start as it is")
    each: bool = Field(False, description="a network of its own for every data set, instead of one for all")
    leave_out: bool = Field(False, description="every data set is embedded by a network trained on the others")
    then_tuned: bool = Field(False, description="leave_out: the network is then trained on the data set it left out")
    router: tuple[str, ...] | None = Field(
        None,
        description="each: a network trained to classify species (with these differences from the recipe) chooses the "
        "data set in which a query is searched; a wrong choice is a wrong answer",
    )
    gallery_images: tuple[int, ...] = Field(
        (), description="measured with at most so many gallery photographs of each individual; default: all"
    )

    @model_validator(mode="after")
    def _sensible(self) -> ArmConfig:
        if not self.trained and self.start is None:
            raise ValueError(f"arm {self.name}: trained: false needs a start")
        if self.each and self.leave_out:
            raise ValueError(f"arm {self.name}: each and leave_out exclude one another")
        if self.then_tuned and not self.leave_out:
            raise ValueError(f"arm {self.name}: then_tuned needs leave_out")
        if self.router is not None and not self.each:
            raise ValueError(f"arm {self.name}: router needs each")
        if any(count < 1 for count in self.gallery_images):
            raise ValueError(f"arm {self.name}: gallery_images must be 1 or more")
        return self


class StudyConfig(Settings):
    """A question about training, answered on one data folder."""

    shipped_in: ClassVar[str] = "studies"

    name: FileName = "study"
    question: str = Field("", description="printed above the table")
    recipe: str = Field("embedder-lite-laptop", description="the training recipe that arms start from")
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="every arm is trained once with each")
    split: SplitConfig = Field(
        SplitConfig(kind="closed-set"),
        description="of the database, where the queries' truth is not given; one split for all arms and seeds",
    )
    split_seed: Seed = 0
    arms: tuple[ArmConfig, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> StudyConfig:
        if not all(0 <= seed <= 2_000_000_000 for seed in self.seeds):
            raise ValueError("seeds must be between 0 and 2000000000")
        folders = [slug(arm.name) for arm in self.arms]
        if len(set(folders)) < len(folders) or "" in folders:
            raise ValueError("arms must have names that differ in their letters (a-z) and digits: folders are named so")
        if self.split.kind == "paper" and any(arm.gallery_images for arm in self.arms):
            raise ValueError("gallery_images needs a gallery; split.kind=paper has none")
        return self
