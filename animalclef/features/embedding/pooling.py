"""Pool a network's last map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["GeM"]


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
