"""Settings of stage one: the embedding and the shortlist."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from animalclef.config.base import Settings
from animalclef.config.members import Member, distinct

__all__ = ["EmbedConfig", "EmbedMember", "RetrieveConfig", "VoteConfig"]


class EmbedderSettings(Settings):
    """Settings of one embedder."""

    model: str = Field(
        "rootsift-vlad",
        description="rootsift-vlad (no weights), a published embedder such as miewid-msv3, timm:NAME, or file:PATH",
    )
    weights: str | None = Field(
        None, description="networks: a .safetensors or torch file, or `hub` to download; default: the published ones"
    )
    image_size: int | None = Field(None, ge=16, description="pixels; default: what the model was trained with")
    model_options: dict[str, str | int | float | bool] = Field(
        {}, description="networks: further arguments of the model"
    )
    mean: tuple[float, float, float] | None = Field(None, description="timm: default what the model was trained with")
    std: tuple[float, float, float] | None = None
    resize: Literal["pil-bilinear", "pil-bicubic", "opencv-linear", "opencv-adaptive"] | None = Field(
        None, description="networks: default as the model's card says; MiewID's plugin uses opencv-linear"
    )
    precision: Literal["auto", "plain", "float32", "bfloat16", "float16"] | None = Field(
        None,
        description="networks: auto takes what the device is quick at; plain is float32 as the library computes it. "
        "Default: auto, plain for timm:NAME",
    )
    flip: bool = Field(False, description="networks: the mean of a photograph and its mirror image")
    crops: Literal[1, 5] = Field(1, description="networks: 5 is the mean of the photograph and its four corners")
    batch_size: int = Field(32, ge=1, description="networks: photographs embedded together; on a CPU fewer large ones")
    compile: bool = Field(False, description="networks: torch.compile, slow to start and quicker afterwards")
    words: int = Field(128, ge=2, description="VLAD: visual words")
    dimensions: int = Field(256, ge=2, description="VLAD: length after PCA")
    long_side: int = Field(256, ge=32, description="VLAD: photographs are scaled to this long side")
    step: int = Field(8, ge=1, description="VLAD: pixels between descriptors")
    bin_sizes: tuple[int, ...] = Field((6, 9, 14), min_length=1, description="VLAD: SIFT bin widths in pixels")
    local_dimensions: int = Field(64, ge=2, le=128, description="VLAD: length of a local descriptor after PCA")
    place_weight: float = Field(1.0, ge=0, description="VLAD: how much a descriptor's place in the image counts")
    codebook_images: int = Field(200, ge=1, description="VLAD: gallery photographs the codebook is fitted on")
    codebook_descriptors: int = Field(60_000, ge=1)

    def shaping(self, with_network: bool) -> dict[str, Any]:
        """The settings that an embedding depends on, beside the weights themselves; for fingerprints."""
        aside = {"batch_size", "weights", "members"} | (set() if with_network else _NETWORKS_ONLY)
        return self.model_dump(mode="json", exclude=aside)


class EmbedMember(EmbedderSettings, Member):
    """A further embedder of a run; as text the name of its model."""

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, given: Any) -> Any:
        return {"model": given} if isinstance(given, str) else given

    @property
    def default_label(self) -> str:
        """The model's name without its kind, or the file's."""
        kind, _, rest = self.model.partition(":")
        return (Path(rest).stem if kind == "file" else rest) or kind


class EmbedConfig(EmbedderSettings):
    """Stage one: one vector per photograph, and with members one more by each of them."""

    members: tuple[EmbedMember, ...] = Field(
        (), description="further embedders, each a model or settings like these; each adds candidates and a score"
    )

    @field_validator("members")
    @classmethod
    def _are_distinct(cls, members: tuple[EmbedMember, ...]) -> tuple[EmbedMember, ...]:
        return distinct(members)


# Younger than the weight-free embedding's fingerprints, and without effect on it.
_NETWORKS_ONLY = {"resize", "precision", "flip", "crops", "compile"}


class RetrieveConfig(Settings):
    """Stage one: the shortlist."""

    top_k: int = Field(100, ge=1, le=10_000)
    sources: tuple[Literal["embedding", "vote"], ...] = Field(
        ("embedding", "vote"), min_length=1, description="what names candidates; of several, each in turn up to top_k"
    )
    same_viewpoint: bool | tuple[str, ...] = Field(
        False, description="only candidates with the query's viewpoint: everywhere, or in the data sets named"
    )
    rescore: tuple[Literal["expanded", "reciprocal"], ...] = Field(
        (), description="further scores of the shortlist: query expansion, k-reciprocal neighbours (see decide.scores)"
    )
    neighbours: int = Field(5, ge=1, description="how many neighbours they look at")


class VoteConfig(Settings):
    """The second source of candidates: a vote of local descriptors."""

    neighbours: int = Field(5, ge=1, description="nearest gallery descriptors that a query's descriptor votes for")
    max_keypoints: int = Field(
        512, ge=1, description="of each photograph the strongest this many vote or are voted for"
    )
    exact_descriptors: int = Field(100_000, ge=0, description="data sets with more are searched approximately")
    dimensions: int = Field(64, ge=2, description="approximate search: length of a descriptor after PCA")
    probes: int = Field(8, ge=1, description="approximate search: cells of the inverted file that are looked into")
