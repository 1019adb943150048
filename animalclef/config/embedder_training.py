"""Settings of training an embedder: losses, batches, augmentation, optimiser, schedule and validation."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from animalclef.config.base import FileName, Seed, Settings
from animalclef.config.data import DataConfig, EncounterConfig, SplitConfig
from animalclef.config.training import AveragingConfig, TrainingPrecision

__all__ = [
    "AugmentConfig",
    "DistillationConfig",
    "EmbedderNetworkConfig",
    "EmbedderOptimiserConfig",
    "LabelConfig",
    "LossConfig",
    "MiewIdAugmentConfig",
    "SamplingConfig",
    "ScheduleConfig",
    "StrongAugmentConfig",
    "TrainConfig",
    "TripletAugmentConfig",
    "ValidationConfig",
]

Share = Annotated[float, Field(ge=0, le=1)]
Degrees = Annotated[float, Field(ge=0, le=180)]


class LossConfig(Settings):
    """The loss over identities. The angular figures are those of MiewID's head."""

    kind: Literal["sub-centre-arcface", "arcface", "triplet", "contrastive", "softmax"] = Field(
        "sub-centre-arcface", description="the loss"
    )
    scale: float = Field(51.96, gt=0, le=1000, description="of the cosines, for both kinds of ArcFace")
    margin_rad: float = Field(
        0.328, ge=0, le=1.5, description="added to the angle to the own class; with dynamic margins the rarest class's"
    )
    low_margin_rad: float = Field(0.2, ge=0, le=1.5, description="with dynamic margins, that of the commonest class")
    dynamic_margins: bool = Field(True, description="sub-centre-arcface alone: rarer classes get larger margins")
    sub_centres: int = Field(3, ge=1, le=64, description="sub-centre-arcface alone: centres per class")
    triplet_margin: float = Field(
        0.3, gt=0, description="between the hardest other animal and the hardest photograph of the same"
    )
    triplet_unit_length: bool = Field(True, description="triplets compare embeddings scaled to length 1")
    temperature: float = Field(0.1, gt=0, le=10, description="contrastive: what cosines are divided by")

    @model_validator(mode="after")
    def _in_order(self) -> LossConfig:
        if self.kind == "sub-centre-arcface" and self.dynamic_margins and self.margin_rad < self.low_margin_rad:
            raise ValueError(
                f"margin_rad = {self.margin_rad} must not be below low_margin_rad = {self.low_margin_rad}; lower "
                "low_margin_rad, or set dynamic_margins=false"
            )
        return self


class DistillationConfig(Settings):
    """How strongly the backbone's pooled features are held to those of the start, which stays frozen as the teacher."""

    fixed: ClassVar[dict[str, Any]] = {"kind": "cosine", "identity_weight": 1.0}

    weight: float = Field(0.0, ge=0, description="of 1 - cosine, added to the loss over identities; 0: none")
    teacher_view: Literal["augmented", "plain"] = Field(
        "augmented",
        description="augmented: the teacher sees the same view; plain: the photograph without augmentation, "
        "so that features become invariant to it",
    )


class SamplingConfig(Settings):
    """Which photographs a batch holds."""

    fixed: ClassVar[dict[str, Any]] = {"singletons": False}

    kind: Literal["shuffled", "balanced", "species-balanced", "pxk"] = Field(
        "shuffled", description="how batches are drawn"
    )
    per_individual: int = Field(4, ge=1, le=64, description="pxk: photographs of each individual in a batch (K)")
    one_species: bool = Field(True, description="pxk: the individuals of a batch are of one species")


class MiewIdAugmentConfig(Settings):
    """MiewID's augmentation. Its sizes are those of its public description; how often each comes is ours."""

    corner: Share = Field(0.5, description="share of the pictures with a corner cut off")
    corner_size: Share = Field(0.4, description="longest cut along a side, as a share of it")
    detail: Share = Field(0.5, description="share that is sharpened, made grey or equalised (CLAHE), one of them")
    frame: Share = Field(0.5, description="share that is shifted, scaled and turned")
    shift: Share = Field(0.25, description="of the side, either way")
    scale: float = Field(0.2, ge=0, lt=1, description="larger or smaller by up to this share")
    turn_deg: Degrees = Field(15.0, description="largest rotation, either way")
    colour: Share = Field(0.5, description="share with other colours")
    jitter: Share = Field(0.1, description="of brightness, contrast, saturation and hue")


class TripletAugmentConfig(Settings):
    """The augmentation of the system of triplet encoders; the sizes are ours."""

    turn_deg: Degrees = Field(15.0, description="largest rotation, either way")
    jitter: Share = Field(0.2, description="of brightness, contrast and saturation")
    least_crop: float = Field(0.8, gt=0, le=1, description="smallest share of the picture's area that stays")
    shear: float = Field(0.1, ge=0, le=1, description="slant, in widths per height")
    stretch: float = Field(1.1, ge=1, le=4, description="most change of width against height")


class StrongAugmentConfig(Settings):
    """The default: what may differ between two photographs of one animal."""

    turn_deg: Degrees = Field(20.0, description="180 for animals that lie at any angle")
    least_crop: float = Field(0.65, gt=0, le=1, description="smallest share of the picture's area that stays")
    most_crop: float = Field(1.15, ge=1, le=4, description="largest; above 1 a margin is left around it")
    stretch: float = Field(1.2, ge=1, le=4, description="most change of width against height")
    perspective: float = Field(0.08, ge=0, le=0.3, description="how far a corner moves, as a share of the side")
    light: Share = Field(0.8, description="share of the pictures in other light")
    brightness: Share = Field(0.3, description="largest change of brightness")
    contrast: Share = Field(0.3, description="largest change of contrast")
    gamma: Share = Field(0.3, description="the exponent lies between 1 - gamma / 2 and 1 + gamma")
    white_balance: Share = Field(0.12, description="of each colour's own brightness")
    saturation: Share = Field(0.4, description="largest change of saturation")
    hue: float = Field(0.02, ge=0, le=0.5, description="of a turn")
    grey: Share = Field(0.15, description="share without colours, as taken in infrared")
    blur: Share = Field(0.15, description="share out of focus or moved")
    most_blur: float = Field(0.012, ge=0, le=0.1, description="of the long side")
    shrink: Share = Field(0.2, description="share of a lower resolution")
    least_shrink: float = Field(0.35, gt=0, le=1, description="smallest scale of a lower resolution")
    noise: Share = Field(0.2, description="share with noise")
    most_noise: float = Field(14.0, ge=0, le=128, description="standard deviation, of 255")
    jpeg: Share = Field(0.2, description="share with the traces of JPEG")
    least_quality: int = Field(25, ge=1, le=100, description="lowest JPEG quality")
    erase: Share = Field(0.25, description="share with one to four rectangles painted over")
    most_erased: float = Field(0.15, ge=0, le=0.9, description="of the area, all rectangles together")
    surround: Share = Field(0.2, description="share with the background outside an ellipse painted over")


class AugmentConfig(Settings):
    """How a photograph is changed each time that it is shown; `none` only brings it to size."""

    recipe: Literal["none", "miewid", "triplet", "strong"] = Field("strong", description="which augmentation is used")
    mirror: Share = Field(
        0.0, description="share mirrored; a mirrored flank is another animal, so keep it 0 for flanks"
    )
    miewid: MiewIdAugmentConfig = MiewIdAugmentConfig()
    triplet: TripletAugmentConfig = TripletAugmentConfig()
    strong: StrongAugmentConfig = StrongAugmentConfig()


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

    fixed: ClassVar[dict[str, Any]] = {"without": []}

    classes: Literal["identity", "species"] = Field(
        "identity", description="what is a class of the training: an individual or a species"
    )
    viewpoint_as_identity: bool | tuple[str, ...] = Field(
        False, description="each side of an animal is a class of its own: everywhere, or in the data sets named"
    )
    only: tuple[str, ...] = Field((), description="these data sets alone")
    least_images: int = Field(2, ge=1, description="classes with fewer photographs to train on are left out")


class EmbedderOptimiserConfig(Settings):
    """The optimiser and its learning rates."""

    fixed: ClassVar[dict[str, Any]] = {"momentum": 0.9}

    kind: Literal["adamw", "adam"] = Field("adamw", description="the optimiser")
    learning_rate: float = Field(3e-4, gt=0, description="peak learning rate")
    backbone_factor: float = Field(1.0, gt=0, description="of the learning rate, for the backbone")
    head_factor: float = Field(1.0, gt=0, description="of the learning rate, for the loss (class centres)")
    weight_decay: float = Field(0.01, ge=0, description="of matrices, never of biases and norms")
    clip: float | None = Field(1.0, gt=0, description="largest norm of the gradient; none: as it comes")
    accumulate: int = Field(1, ge=1, description="batches per step")


class ScheduleConfig(Settings):
    """The learning rate over the epochs; the frozen epochs have a warm-up of their own and then the peak."""

    kind: Literal["cosine", "ramp-decay"] = Field(
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

    name: FileName = Field("embedder", description="name of the network, used in the names of its files")
    seed: Seed = Field(0, description="seed of everything random")
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
