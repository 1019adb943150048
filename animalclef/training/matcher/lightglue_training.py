"""Run kornia's LightGlue for training: every layer's assignment, with padding excluded from every softmax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from kornia.feature.lightglue import apply_cached_rotary_emb
from torch import Tensor, nn
from torch.nn.functional import linear, log_softmax, logsigmoid, pad, scaled_dot_product_attention

from animalclef.config.matching import FEATURES
from animalclef.config.training import MatcherNetworkConfig
from animalclef.errors import WeightsError
from animalclef.matching.lightglue.loading import new_network
from animalclef.training.training_state import save_half

__all__ = ["Batch", "LayerOutputs", "build_network", "forward", "save_network", "start_from"]


@dataclass(frozen=True, eq=False)
class Batch:
    """Padded pairs of views; index 0 and 1 are the two sides."""

    descriptors: tuple[Tensor, Tensor]  # (b, m, d) float
    places: tuple[Tensor, Tensor]  # (b, m, 2 or 4) normalised as kornia does; scale and orientation follow
    masks: tuple[Tensor, Tensor]  # (b, m) False where padded
    truth: tuple[Tensor, Tensor]  # (b, m) see `Truth`; padded rows are ignored
    names: tuple[str, ...]

    def to(self, device: Any) -> Batch:
        """Return the same batch on another device."""

        def moved(pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            return pair[0].to(device), pair[1].to(device)

        return Batch(moved(self.descriptors), moved(self.places), moved(self.masks), moved(self.truth), self.names)


@dataclass(frozen=True, eq=False)
class LayerOutputs:
    """The predictions after each layer."""

    log_assignments: tuple[Tensor, ...]  # each (b, m + 1, n + 1)
    confidences: tuple[tuple[Tensor, Tensor], ...]  # logits of all layers but the last, (b, m) and (b, n)


def build_network(input_dim: int, config: MatcherNetworkConfig) -> nn.Module:
    """Build an untrained LightGlue with kornia's names."""
    shape = {"input_dim": input_dim, "depth_confidence": -1, "width_confidence": -1}
    return new_network(**shape, **config.model_dump())  # type: ignore[no-any-return]


def start_from(network: nn.Module, weights: Mapping[str, Tensor], file: object) -> list[str]:
    """Load the weights of another LightGlue; return the names of parameters that stay new.

    Only `input_proj` and the encoding of scale and orientation may stay new; layers past those of `network` are
    skipped. The encoding of places is loaded.

    Raises:
        WeightsError: anything else is missing, or is of another size.
    """
    own = network.state_dict()
    new = []
    for name, value in own.items():
        given = weights.get(name)
        if given is not None and given.shape == value.shape:
            value.copy_(given)
        elif name.startswith("input_proj."):
            new.append(name)
        elif name == "posenc.Wr.weight" and given is not None and given.shape == (len(value), 2):
            value.copy_(torch.cat([given, torch.zeros(len(given), value.shape[1] - 2)], 1))
            new.append(name)
        elif name != "confidence_thresholds":
            found = "absent" if given is None else f"of shape {tuple(given.shape)}"
            raise WeightsError(
                f"{file}: {name} is {found}, expected {tuple(value.shape)}. Give `network` the size of these weights."
            )
    _fill_empty_heads(network)
    return new


def _fill_empty_heads(network: nn.Module) -> None:
    """Copy the last layer's assignment head to earlier ones that are all zeros, as a reduced file has none."""
    modules: Any = network
    last = modules.log_assignment[-1].state_dict()
    for head in modules.log_assignment[:-1]:
        if not any(bool(value.any()) for value in head.state_dict().values()):
            head.load_state_dict(last)


def forward(network: nn.Module, batch: Batch, *, last_only: bool = False) -> LayerOutputs:
    """Return every layer's log-assignment and confidences; the last assignment equals that of kornia's forward.

    With `last_only` earlier layers have none.
    """
    modules: Any = network
    tokens = [modules.input_proj(side) for side in batch.descriptors]
    encodings = [modules.posenc(side) for side in batch.places]
    keys = [None if bool(mask.all()) else mask[:, None, None, :] for mask in batch.masks]
    assignments, confidences = [], []
    for number, layer in enumerate(modules.transformers):
        tokens = [_self_attention(layer.self_attn, *side) for side in zip(tokens, encodings, keys, strict=True)]
        tokens = _cross_attention(layer.cross_attn, tokens, keys)
        if last_only and number + 1 < len(modules.transformers):
            continue
        assignments.append(_log_assignment(modules.log_assignment[number], tokens, keys))
        if number < len(modules.token_confidence):
            head = modules.token_confidence[number].token[0]
            first, second = (linear(side.detach(), head.weight, head.bias).squeeze(-1) for side in tokens)
            confidences.append((first, second))
    return LayerOutputs(tuple(assignments), tuple(confidences))


def _self_attention(block: Any, x: Tensor, encoding: Tensor, keys: Tensor | None) -> Tensor:
    qkv = block.Wqkv(x).unflatten(-1, (block.num_heads, -1, 3)).transpose(1, 2)
    query, key = (apply_cached_rotary_emb(encoding, qkv[..., part]) for part in (0, 1))
    context = scaled_dot_product_attention(query, key, qkv[..., 2], attn_mask=keys)
    message = block.out_proj(context.transpose(1, 2).flatten(start_dim=-2))
    return x + block.ffn(torch.cat([x, message], -1))  # type: ignore[no-any-return]


def _cross_attention(block: Any, tokens: list[Tensor], keys: list[Tensor | None]) -> list[Tensor]:
    def heads(values: Tensor) -> Tensor:
        return values.unflatten(-1, (block.heads, -1)).transpose(1, 2)  # type: ignore[no-any-return]

    query = [heads(block.to_qk(x)) for x in tokens]
    value = [heads(block.to_v(x)) for x in tokens]
    seen = [scaled_dot_product_attention(query[s], query[1 - s], value[1 - s], attn_mask=keys[1 - s]) for s in (0, 1)]
    messages = [block.to_out(one.transpose(1, 2).flatten(start_dim=-2)) for one in seen]
    return [x + block.ffn(torch.cat([x, message], -1)) for x, message in zip(tokens, messages, strict=True)]


def _log_assignment(head: Any, tokens: list[Tensor], keys: list[Tensor | None]) -> Tensor:
    """Compute kornia's `MatchAssignment` with padded columns and rows at minus infinity before each softmax."""
    scale = head.dim**0.25
    first, second = (head.final_proj(side).float() / scale for side in tokens)
    similarity = torch.einsum("bmd,bnd->bmn", first, second)
    open0, open1 = (head.matchability(side).float() for side in tokens)
    rows = similarity if keys[1] is None else similarity.masked_fill(~keys[1][:, 0], float("-inf"))
    columns = similarity if keys[0] is None else similarity.masked_fill(~keys[0][:, 0].transpose(1, 2), float("-inf"))
    scores = log_softmax(rows, 2) + log_softmax(columns, 1) + logsigmoid(open0) + logsigmoid(open1).transpose(1, 2)
    none0, none1 = logsigmoid(-open0), logsigmoid(-open1)
    whole = torch.cat([torch.cat([scores, none0], 2), pad(none1.transpose(1, 2), (0, 1))], 1)
    return whole.clamp(min=-1e4)


def save_network(path: Path, weights: Mapping[str, Tensor], network: MatcherNetworkConfig) -> None:
    """Write a network for SIFT for use: kornia's names, half precision, its size in the header."""
    header = {"features": "sift", "input_dim": FEATURES["sift"].dimensions, **network.model_dump()}
    save_half(path, weights, lightglue=header)
