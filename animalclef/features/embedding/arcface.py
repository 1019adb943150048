"""A backbone with a neck, as ArcFace classifiers are built: pooled features, a linear layer, batch norm."""

from __future__ import annotations

from collections.abc import Mapping

import timm
from torch import Tensor, nn

from animalclef.features.embedding.pooling import GeM

__all__ = ["BackboneAndNeck"]

_DIMENSIONS = 512


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
