"""Settings of an embedder's training: its losses, how its batches are drawn, how its photographs are augmented."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from animalclef.config.base import Settings

__all__ = [
    "AugmentConfig",
    "DistillationConfig",
    "LossConfig",
    "MiewIdAugmentConfig",
    "SamplingConfig",
    "StrongAugmentConfig",
    "TripletAugmentConfig",
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
    triplet_margin: float | None = Field(
        0.3, gt=0, description="between the hardest other animal and the hardest photograph of the same; none: soft"
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

    weight: float = Field(0.0, ge=0, description="of the distillation loss, added to the loss over identities; 0: none")
    kind: Literal["cosine", "mse"] = Field(
        "cosine", description="cosine: 1 - cosine; mse: mean squared difference, relative to the teacher's mean square"
    )
    teacher_view: Literal["augmented", "plain"] = Field(
        "augmented",
        description="augmented: the teacher sees the same view; plain: the photograph without augmentation, "
        "so that features become invariant to it",
    )
    identity_weight: float = Field(1.0, ge=0, description="of the loss over identities where there is distillation")


class SamplingConfig(Settings):
    """Which photographs a batch holds."""

    kind: Literal["shuffled", "balanced", "species-balanced", "pxk"] = Field(
        "shuffled", description="how batches are drawn"
    )
    per_individual: int = Field(4, ge=1, le=64, description="pxk: photographs of each individual in a batch (K)")
    one_species: bool = Field(True, description="pxk: the individuals of a batch are of one species")
    singletons: bool = Field(False, description="pxk: individuals with one photograph take part too, it is repeated")


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
