"""MiewID, the multi-species ArcFace embedding of arXiv 2412.05602, built from its published description.

timm's EfficientNetV2-rw-M without its classifier, generalised-mean pooling with a trained exponent (GeM), batch
normalisation: 2152-d, not of unit length.
"""

from __future__ import annotations

from collections.abc import Mapping

import timm
from torch import Tensor, nn

from animalclef.features.embedding.pooling import GeM

__all__ = ["MiewId", "published_keys"]


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
