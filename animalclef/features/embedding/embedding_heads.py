"""The heads of embedding networks: a neck as ArcFace classifiers have it, and MiewID's pooling and batch norm."""

from __future__ import annotations

from collections.abc import Mapping

import timm
import torch
from torch import Tensor, nn

__all__ = ["BackboneAndNeck", "GeM", "MiewId", "published_keys"]

_DIMENSIONS = 512


class GeM(nn.Module):
    """Generalised mean, (b, c, h, w) to (b, c): (mean of x^p) ^ (1/p) over the picture, p trained, x at least 1e-6."""

    def __init__(self, exponent: float = 3.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), exponent))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Pool in float32, as x ** 3 leaves the range of float16 and bfloat16 has too few digits."""
        x = x.float().clamp(min=self.eps)
        exponent = self.p.float()
        return x.pow(exponent).mean((2, 3)).pow(1 / exponent)


class BackboneAndNeck(nn.Module):
    """The network without its ArcFace head and without weights: keys `backbone.*`, `pooling.p`, `neck.*`, `bn.*`.

    Two options are not timm's: `neck_dimensions` (0: there is no neck) and `neck_pool`, `avg` or `gem`.
    """

    def __init__(self, backbone: str, options: Mapping[str, str | int | float | bool]) -> None:
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


class MiewId(nn.Module):
    """The network, without weights; nothing is downloaded."""

    def __init__(self, backbone: str, options: Mapping[str, str | int | float | bool]) -> None:
        super().__init__()
        self.backbone = timm.create_model(backbone, pretrained=False, num_classes=0, global_pool="", **options)
        self.pooling = GeM()
        self.bn = nn.BatchNorm1d(self.backbone.num_features)

    def pooled(self, x: Tensor) -> Tensor:
        """Return the pooled features of the backbone, (b, 2152)."""
        features: Tensor = self.pooling(self.backbone.forward_features(x))
        return features

    def head(self, pooled: Tensor) -> Tensor:
        """Return the embedding of pooled features."""
        normalised: Tensor = self.bn(pooled)
        return normalised

    def forward(self, x: Tensor) -> Tensor:
        """Return the embedding of (b, 3, h, w)."""
        return self.head(self.pooled(x))


def published_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return either published layout in ours: the exponent is `pooling.p`, or `backbone.global_pool.p`."""
    kept = dict(state)
    if "pooling.p" not in kept and "backbone.global_pool.p" in kept:
        kept["pooling.p"] = kept.pop("backbone.global_pool.p")
    return kept
