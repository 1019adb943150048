"""Explain the similarity of two photographs to an embedding network.

Relevance is the gradient of the embeddings' inner product with respect to one layer's map, times the map, summed over
its channels; cells that lower the product are set to zero at the end. The lengths of the embeddings are held fixed, as
the gradient of the cosine itself vanishes where two photographs are alike. Where only pooling and a linear layer
without bias follow the map, the relevances of its cells add up to the cosine (as in HiResCAM, Draelos and Carin 2020);
elsewhere they are first order. PAIR-X propagates relevance by layer-wise rules instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from animalclef.errors import ConfigError
from animalclef.explain.pairx import Agreement, agreeing_cells, scaled
from animalclef.structures import DecodedImage, FloatArray

if TYPE_CHECKING:
    from animalclef.features.embedding.timm_embedder import TimmExtractor

__all__ = ["agreement_of_network", "layers_of", "relevance_of"]

_TRIES = 4  # layers from the end; of a transformer's last block only the class token may count


def agreement_of_network(
    extractor: TimmExtractor, query: DecodedImage, gallery: DecodedImage, layer: str | None = None, most: int = 12
) -> Agreement:
    """Return relevance maps at `layer`, by default the last one with a map, and the `most` matching pairs of cells.

    Photographs are whole and unmirrored; `embed.crops` and `embed.flip` are ignored.

    Raises:
        ConfigError: the network has no such layer, or none with a map.
    """
    inputs = _inputs(extractor, [query, gallery])
    layers = layers_of(extractor.model, inputs[:1])
    if layer is not None and layer not in layers:
        known = ", ".join(list(layers)[-8:]) or "none"
        raise ConfigError(f"--layer {layer}: no layer of this network with a map. The last ones: {known}.")
    names = [layer] if layer is not None else list(reversed(layers))[:_TRIES]
    if not names:
        raise ConfigError("This network has no layer with a map.")
    for name in names:
        cosine, activation, relevance = relevance_of(extractor.model, inputs, name, layers[name])
        if np.abs(relevance).max() > 0:
            break
    maps = scaled(relevance[0]), scaled(relevance[1])
    return Agreement(cosine, *maps, *agreeing_cells(activation[0], activation[1], *maps, most))


def relevance_of(
    model: torch.nn.Module, inputs: torch.Tensor, layer: str, grid: Callable[[torch.Tensor], torch.Tensor]
) -> tuple[float, FloatArray, FloatArray]:
    """Return the cosine of two inputs, and the layer's activations, (2, h, w, c), and relevances, (2, h, w)."""
    held: list[torch.Tensor] = []

    def hold(module: torch.nn.Module, given: Any, output: torch.Tensor) -> torch.Tensor:
        held[:] = [output.detach().requires_grad_()]
        return held[0].clone()  # what follows may work in place

    with torch.enable_grad(), _hooked(model, {layer: hold}):
        vectors = model(inputs).float()
        lengths = vectors.detach().norm(dim=1).clamp(min=1e-12)
        cosine = (vectors[0] * vectors[1]).sum() / lengths.prod()
        (gradient,) = torch.autograd.grad(cosine, held, allow_unused=True)
    activation = held[0].detach()
    relevance = torch.zeros_like(activation) if gradient is None else gradient * activation
    cells, relevant = (grid(one).float().cpu().numpy() for one in (activation, relevance))
    return float(cosine.detach()), cells, relevant.sum(axis=3)


def layers_of(model: torch.nn.Module, inputs: torch.Tensor) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """Find layers whose output is a map of more than one cell, in the order they run, and how to get (n, h, w, c).

    Of transformers only whole blocks count (`blocks.11`).
    """
    found: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {}

    def look(name: str) -> Callable[..., None]:
        def note(module: torch.nn.Module, given: Any, output: Any) -> None:
            reader = _reader(model, name, output, inputs) if isinstance(output, torch.Tensor) else None
            if reader is not None:
                found.pop(name, None)
                found[name] = reader

        return note

    names = [name for name, _ in model.named_modules() if name]
    with torch.no_grad(), _hooked(model, {name: look(name) for name in names}):
        model(inputs)
    return found


def _reader(
    model: torch.nn.Module, name: str, output: torch.Tensor, inputs: torch.Tensor
) -> Callable[[torch.Tensor], torch.Tensor] | None:
    backbone: Any = getattr(model, "backbone", model)
    height, width = int(inputs.shape[2]), int(inputs.shape[3])
    if len(output) != len(inputs) or not output.is_floating_point():
        return None
    shape = [int(side) for side in output.shape]
    if output.ndim == 4:
        last = getattr(backbone, "output_fmt", "NCHW") == "NHWC" and _fits(shape[1], shape[2], height, width)
        rows, columns = (shape[1], shape[2]) if last else (shape[2], shape[3])
        if rows * columns < 2 or not _fits(rows, columns, height, width):
            return None
        return (lambda values: values) if last else (lambda values: values.permute(0, 2, 3, 1))
    if output.ndim == 3 and name.rpartition(".")[2].isdigit():
        before = int(getattr(backbone, "num_prefix_tokens", 0))
        count = shape[1] - before
        rows = max(1, round((count * height / width) ** 0.5))
        if count < 2 or count % rows or not _fits(rows, count // rows, height, width):
            return None
        return lambda values: values[:, before:].reshape(len(values), rows, count // rows, -1)
    return None


def _fits(rows: int, columns: int, height: int, width: int) -> bool:
    """Return whether a grid has the aspect ratio of the photograph, to a cell."""
    return abs(rows - columns * height / width) < max(1.0, height / width) + 1e-6


def _inputs(extractor: TimmExtractor, images: list[DecodedImage]) -> torch.Tensor:
    prepared = [extractor.preprocessing.normalised(extractor.preprocessing.views(image)[0]) for image in images]
    return torch.from_numpy(np.stack(prepared)).to(extractor.device)


@contextmanager
def _hooked(model: torch.nn.Module, hooks: dict[str, Callable[..., Any]]) -> Iterator[None]:
    modules = dict(model.named_modules())
    handles = [modules[name].register_forward_hook(hook) for name, hook in hooks.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
