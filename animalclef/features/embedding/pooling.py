"""Pooling of a network's last map."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["generalised_mean"]


def generalised_mean() -> torch.nn.Module:
    """GeM, (b, c, h, w) to (b, c): (mean of x^p) ^ (1/p) over the picture, p learnt, x at least 1e-6."""
    import torch
    from torch import nn

    class GeM(nn.Module):
        def __init__(self, exponent: float = 3.0, eps: float = 1e-6) -> None:
            super().__init__()
            self.p = nn.Parameter(torch.full((1,), exponent))
            self.eps = eps

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            # in float32 whatever the rest is in: x ** 3 leaves the range of float16, and bfloat16 has too few digits
            x = x.float().clamp(min=self.eps)
            exponent = self.p.float()
            return x.pow(exponent).mean((2, 3)).pow(1 / exponent)

    return GeM()
