"""The network that is trained: built as the pipeline builds it, started from other weights, and written for use."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from animalclef.config import EmbedConfig
from animalclef.config.embedder_training import EmbedderNetworkConfig
from animalclef.config.loading import refuse_removed
from animalclef.errors import ConfigError, WeightsError
from animalclef.features.embedding.embedder_families import CLASSIFIERS, FAMILIES
from animalclef.features.embedding.embedder_registry import METADATA, find_embedder
from animalclef.features.embedding.preprocessing import Preprocessing
from animalclef.features.embedding.timm_embedder import build, preprocessing_of
from animalclef.hub.cache import find_weights
from animalclef.hub.catalogue import SHIPPED, WEIGHTS, shipped_embedder
from animalclef.hub.load import load_strictly, read_weights, unwrapped
from animalclef.runtime.atomic_files import write_bytes
from animalclef.runtime.wording import first_line

__all__ = [
    "Started",
    "TrainedNetwork",
    "backbone_of",
    "build_trained",
    "find_start",
    "measure_batch_norms",
    "save_embedder",
    "set_mode",
    "start_from",
]

PUBLISHED = "published"
"""In place of a start's file: the published weights of the model, from this machine's caches."""
_HEADS = (*FAMILIES["miewid"].heads, *FAMILIES["arcface"].heads)
_NEW = ("pooling.", "neck.", "bn.")  # what stands between a backbone and the embedding


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network and how its photographs are prepared."""

    module: nn.Module  # (b, 3, h, w) to (b, dimensions)
    preprocessing: Preprocessing
    dimensions: int
    config: EmbedderNetworkConfig
    options: Mapping[str, str | int | float | bool]


@dataclass(frozen=True)
class Started:
    """Keys of a start's file against those of the network."""

    new: tuple[str, ...]  # not in the file: they keep their random weights
    unused: tuple[str, ...]  # in the file, and not in the network


def build_trained(config: EmbedderNetworkConfig) -> TrainedNetwork:
    """Return the network that the settings name, with new weights drawn from torch's generator.

    Raises:
        ConfigError: there is no such network, or it cannot take photographs of that size.
    """
    if config.model.startswith("file:"):
        raise ConfigError(f"network.model {config.model}: name the network itself, and give the file with --start.")
    if config.model in SHIPPED:
        raise ConfigError(
            f"network.model {config.model}: these are weights. Start from them with --start {config.model}, and name "
            "the network itself as the recipe embedder-lite-tune does."
        )
    if config.model == "rootsift-vlad":
        raise ConfigError("network.model rootsift-vlad: it has no weights to train. Name a network, or timm:NAME.")
    entry = find_embedder(config.model)
    options = dict(config.options)
    if entry.family == "arcface":
        options |= {"neck_dimensions": config.dimensions or 0, "neck_pool": config.pool}
    elif given := {"dimensions", "pool"} & config.model_fields_set:
        raise ConfigError(f"network.{min(given)}: {config.model} has no neck to set. Use arcface:{entry.backbone}.")
    described = EmbedConfig(
        model=config.model, image_size=config.image_size, mean=config.mean, std=config.std, resize=config.resize,
        model_options=options,
    )  # fmt: skip
    module = build(entry, described)
    preprocessing = preprocessing_of(entry, module, described)
    width, height = preprocessing.size_wh
    try:
        with torch.inference_mode():
            shape = tuple(module.eval()(torch.zeros(1, 3, height, width)).shape)
    except (RuntimeError, AssertionError, ValueError) as error:
        size = f"{width} x {height} pixels"
        raise ConfigError(f"network: {config.model} cannot take {size} ({first_line(error)}).") from error
    if len(shape) != 2:
        raise ConfigError(f"network: {config.model} gives shape {shape[1:]} per photograph, not one vector.")
    return TrainedNetwork(module, preprocessing, shape[1], config, options)


def backbone_of(module: nn.Module) -> nn.Module:
    """Return the part that takes photographs; a network without a neck is all backbone."""
    backbone: nn.Module = getattr(module, "backbone", module)
    return backbone


def set_mode(module: nn.Module, *, frozen: bool, batch_norm: str) -> None:
    """Set training mode, except for a frozen backbone, or for batch norms that keep their statistics."""
    module.train()
    backbone = backbone_of(module)
    if frozen:
        backbone.eval()
    elif batch_norm == "frozen":
        for part in backbone.modules():
            if isinstance(part, _BatchNorm):
                part.eval()


def measure_batch_norms(module: nn.Module, inputs: Tensor) -> None:
    """Give every batch norm of the backbone the statistics of its input, and a scale and shift that undo the change.

    The network computes the same as before. It is needed where batch norms were folded into the weights (statistics 0
    and 1): the first step in training mode would otherwise change everything.
    """

    def measure(norm: _BatchNorm, given: tuple[Tensor, ...]) -> None:
        if norm.running_mean is None or norm.running_var is None or norm.weight is None or norm.bias is None:
            return
        values = given[0].float().transpose(0, 1).flatten(1)
        mean, variance = values.mean(1), values.var(1, correction=0)
        slope = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        norm.bias.add_((mean - norm.running_mean) * slope)
        norm.weight.copy_(slope * torch.sqrt(variance + norm.eps))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)

    norms = [part for part in backbone_of(module).modules() if isinstance(part, _BatchNorm)]
    hooks = [norm.register_forward_pre_hook(measure) for norm in norms]
    try:
        with torch.no_grad():
            module.eval()(inputs)
    finally:
        for hook in hooks:
            hook.remove()


def find_start(start: Path | str, model: str) -> Path:
    """Return the file of a start: a path, one that ships, or with `published` the model's weights on this machine.

    Raises:
        WeightsError: no weights of this model are published, or they are not on this machine; or it is an embedder
            that shipped with an earlier version.
    """
    if str(start) in SHIPPED:
        return shipped_embedder(str(start))
    if str(start) != PUBLISHED:
        if not Path(start).exists():
            refuse_removed("--start", str(start))
        return Path(start)
    if model not in WEIGHTS:
        raise WeightsError(f"--start {PUBLISHED}: no weights of {model} are published. Give a file.")
    return find_weights(model, None)


def start_from(network: TrainedNetwork, path: Path) -> Started:
    """Load weights of the whole network or of its backbone, in any layout that the pipeline reads.

    Heads are dropped. Pooling and neck stay new where the file has none, or one of another size; every other key must
    be there in its shape.

    Raises:
        WeightsError: the file is absent, holds code, or does not fit.
    """
    entry, own = find_embedder(network.config.model), network.module.state_dict()
    state, necked = read_weights(path), hasattr(network.module, "backbone")
    given = _of_whole(state, own, entry.family)
    if necked and not set(own) & set(given):
        given = {f"backbone.{name}": value for name, value in _of_backbone(state, own).items()}
    between = [name for name in own if necked and name.startswith(_NEW)]
    new = sorted(name for name in between if name not in given or given[name].shape != own[name].shape)
    strays = [name for name in given if necked and name not in own and name.startswith(_NEW)]
    unused = sorted(strays + [name for name in new if name in given])
    taken = {name: value for name, value in given.items() if name not in unused}
    load_strictly(network.module, taken, path, derived=new)
    return Started(tuple(new), tuple(unused))


def _of_whole(state: Mapping[str, Tensor], own: Mapping[str, Tensor], family: str) -> dict[str, Tensor]:
    """Return a whole network's file in our keys, without training heads."""
    keys = FAMILIES[family].keys(unwrapped(dict(state), set(own)))
    heads = (*FAMILIES[family].heads, *_HEADS)
    return {name: value for name, value in keys.items() if name in own or not name.startswith(heads)}


def _of_backbone(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a backbone's file in timm's keys, without its classifier; the families' published layouts are tried."""
    expected = {name.removeprefix("backbone.") for name in own if name.startswith("backbone.")}
    inside = unwrapped(dict(state), expected)
    layouts = [family.keys(inside) for family in FAMILIES.values()]
    best = max(layouts, key=lambda layout: len(expected & set(layout)) - len(set(layout) - expected))
    return {name: value for name, value in best.items() if name in expected or not name.startswith(CLASSIFIERS)}


def save_embedder(
    path: Path, weights: Mapping[str, Tensor], network: TrainedNetwork, trained_on: Collection[str] = ()
) -> None:
    """Write weights for `embed.model=file:PATH`, with the keys of the photographs that they were trained on.

    Matrices are in half precision where they lie in its range; norms and biases stay in float32.
    """
    config, prepared = network.config, network.preprocessing
    about: dict[str, Any] = {
        "model": config.model, "options": dict(network.options), "size": config.embed_size or prepared.size_wh[0],
        "mean": prepared.mean, "std": prepared.std, "resize": prepared.resize,
    }  # fmt: skip
    if trained_on:
        about["trained_on"] = " ".join(sorted(trained_on))
    tensors = {name: _stored(value.detach().cpu()).contiguous() for name, value in weights.items()}
    write_bytes(path, save(tensors, metadata={METADATA: json.dumps(about)}))


def _stored(value: Tensor) -> Tensor:
    if not value.is_floating_point() or value.ndim < 2 or bool((value.abs() > torch.finfo(torch.half).max).any()):
        return value
    return value.half()
