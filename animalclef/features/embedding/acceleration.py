"""Run a network faster: a fast number format, channels last in memory, batch norms folded into convolutions."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor, fx, nn

__all__ = ["accelerate", "fold_batch_norms"]

logger = logging.getLogger(__name__)


def accelerate(model: nn.Module, dtype: torch.dtype, device: str) -> nn.Module:
    """Return the network on its device with batch norms folded, arithmetic in `dtype`, channels last.

    On a processor bfloat16 is for dense products alone, which take nearly all the time; values between them stay in
    float32, as their rounding is most of what bfloat16 costs in accuracy. On a GPU the whole backbone is in `dtype`;
    pooling and neck are not: they cost nothing and decide the last digits.
    """
    folded = fold_batch_norms(model.eval())
    backbone: nn.Module = getattr(folded, "backbone", folded)
    if device == "cpu" and dtype == torch.bfloat16:
        for parent in list(backbone.modules()):
            for name, layer in list(parent.named_children()):
                is_dense = isinstance(layer, nn.Conv2d) and layer.groups == 1 and layer.in_channels > 3
                if is_dense or isinstance(layer, nn.Linear):
                    setattr(parent, name, _Bfloat16Layer(layer))
    else:
        backbone.to(dtype)
    return folded.to(device).to(memory_format=torch.channels_last)


def fold_batch_norms(model: nn.Module) -> nn.Module:
    """Fold every batch norm that follows a convolution into it; a model without any comes back as it is."""
    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return model
    try:
        traced = fx.GraphModule(model, _Tracer().trace(model))
    except (fx.proxy.TraceError, TypeError, RuntimeError, NotImplementedError) as error:
        logger.info("Batch norms are left as they are: %s", error)
        return model
    modules = dict(traced.named_modules())
    with torch.no_grad():
        for node in traced.graph.nodes:
            pair = _convolution_and_norm(node, modules)
            if pair is not None:
                _fold(*pair)
                parent, _, leaf = str(node.target).rpartition(".")
                after = [getattr(pair[1], part) for part in ("drop", "act") if hasattr(pair[1], part)]
                setattr(traced.get_submodule(parent), leaf, nn.Sequential(*after))
    traced.recompile()
    return traced.eval()


class _Bfloat16Layer(nn.Module):
    """A layer that computes in bfloat16, from and to float32."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer.bfloat16()

    def forward(self, x: Tensor) -> Tensor:
        product: Tensor = self.layer(x.bfloat16()).float()
        return product


class _Tracer(fx.Tracer):
    """Trace no deeper than convolutions and batch norms; timm's are subclasses of torch's."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Conv2d | nn.BatchNorm2d) or super().is_leaf_module(m, module_qualified_name)


def _convolution_and_norm(node: Any, modules: dict[str, nn.Module]) -> tuple[Any, Any] | None:
    if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm2d):
        return None
    source = node.args[0]
    if source.op != "call_module" or len(source.users) != 1:
        return None
    convolution = modules[source.target]
    return (convolution, modules[node.target]) if isinstance(convolution, nn.Conv2d) else None


def _fold(convolution: Any, norm: Any) -> None:
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    before = 0 if convolution.bias is None else convolution.bias.double()
    bias = (before - norm.running_mean.double()) * scale + norm.bias.double()
    convolution.weight = nn.Parameter((convolution.weight.double() * scale.view(-1, 1, 1, 1)).float())
    convolution.bias = nn.Parameter(bias.float())
