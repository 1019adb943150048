"""MiewID, the multi-species ArcFace embedding of arXiv 2412.05602, built from its published description.

timm's EfficientNetV2-rw-M without its classifier, generalised-mean pooling with a learnt exponent (GeM), batch
normalisation: 2152 numbers, not of unit length.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["build_miewid", "published_keys"]


def build_miewid(backbone: str, options: Mapping[str, str | int | float | bool]) -> torch.nn.Module:
    """The network, without weights; nothing is downloaded."""
    import timm
    import torch
    from torch import nn

    class GeM(nn.Module):
        """(mean of x^p) ^ (1/p) over the picture, x at least `eps`."""

        def __init__(self, exponent: float = 3.0, eps: float = 1e-6) -> None:
            super().__init__()
            self.p = nn.Parameter(torch.full((1,), exponent))
            self.eps = eps

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            # in float32 whatever the rest is in: x ** 3 leaves the range of float16, and bfloat16 has too few digits
            x = x.float().clamp(min=self.eps)
            exponent = self.p.float()
            return x.pow(exponent).mean((2, 3)).pow(1 / exponent)

    class MiewId(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = timm.create_model(backbone, pretrained=False, num_classes=0, global_pool="", **options)
            self.pooling = GeM()
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
