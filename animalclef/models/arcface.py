"""A backbone with a neck, as classifiers for ArcFace training are built: pooled features, 512 numbers, batch norm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["build_arcface"]

_DIMENSIONS = 512


def build_arcface(backbone: str, options: Mapping[str, str | int | float | bool]) -> torch.nn.Module:
    """The network without its ArcFace head and without weights: keys `backbone.*`, `neck.*`, `bn.*`."""
    import timm
    from torch import nn

    class BackboneAndNeck(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = timm.create_model(backbone, pretrained=False, num_classes=0, **options)
            self.neck = nn.Linear(self.backbone.num_features, _DIMENSIONS, bias=False)
            self.bn = nn.BatchNorm1d(_DIMENSIONS)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            # the neck stays in float32 whatever the backbone is in
            normalised: torch.Tensor = self.bn(self.neck(self.backbone(x).float()))
            return normalised

    return BackboneAndNeck()
