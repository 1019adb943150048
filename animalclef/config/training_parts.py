"""Settings of an embedder's training: its loss, how its batches are drawn, how its photographs are changed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from animalclef.config.base import Settings

__all__ = ["LossConfig", "SamplingConfig"]


class LossConfig(Settings):
    """What the embedding learns by. The angular figures are those of MiewID's head."""

    kind: Literal["sub-centre-arcface", "arcface", "triplet", "softmax"] = "sub-centre-arcface"
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

    @model_validator(mode="after")
    def _in_order(self) -> LossConfig:
        if self.kind == "sub-centre-arcface" and self.dynamic_margins and self.margin_rad < self.low_margin_rad:
            raise ValueError(
                f"margin_rad = {self.margin_rad} must not be below low_margin_rad = {self.low_margin_rad}; lower "
                "low_margin_rad, or set dynamic_margins=false"
            )
        return self


class SamplingConfig(Settings):
    """Which photographs a batch holds."""

    kind: Literal["shuffled", "balanced", "species-balanced", "pxk"] = "shuffled"
    per_individual: int = Field(4, ge=1, le=64, description="pxk: photographs of each individual in a batch (K)")
    one_species: bool = Field(True, description="pxk: the individuals of a batch are of one species")
    singletons: bool = Field(False, description="pxk: individuals with one photograph take part too, it is repeated")
