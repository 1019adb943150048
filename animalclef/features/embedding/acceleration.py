"""The same network, faster: the number format the machine is quick at, channels last, batch norms folded away."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from animalclef.errors import ConfigError
from animalclef.runtime import precision

if TYPE_CHECKING:
    import torch

__all__ = ["accelerate", "choose_precision", "fold_batch_norms"]

logger = logging.getLogger(__name__)


def choose_precision(wanted: str, device: str) -> str:
    """The number format for `auto`: bfloat16 where the device computes in it, float16 on other CUDA GPUs, float32.

    Everything else comes back as it is.

    Raises:
        ConfigError: the device does not compute in the format wanted.
    """
    import torch

    if wanted == "float16" and device == "cpu":
        raise ConfigError("embed.precision float16: processors are slow at it. Use auto, bfloat16 or float32.")
    if wanted == "plain":
        return wanted
    return str(precision.choose_precision(wanted, torch.device(device))).removeprefix("torch.")


def accelerate(model: torch.nn.Module, number_format: str, device: str) -> torch.nn.Module:
    """The network on its device: batch norms folded into convolutions, arithmetic in `number_format`, channels last.

    On a processor bfloat16 is for dense products alone, which take nearly all the time; what passes between them stays
    in float32, as their rounding is most of what bfloat16 costs in accuracy. On a GPU the whole backbone is in
    `number_format`; what follows it is not: pooling and neck cost nothing and decide the last digits.
    """
    import torch

    folded = fold_batch_norms(model.eval())
    if device == "cpu" and number_format == "bfloat16":
        _narrow_dense_products(folded)
    else:
        backbone = getattr(folded, "backbone", None)
        (backbone if isinstance(backbone, torch.nn.Module) else folded).to(getattr(torch, number_format))
    moved: torch.nn.Module = folded.to(device)
    return moved.to(memory_format=torch.channels_last)


def fold_batch_norms(model: torch.nn.Module) -> torch.nn.Module:
    """Every batch norm that follows a convolution becomes part of it; the model comes back as it is if it has none."""
    import torch
    from torch import fx, nn

    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return model

    class Tracer(fx.Tracer):
        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            return isinstance(m, nn.Conv2d | nn.BatchNorm2d) or super().is_leaf_module(m, module_qualified_name)

    try:
        traced = fx.GraphModule(model, Tracer().trace(model))
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


def _narrow_dense_products(model: torch.nn.Module) -> None:
    """Every dense convolution and linear layer computes in bfloat16, from and to float32."""
    from torch import nn

    class Narrow(nn.Module):
        def __init__(self, layer: nn.Module) -> None:
            super().__init__()
            self.layer = layer.bfloat16()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            product: torch.Tensor = self.layer(x.bfloat16()).float()
            return product

    backbone = getattr(model, "backbone", model)
    for parent in list(backbone.modules()):
        for name, layer in list(parent.named_children()):
            is_dense = isinstance(layer, nn.Conv2d) and layer.groups == 1 and layer.in_channels > 3
            if is_dense or isinstance(layer, nn.Linear):
                setattr(parent, name, Narrow(layer))


def _convolution_and_norm(node: Any, modules: dict[str, torch.nn.Module]) -> tuple[Any, Any] | None:
    from torch import nn

    if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm2d):
        return None
    source = node.args[0]
    if source.op != "call_module" or len(source.users) != 1:
        return None
    convolution = modules[source.target]
    return (convolution, modules[node.target]) if isinstance(convolution, nn.Conv2d) else None


def _fold(convolution: Any, norm: Any) -> None:
    import torch
    from torch import nn

    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    before = 0 if convolution.bias is None else convolution.bias.double()
    bias = (before - norm.running_mean.double()) * scale + norm.bias.double()
    convolution.weight = nn.Parameter((convolution.weight.double() * scale.view(-1, 1, 1, 1)).float())
    convolution.bias = nn.Parameter(bias.float())
