"""A backbone with a neck, as classifiers for ArcFace training are built: pooled features, a few numbers, batch norm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from animalclef.features.embedding.pooling import generalised_mean

if TYPE_CHECKING:
    import torch

__all__ = ["NECK_OPTIONS", "build_arcface"]

_DIMENSIONS = 512
NECK_OPTIONS = ("neck_dimensions", "neck_pool")
"""Options that are not timm's: how many numbers the neck gives (0: there is no neck), and `avg` or `gem`."""


def build_arcface(backbone: str, options: Mapping[str, str | int | float | bool]) -> torch.nn.Module:
    """The network without its ArcFace head and without weights: keys `backbone.*`, `pooling.p`, `neck.*`, `bn.*`.

    Raises:
        ValueError: there is no such pooling.
    """
    import timm
    from torch import nn

    of_timm = {name: value for name, value in options.items() if name not in NECK_OPTIONS}
    dimensions, pool = int(options.get("neck_dimensions", _DIMENSIONS)), options.get("neck_pool", "avg")
    if pool not in ("avg", "gem"):
        raise ValueError(f"neck_pool is avg or gem, not {pool}")
    if pool == "gem":
        of_timm["global_pool"] = ""

    class BackboneAndNeck(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = timm.create_model(backbone, pretrained=False, num_classes=0, **of_timm)
            features = getattr(self.backbone, "head_hidden_size", self.backbone.num_features)
            self.pooling = generalised_mean() if pool == "gem" else nn.Identity()
            self.neck = nn.Linear(features, dimensions, bias=False) if dimensions else nn.Identity()
            self.bn = nn.BatchNorm1d(dimensions) if dimensions else nn.Identity()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            # the neck stays in float32 whatever the backbone is in
            normalised: torch.Tensor = self.bn(self.neck(self.pooling(self.backbone(x)).float()))
            return normalised

    return BackboneAndNeck()
