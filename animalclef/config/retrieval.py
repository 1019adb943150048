"""Settings of the embedding and the shortlist."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from animalclef.config.base import Member, Settings, check_distinct

__all__ = ["EmbedConfig", "EmbedMember", "RetrieveConfig", "VoteConfig"]


class EmbedderSettings(Settings):
    """Settings of one embedder."""

    fixed: ClassVar[dict[str, Any]] = {
        "place_weight": 1.0, "codebook_images": 200, "codebook_descriptors": 60_000
    }  # fmt: skip

    model: str = Field(
        "rootsift-vlad",
        description="the embedder: rootsift-vlad (without weights), a published one such as miewid-msv3, timm:NAME, or "
        "file:PATH",
    )
    weights: str | None = Field(
        None,
        description="networks: a .safetensors or torch file, or `hub` to download; null: the published weights, "
        "searched for in the bundle and in the caches",
    )
    image_size: int | None = Field(
        None, ge=16, le=4096, description="networks: input size in pixels; null: the model's own"
    )
    model_options: dict[str, str | int | float | bool] = Field(
        {}, description="networks: further arguments of the model, passed to timm"
    )
    mean: tuple[float, float, float] | None = Field(
        None, description="timm models: mean of each channel for normalising; null: the model's own"
    )
    std: tuple[float, float, float] | None = Field(
        None, description="timm models: standard deviation of each channel for normalising; null: the model's own"
    )
    resize: Literal["pil-bilinear", "pil-bicubic", "opencv-linear", "opencv-adaptive"] | None = Field(
        None, description="networks: resize method; null: the one of the model's card (MiewID's plugin: opencv-linear)"
    )
    precision: Literal["auto", "plain", "float32", "bfloat16", "float16"] | None = Field(
        None,
        description="networks: numerical precision; auto: the fastest that the device supports; plain: float32 without "
        "our optimisations; null: auto, and plain for timm:NAME",
    )
    flip: bool = Field(False, description="networks: average the embeddings of a photograph and its mirror image")
    crops: Literal[1, 5] = Field(
        1, description="networks: 5 averages the embeddings of the photograph and of its four corners"
    )
    batch_size: int = Field(
        32, ge=1, le=65_536, description="networks: photographs per batch; large networks on a CPU use smaller ones"
    )
    compile: bool = Field(False, description="networks: use torch.compile, which starts slowly and then runs faster")
    words: int = Field(128, ge=2, le=65_536, description="VLAD: number of visual words")
    dimensions: int = Field(256, ge=2, le=65_536, description="VLAD: length of the embedding after PCA")
    long_side: int = Field(
        256, ge=32, le=16_384, description="VLAD: long side that photographs are scaled to, in pixels"
    )
    step: int = Field(8, ge=1, description="VLAD: distance between dense descriptors, in pixels")
    bin_sizes: tuple[int, ...] = Field((6, 9, 14), min_length=1, description="VLAD: SIFT bin widths, in pixels")
    local_dimensions: int = Field(64, ge=2, le=128, description="VLAD: length of a local descriptor after PCA")

    @field_validator("std", "bin_sizes")
    @classmethod
    def _above_zero(cls, values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if values is not None and not all(0 < value <= 512 for value in values):
            raise ValueError("numbers must be above 0, and at most 512")
        return values

    def shaping(self, with_network: bool) -> dict[str, Any]:
        """Return the settings that an embedding depends on besides the weights, for fingerprints."""
        aside = {"batch_size", "weights", "members"} | (set() if with_network else _NETWORKS_ONLY)
        return self.digested(exclude=aside)


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


def _usual_members(given: dict[str, Any]) -> tuple[EmbedMember, ...]:
    """Return the further embedders of a run whose settings name none."""
    return (EmbedMember(model="embedder-lite", flip=True),) if given.get("model") == "rootsift-vlad" else ()


class EmbedConfig(EmbedderSettings):
    """Stage one: one vector per photograph, and with members one more by each of them."""

    members: tuple[EmbedMember, ...] = Field(
        default_factory=_usual_members,
        description="further embedders, each a model or settings like these; each adds candidates and a score; not "
        "given: embedder-lite, with flip, beside rootsift-vlad, none beside a network",
    )

    @field_validator("members")
    @classmethod
    def _are_distinct(cls, members: tuple[EmbedMember, ...]) -> tuple[EmbedMember, ...]:
        check_distinct(members)
        return members


# These came after the first fingerprints of the weight-free embedding, and do not change it.
_NETWORKS_ONLY = {"resize", "precision", "flip", "crops", "compile"}


class RetrieveConfig(Settings):
    """The shortlist: the gallery photographs that each query is matched with."""

    top_k: int = Field(100, ge=1, le=10_000, description="candidates on the shortlist of each query")
    sources: tuple[Literal["embedding", "vote"], ...] = Field(
        ("embedding", "vote"),
        min_length=1,
        description="candidate sources: embedding search, and LNBNN descriptor voting as in HotSpotter (vote); two "
        "lists are interleaved up to top_k",
    )
    same_viewpoint: Literal["auto"] | bool | tuple[str, ...] = Field(
        "auto",
        description="compare a query only with photographs of its viewpoint: true (always), false (never), a list of "
        "data sets, or auto (in data sets whose database photographs show that an animal's sides look different)",
    )
    memory_gb: float = Field(
        2.0,
        gt=0,
        description="gigabytes of database vectors that are searched exactly (more of them get an inverted file of "
        "this size), and of the local descriptors' index that is held in memory (a larger one lies in the run folder)",
    )
    recall: float = Field(
        0.98,
        gt=0,
        le=1,
        description="inverted file: least recall@100 against exact search, measured on 200 queries; cells are added "
        "until it is reached",
    )

    @model_validator(mode="before")
    @classmethod
    def _without_removed(cls, given: Any) -> Any:
        """Drop `rescore` and `neighbours`, removed in 0.2.0, where an earlier run or catalogue kept them unused."""
        if isinstance(given, dict) and "rescore" in given and not given["rescore"]:
            return {name: value for name, value in given.items() if name not in ("rescore", "neighbours")}
        return given

    def compares_one_side(self, dataset: str) -> bool:
        """Return whether candidates share the query's viewpoint in a data set; not where that is still to be chosen."""
        sides = self.same_viewpoint
        return sides if isinstance(sides, bool) else sides != "auto" and dataset in sides


class VoteConfig(Settings):
    """The LNBNN score: local naive Bayes nearest neighbour voting of local descriptors (HotSpotter)."""

    neighbours: int = Field(
        5, ge=1, le=10_000, description="nearest gallery descriptors of each query descriptor that get a vote"
    )
    max_keypoints: int = Field(
        512, ge=1, le=100_000, description="strongest keypoints of each photograph that take part"
    )
    exact_descriptors: int = Field(
        16_384, ge=0, description="largest number of gallery descriptors that are searched exactly"
    )
    dimensions: int = Field(64, ge=2, le=65_536, description="approximate search: length of a descriptor after PCA")
    probes: int = Field(8, ge=1, description="approximate search: cells of the inverted file that are searched")
