"""List the embedding networks: what each is built from, and how its photographs are prepared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open

from animalclef.config.loading import refuse_removed
from animalclef.errors import ConfigError, suggestion
from animalclef.hub.catalogue import SHIPPED, shipped_embedder

__all__ = ["EMBEDDERS", "METADATA", "EmbedderEntry", "find_embedder", "trained_on_keys"]

Values = tuple[float, float, float]
_IMAGENET: tuple[Values, Values] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF: tuple[Values, Values] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
METADATA = "animalclef.embedder"
"""Of a .safetensors file: JSON, {"model": a name from here, timm:NAME or arcface:BACKBONE, ...}."""

_ANY_SIZE = {"dynamic_img_size": True}


@dataclass(frozen=True)
class EmbedderEntry:
    """One kind of embedding network; what is `None` is what timm says of the backbone."""

    family: str  # a key of embedder_families.FAMILIES
    backbone: str  # a name of timm's
    size: int | None = None
    mean_std: tuple[Values, Values] | None = None
    resize: str = "opencv-adaptive"
    precision: str = "auto"
    options: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    weights: Path | None = None  # where the embedder is itself a file


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
    if Path(model).is_file():
        raise ConfigError(f"embed.model {model}: this is a file, not a name. Write file:{model}.")
    known = ["rootsift-vlad", *SHIPPED, *EMBEDDERS]
    raise ConfigError(
        f"embed.model {model}: no such embedder.{suggestion(model, known)} Known: {', '.join(known)}, timm:NAME, "
        "arcface:BACKBONE, file:PATH."
    )


def trained_on_keys(path: Path) -> frozenset[str]:
    """Return keys of the photographs that weights of `animalclef train`, or their start, were trained on."""
    try:
        about = _about(path)
        return frozenset(str(about.get("trained_on", about.get("learnt", ""))).split())  # files of 0.1 say "learnt"
    except (OSError, SafetensorError, KeyError, ValueError, AttributeError, RecursionError):
        return frozenset()  # of another make, or no file: loading the weights will report it


def _about(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        about: dict[str, Any] = json.loads((file.metadata() or {})[METADATA])
    return about


def _of_file(path: Path) -> EmbedderEntry:
    try:
        about = _about(path)
        entry = find_embedder(str(about["model"]))
        own: dict[str, Any] = {name: about[name] for name in ("size", "resize") if name in about}
        if "mean" in about:
            own["mean_std"] = (about["mean"], about["std"])
        options = {**entry.options, **about.get("options", {})}
        return TypeAdapter(EmbedderEntry).validate_python({**asdict(entry), **own, "options": options, "weights": path})
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(
            f"embed.model file:{path}: expected a .safetensors file whose metadata names its network under "
            f"{METADATA} ({type(error).__name__}). For other files give embed.model=NAME and embed.weights={path}."
        ) from error
