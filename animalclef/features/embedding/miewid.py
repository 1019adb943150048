"""MiewID, the multi-species ArcFace embedding of arXiv 2412.05602, built from its published description.

timm's EfficientNetV2-rw-M without its classifier, generalised-mean pooling with a learnt exponent (GeM), batch
normalisation: 2152 numbers, not of unit length.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from animalclef.features.embedding.pooling import generalised_mean

if TYPE_CHECKING:
    import torch

__all__ = ["build_miewid", "published_keys"]


def build_miewid(backbone: str, options: Mapping[str, str | int | float | bool]) -> torch.nn.Module:
    """The network, without weights; nothing is downloaded."""
    import timm
    from torch import nn

    class MiewId(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = timm.create_model(backbone, pretrained=False, num_classes=0, global_pool="", **options)
            self.pooling = generalised_mean()
            self.bn = nn.BatchNorm1d(self.backbone.num_features)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            pooled = self.pooling(self.backbone.forward_features(x))
            normalised: torch.Tensor = self.bn(pooled)
            return normalised

    return MiewId()


def published_keys(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Either published layout in ours: the exponent is `pooling.p`, or `backbone.global_pool.p`."""
    kept = dict(state)
    if "pooling.p" not in kept and "backbone.global_pool.p" in kept:
        kept["pooling.p"] = kept.pop("backbone.global_pool.p")
    return kept
