"""List the embedding networks: what each is built from, and how its photographs are prepared."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from animalclef.config.loading import refuse_removed
from animalclef.errors import ConfigError
from animalclef.hub.catalogue import SHIPPED, shipped_embedder

if TYPE_CHECKING:
    import torch

__all__ = [
    "CLASSIFIERS",
    "EMBEDDERS",
    "FAMILIES",
    "METADATA",
    "EmbedderEntry",
    "Family",
    "find_embedder",
    "trained_on_keys",
]

Values = tuple[float, float, float]
State = Mapping[str, "torch.Tensor"]
_IMAGENET: tuple[Values, Values] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF: tuple[Values, Values] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
METADATA = "animalclef.embedder"
"""Of a .safetensors file: JSON, {"model": a name from here, timm:NAME or arcface:BACKBONE, ...}."""

CLASSIFIERS = ("classifier.", "head.fc.", "fc.", "head.")
_ANY_SIZE = {"dynamic_img_size": True}


@dataclass(frozen=True)
class EmbedderEntry:
    """One kind of embedding network; what is `None` is what timm says of the backbone."""

    family: str  # a key of FAMILIES
    backbone: str  # a name of timm's
    size: int | None = None
    mean_std: tuple[Values, Values] | None = None
    resize: str = "opencv-adaptive"
    precision: str = "auto"
    options: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    weights: Path | None = None  # where the embedder is itself a file


@dataclass(frozen=True)
class Family:
    """One make of networks: how to build one, and how the keys of published files map to ours."""

    build: Callable[[str, Mapping[str, str | int | float | bool]], torch.nn.Module]
    keys: Callable[[State], dict[str, torch.Tensor]]
    heads: tuple[str, ...]  # a training head's keys begin so; the head is not part of the embedding


def _build_timm(backbone: str, options: Mapping[str, str | int | float | bool]) -> torch.nn.Module:
    import timm

    model: torch.nn.Module = timm.create_model(backbone, pretrained=False, **{"num_classes": 0, **options})
    return model


def _build_miewid(backbone: str, options: Mapping[str, str | int | float | bool]) -> torch.nn.Module:
    from animalclef.features.embedding.embedding_heads import MiewId

    return MiewId(backbone, options)


def _build_arcface(backbone: str, options: Mapping[str, str | int | float | bool]) -> torch.nn.Module:
    from animalclef.features.embedding.embedding_heads import BackboneAndNeck

    return BackboneAndNeck(backbone, options)


def _miewid_keys(state: State) -> dict[str, torch.Tensor]:
    from animalclef.features.embedding.embedding_heads import published_keys

    return published_keys(state)


def _as_they_are(state: State) -> dict[str, torch.Tensor]:
    return dict(state)


def _swin_keys(state: State) -> dict[str, torch.Tensor]:
    """Drop derived buffers; older files count the layer that a down-sampling ends, newer ones the one it begins."""
    kept = {name: value for name, value in state.items() if not name.endswith(("relative_position_index", "attn_mask"))}
    if not any(name.startswith("layers.0.downsample.") for name in kept):
        return kept
    later: Callable[[re.Match[str]], str] = lambda found: f"layers.{int(found[1]) + 1}.downsample"  # noqa: E731
    return {re.sub(r"layers\.(\d+)\.downsample", later, name): value for name, value in kept.items()}


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "timm": Family(_build_timm, _as_they_are, CLASSIFIERS),
        "swin": Family(_build_timm, _swin_keys, CLASSIFIERS),
        "miewid": Family(_build_miewid, _miewid_keys, ("final.",)),
        "arcface": Family(_build_arcface, _as_they_are, ("head.",)),
    }
)

_MIEWID = EmbedderEntry("miewid", "efficientnetv2_rw_m", 440, _IMAGENET, "pil-bilinear")

# Preprocessing as on the models' own pages: MiewID's card resizes with Pillow, its plugin with OpenCV (embed.resize).
EMBEDDERS: Mapping[str, EmbedderEntry] = MappingProxyType(
    {
        "miewid-msv3": _MIEWID,
        "miewid-msv2": _MIEWID,
        "megadescriptor-t": EmbedderEntry("swin", "swin_tiny_patch4_window7_224", 224, _HALF, "pil-bilinear"),
        "megadescriptor-s": EmbedderEntry("swin", "swin_small_patch4_window7_224", 224, _HALF, "pil-bilinear"),
        "megadescriptor-b": EmbedderEntry("swin", "swin_base_patch4_window7_224", 224, _HALF, "pil-bilinear"),
        "megadescriptor-l": EmbedderEntry("swin", "swin_large_patch4_window12_384", 384, _HALF, "pil-bilinear"),
        "resnet50-arcface": EmbedderEntry("arcface", "resnet50", 224, _IMAGENET, "pil-bilinear"),
        "efficientnet-b3-arcface": EmbedderEntry("arcface", "efficientnet_b3", 300, _IMAGENET, "pil-bilinear"),
        "dinov2-s": EmbedderEntry("timm", "vit_small_patch14_dinov2", 518, _IMAGENET, "pil-bicubic", options=_ANY_SIZE),
        "dinov2-b": EmbedderEntry("timm", "vit_base_patch14_dinov2", 518, _IMAGENET, "pil-bicubic", options=_ANY_SIZE),
        "dinov2-l": EmbedderEntry("timm", "vit_large_patch14_dinov2", 518, _IMAGENET, "pil-bicubic", options=_ANY_SIZE),
        "dinov3-s": EmbedderEntry("timm", "vit_small_patch16_dinov3", 256, _IMAGENET, "pil-bicubic"),
        "dinov3-b": EmbedderEntry("timm", "vit_base_patch16_dinov3", 256, _IMAGENET, "pil-bicubic"),
        "dinov3-l": EmbedderEntry("timm", "vit_large_patch16_dinov3", 256, _IMAGENET, "pil-bicubic"),
    }
)


def find_embedder(model: str) -> EmbedderEntry:
    """Return the embedder `embed.model` names: of `EMBEDDERS` or `SHIPPED`, or timm:NAME, arcface:BACKBONE, file:PATH.

    `arcface:BACKBONE` is any of timm's networks with a neck (see `BackboneAndNeck`). A file of one's own names in its
    metadata (`animalclef.embedder`, JSON) the `model` it holds, and where they differ `size`, `mean`, `std`, `resize`
    and `options`.

    Raises:
        ConfigError: there is no such embedder.
        WeightsError: it shipped with an earlier version.
    """
    if model in EMBEDDERS:
        return EMBEDDERS[model]
    if model in SHIPPED:
        return _of_file(shipped_embedder(model))
    kind, _, rest = model.partition(":")
    if kind == "timm" and rest:
        return EmbedderEntry("timm", rest, precision="plain")
    if kind == "arcface" and rest:
        return EmbedderEntry("arcface", rest)
    if kind == "file" and rest:
        return _of_file(Path(rest))
    refuse_removed("embed.model", model)
    known = ", ".join(["rootsift-vlad", *SHIPPED, *EMBEDDERS])
    raise ConfigError(f"embed.model {model}: no such embedder. Known: {known}, timm:NAME, arcface:BACKBONE, file:PATH.")


def trained_on_keys(path: Path) -> frozenset[str]:
    """Return keys of the photographs that weights of `animalclef train`, or their start, were trained on."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about: dict[str, Any] = json.loads((file.metadata() or {}).get(METADATA, "{}"))
        return frozenset(str(about.get("trained_on", about.get("learnt", ""))).split())  # files of 0.1 say "learnt"
    except (OSError, SafetensorError, ValueError, AttributeError, RecursionError):
        return frozenset()  # of another make, or no file: loading the weights will report it


def _of_file(path: Path) -> EmbedderEntry:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about: dict[str, Any] = json.loads((file.metadata() or {})[METADATA])
        entry = find_embedder(str(about["model"]))
        mean_std = (about["mean"], about["std"]) if "mean" in about else entry.mean_std
        size, resize = about.get("size", entry.size), about.get("resize", entry.resize)
        options = {**entry.options, **about.get("options", {})}
        made = EmbedderEntry(
            entry.family, entry.backbone, size, mean_std, resize, entry.precision, options, weights=path
        )
        return TypeAdapter(EmbedderEntry).validate_python(asdict(made))
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(
            f"embed.model file:{path}: expected a .safetensors file whose metadata names its network under "
            f"{METADATA} ({type(error).__name__}). For other files give embed.model=NAME and embed.weights={path}."
        ) from error
