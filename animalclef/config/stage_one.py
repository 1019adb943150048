"""Settings of stage one: the embedding and the shortlist."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from animalclef.config.base import Settings

__all__ = ["EmbedConfig", "RetrieveConfig"]


class EmbedConfig(Settings):
    """Stage one: one vector per photograph."""

    model: str = Field("rootsift-vlad", description="rootsift-vlad (no weights), or timm:NAME")
    weights: str | None = Field(None, description="for timm models: a .safetensors file, or `hub` to download")
    image_size: int | None = Field(None, ge=16, description="pixels; default: what the model was trained with")
    model_options: dict[str, str | int | float | bool] = Field({}, description="timm: further arguments of the model")
    mean: tuple[float, float, float] | None = Field(None, description="timm: default what the model was trained with")
    std: tuple[float, float, float] | None = None
    batch_size: int = Field(32, ge=1)
    words: int = Field(128, ge=2, description="VLAD: visual words")
    dimensions: int = Field(256, ge=2, description="VLAD: length after PCA")
    long_side: int = Field(256, ge=32, description="VLAD: photographs are scaled to this long side")
    step: int = Field(8, ge=1, description="VLAD: pixels between descriptors")
    bin_sizes: tuple[int, ...] = Field((6, 9, 14), min_length=1, description="VLAD: SIFT bin widths in pixels")
    local_dimensions: int = Field(64, ge=2, le=128, description="VLAD: length of a local descriptor after PCA")
    place_weight: float = Field(1.0, ge=0, description="VLAD: how much a descriptor's place in the image counts")
    codebook_images: int = Field(200, ge=1, description="VLAD: gallery photographs the codebook is fitted on")
    codebook_descriptors: int = Field(60_000, ge=1)


class RetrieveConfig(Settings):
    """Stage one: the shortlist."""

    top_k: int = Field(100, ge=1)
    same_viewpoint: bool | tuple[str, ...] = Field(
        False, description="only candidates with the query's viewpoint: everywhere, or in the data sets named"
    )
    rescore: tuple[Literal["expanded", "reciprocal"], ...] = Field(
        (), description="further scores of the shortlist: query expansion, k-reciprocal neighbours (see decide.scores)"
    )
    neighbours: int = Field(5, ge=1, description="how many neighbours they look at")
