"""The makes of embedding networks, with the keys of their files: timm's own, those with an ArcFace neck, MiewID."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import timm
import torch
from torch import Tensor, nn

__all__ = ["CLASSIFIERS", "FAMILIES", "BackboneAndNeck", "Family", "GeM", "MiewId"]

Options = Mapping[str, str | int | float | bool]
State = Mapping[str, Tensor]
CLASSIFIERS = ("classifier.", "head.fc.", "fc.", "head.")
_DIMENSIONS = 512


class GeM(nn.Module):
    """Generalised mean, (b, c, h, w) to (b, c): (mean of x^p) ^ (1/p) over the picture, p trained, x at least 1e-6."""

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), 3.0))

    def forward(self, x: Tensor) -> Tensor:
        """Pool in float32, as x ** 3 leaves the range of float16 and bfloat16 has too few digits."""
        x = x.float().clamp(min=1e-6)
        exponent = self.p.float()
        return x.pow(exponent).mean((2, 3)).pow(1 / exponent)


class BackboneAndNeck(nn.Module):
    """The network without its ArcFace head and without weights: keys `backbone.*`, `pooling.p`, `neck.*`, `bn.*`.

    Two options are not timm's: `neck_dimensions` (0: there is no neck) and `neck_pool`, `avg` or `gem`.
    """

    def __init__(self, backbone: str, options: Options) -> None:
        """Build the network.

        Raises:
            ValueError: there is no such pooling.
        """
        super().__init__()
        for_timm = dict(options)
        dimensions, pool = int(for_timm.pop("neck_dimensions", _DIMENSIONS)), for_timm.pop("neck_pool", "avg")
        if pool not in ("avg", "gem"):
            raise ValueError(f"neck_pool is avg or gem, not {pool}")
        if pool == "gem":
            for_timm["global_pool"] = ""
        self.backbone = timm.create_model(backbone, pretrained=False, num_classes=0, **for_timm)
        features = getattr(self.backbone, "head_hidden_size", self.backbone.num_features)
        self.pooling = GeM() if pool == "gem" else nn.Identity()
        self.neck = nn.Linear(features, dimensions, bias=False) if dimensions else nn.Identity()
        self.bn = nn.BatchNorm1d(dimensions) if dimensions else nn.Identity()

    def pooled(self, x: Tensor) -> Tensor:
        """Return the pooled features of the backbone, (b, c)."""
        features: Tensor = self.pooling(self.backbone(x))
        return features

    def head(self, pooled: Tensor) -> Tensor:
        """Return the embedding of pooled features; the neck stays in float32 whatever the backbone is in."""
        normalised: Tensor = self.bn(self.neck(pooled.float()))
        return normalised

    def forward(self, x: Tensor) -> Tensor:
        """Return the embedding of (b, 3, h, w)."""
        return self.head(self.pooled(x))


class MiewId(BackboneAndNeck):
    """The network, without weights: no neck, and a batch norm of the pooled features."""

    def __init__(self, backbone: str, options: Options) -> None:
        super().__init__(backbone, {"neck_dimensions": 0, "neck_pool": "gem", **options})
        self.bn = nn.BatchNorm1d(self.backbone.num_features)

    def pooled(self, x: Tensor) -> Tensor:
        """Return the pooled features of the backbone, (b, 2152)."""
        features: Tensor = self.pooling(self.backbone.forward_features(x))
        return features


def _timm_network(backbone: str, options: Options) -> nn.Module:
    network: nn.Module = timm.create_model(backbone, pretrained=False, **{"num_classes": 0, **options})
    return network


def _miewid_keys(state: State) -> dict[str, Tensor]:
    """Return either published layout in ours: the exponent is `pooling.p`, or `backbone.global_pool.p`."""
    kept = dict(state)
    if "pooling.p" not in kept and "backbone.global_pool.p" in kept:
        kept["pooling.p"] = kept.pop("backbone.global_pool.p")
    return kept


def _swin_keys(state: State) -> dict[str, Tensor]:
    """Drop derived buffers; older files count the layer that a down-sampling ends, newer ones the one it begins."""
    kept = {name: value for name, value in state.items() if not name.endswith(("relative_position_index", "attn_mask"))}
    if not any(name.startswith("layers.0.downsample.") for name in kept):
        return kept

    def later(found: re.Match[str]) -> str:
        return f"layers.{int(found[1]) + 1}.downsample"

    return {re.sub(r"layers\.(\d+)\.downsample", later, name): value for name, value in kept.items()}


@dataclass(frozen=True)
class Family:
    """One make of networks: how to build one, and how the keys of published files map to ours."""

    build: Callable[[str, Options], nn.Module]
    keys: Callable[[State], dict[str, Tensor]]
    heads: tuple[str, ...]  # a training head's keys begin so; the head is not part of the embedding


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "timm": Family(_timm_network, dict, CLASSIFIERS),
        "swin": Family(_timm_network, _swin_keys, CLASSIFIERS),
        "miewid": Family(MiewId, _miewid_keys, ("final.",)),
        "arcface": Family(BackboneAndNeck, dict, ("head.",)),
    }
)
