"""LightGlue's layers over packed tokens: the keypoints of all images one after another, without padding.

They compute what the layers of kornia's LightGlue (Lindenberger et al., ICCV 2023) compute, with weights in another
order: the output projection of an attention is multiplied into the feed-forward part that follows, query, key and value
lie apart instead of interleaved, and the pairs of a rotary embedding are halves instead of neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch.nn import functional

__all__ = ["CrossLayer", "FeedForward", "LayerBuilder", "RaggedLayout", "SelfLayer", "apply_padded"]

_MANY_RUNS = 8  # kernel calls: above it a GPU is faster with one padded call
_MULTIPLE = 64  # tokens: what a CPU's half-precision kernels get is padded to whole multiples of it


class RaggedLayout:
    """Where each image's tokens lie among the packed ones: first the P left images of the pairs, then the P right ones.

    The tokens of one image are a sequence. Neighbouring sequences of the same length (a run) are attended to in one
    call. On a GPU, where a call costs more, a batch of many lengths is padded for the attention and the padding masked.

    >>> layout = RaggedLayout([2, 3, 4, 5], torch.device("cpu"))  # two pairs: 2 and 4, 3 and 5 keypoints
    >>> layout.starts, layout.partner
    ([0, 2, 5, 9, 14], [2, 3, 0, 1])
    """

    def __init__(self, lengths: list[int], device: torch.device, *, padded: bool | None = None) -> None:
        self.lengths, self.device = lengths, device
        self.pairs = len(lengths) // 2
        self.starts = np.concatenate([[0], np.cumsum(lengths)]).astype(int).tolist()
        self.partner = [*range(self.pairs, 2 * self.pairs), *range(self.pairs)]
        self.self_runs = self._runs(list(range(len(lengths))))
        self.cross_runs = self._runs(self.partner)
        self.padded = padded if padded is not None else device.type != "cpu" and len(self.cross_runs) > _MANY_RUNS

    def _runs(self, other: list[int]) -> list[tuple[int, int, int]]:
        """Return runs as (first sequence, the one it attends to, how many): neighbours that share both lengths."""
        runs: list[tuple[int, int, int]] = []
        for place, at in enumerate(other):
            if runs:
                first, first_other, count = runs[-1]
                same = self.lengths[first] == self.lengths[place] and self.lengths[first_other] == self.lengths[at]
                if same and first + count == place and first_other + count == at:
                    runs[-1] = (first, first_other, count + 1)
                    continue
            runs.append((place, at, 1))
        return runs

    @cached_property
    def sequence_of(self) -> torch.Tensor:
        """Return the sequence that each token belongs to, (tokens,)."""
        return torch.from_numpy(np.repeat(np.arange(len(self.lengths)), self.lengths)).to(self.device)

    @cached_property
    def padding(self) -> tuple[torch.Tensor, ...]:
        """Return what padding needs: `token` and `is_real`, (sequences, longest) each, and `places`, (tokens,).

        `token` says which packed token goes into each cell (any for padding), `is_real` which cells are no padding,
        and `places` in which cell of the flattened table each packed token lies.
        """
        column = np.arange(max(self.lengths))[None]
        is_real = column < np.array(self.lengths)[:, None]
        token = np.where(is_real, np.array(self.starts[:-1])[:, None] + column, 0)
        return tuple(torch.from_numpy(part).to(self.device) for part in (token, is_real, np.flatnonzero(is_real)))

    def cut(self, tokens: torch.Tensor, first: int, count: int) -> torch.Tensor:
        """Return the tokens of `count` neighbouring sequences of one length, (count, length, ...)."""
        start, length = self.starts[first], self.lengths[first]
        return tokens[start : start + count * length].reshape(count, length, *tokens.shape[1:])

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, cross: bool) -> torch.Tensor:
        """Return the attention of every sequence to itself, or with `cross` to its partner.

        Takes (tokens, heads, size) and returns (tokens, heads * size).
        """
        if self.padded:
            token, is_real, places = self.padding
            attended, visible = (token[self.partner], is_real[self.partner]) if cross else (token, is_real)
            parts = [query[token], key[attended], value[attended]]
            q, k, v = (part.transpose(1, 2) for part in parts)
            message = functional.scaled_dot_product_attention(q, k, v, attn_mask=visible[:, None, None])
            return message.transpose(1, 2).flatten(0, 1)[places].flatten(1)
        messages = []
        for first, other, count in self.cross_runs if cross else self.self_runs:
            parts = [self.cut(query, first, count), self.cut(key, other, count), self.cut(value, other, count)]
            q, k, v = (part.transpose(1, 2) for part in parts)
            messages.append(_attention(q, k, v).transpose(1, 2).flatten(0, 1).flatten(1))
        return messages[0] if len(messages) == 1 else torch.cat(messages)


def apply_padded(function: Callable[..., torch.Tensor], *tokens: torch.Tensor) -> torch.Tensor:
    """Return a row-wise function of tokens; rows of zeros are added for the call where that makes it faster.

    A CPU's half-precision kernels are compiled for every number of rows and kept: 2 ms and a megabyte each, more than
    the arithmetic takes.
    """
    rows = len(tokens[0])
    extra = _rows_to_multiple(tokens[0], rows)
    if not extra:
        return function(*tokens)
    return function(*(functional.pad(part, (0, 0, 0, extra)) for part in tokens))[:rows]


def _attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return the attention of (n, heads, tokens, size), padded and masked where that is faster."""
    length, others = query.shape[2], key.shape[2]
    mask = None
    if extra := _rows_to_multiple(key, others):
        mask = (torch.arange(others + extra, device=key.device) < others)[None, None, None]
        key, value = functional.pad(key, (0, 0, 0, extra)), functional.pad(value, (0, 0, 0, extra))
    if extra := _rows_to_multiple(query, length):
        query = functional.pad(query, (0, 0, 0, extra))
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)[:, :, :length]


def _rows_to_multiple(tokens: torch.Tensor, rows: int) -> int:
    """Return how many rows to add up to a whole multiple; 0 where any number of rows is as fast."""
    return -rows % _MULTIPLE if tokens.device.type == "cpu" and tokens.dtype != torch.float32 else 0


@dataclass(frozen=True, eq=False)
class FeedForward:
    """x + W2 gelu(norm(W1 [x, message])), the end of both kinds of layer."""

    function: Callable[..., torch.Tensor]  # `_feed_forward`, plain or compiled
    weights: tuple[torch.Tensor, ...]

    def __call__(self, tokens: torch.Tensor, message: torch.Tensor) -> torch.Tensor:
        return apply_padded(lambda x, m: self.function(x, m, *self.weights), tokens, message)


def _feed_forward(tokens: torch.Tensor, message: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
    """Return (n, d); `weights` are W1 (2 d, 2 d), the norm (2 d) and W2 (d, 2 d), each followed by its bias."""
    first, first_bias, norm, norm_bias, second, second_bias = weights
    hidden = functional.linear(torch.cat([tokens, message], dim=-1), first, first_bias)
    hidden = functional.gelu(functional.layer_norm(hidden, norm.shape, norm, norm_bias))
    return tokens + functional.linear(hidden, second, second_bias)


@dataclass(frozen=True, eq=False)
class SelfLayer:
    """Attention within each image, with rotary positions."""

    heads: int
    weight: torch.Tensor  # (3 d, d): query, key, value
    bias: torch.Tensor
    feed_forward: FeedForward
    rotate: Callable[..., torch.Tensor]

    def __call__(
        self, tokens: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, layout: RaggedLayout
    ) -> torch.Tensor:
        parts = apply_padded(lambda rows: functional.linear(rows, self.weight, self.bias), tokens)
        parts = parts.reshape(len(tokens), 3, self.heads, -1)
        turned = self.rotate(parts[:, :2], cos, sin)
        return self.feed_forward(tokens, layout.attend(turned[:, 0], turned[:, 1], parts[:, 2], cross=False))


def _rotate(parts: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turn the two halves of every head by its token's angles; cos and sin are (tokens, size / 2)."""
    one, other = parts.chunk(2, dim=-1)
    cos, sin = cos[:, None, None], sin[:, None, None]
    return torch.cat([one * cos - other * sin, other * cos + one * sin], dim=-1)


@dataclass(frozen=True, eq=False)
class CrossLayer:
    """Attention between the two images of each pair, the same weights both ways."""

    heads: int
    weight: torch.Tensor  # (2 d, d): query and key in one, value
    bias: torch.Tensor
    feed_forward: FeedForward

    def __call__(self, tokens: torch.Tensor, layout: RaggedLayout) -> torch.Tensor:
        parts = apply_padded(lambda rows: functional.linear(rows, self.weight, self.bias), tokens)
        parts = parts.reshape(len(tokens), 2, self.heads, -1)
        return self.feed_forward(tokens, layout.attend(parts[:, 0], parts[:, 0], parts[:, 1], cross=True))


class LayerBuilder:
    """Builds layers from kornia's blocks.

    With `compiles`, what lies between the attentions is compiled, once for all numbers of tokens.
    """

    def __init__(self, dtype: torch.dtype, device: torch.device, *, compiles: bool = False) -> None:
        self.dtype, self.device = dtype, device
        self._feed_forward: Callable[..., torch.Tensor] = _feed_forward
        self._rotate: Callable[..., torch.Tensor] = _rotate
        if compiles:
            self._feed_forward = torch.compile(_feed_forward, dynamic=True)
            self._rotate = torch.compile(_rotate, dynamic=True)

    def self_layer(self, block: Any) -> SelfLayer:
        """Build the layer of a self-attention block, whose rows are ordered (head, size, query-key-value)."""
        heads, size = block.num_heads, block.head_dim
        halves = torch.cat([torch.arange(0, size, 2), torch.arange(1, size, 2)])

        def separated(values: torch.Tensor) -> torch.Tensor:
            parts = values.reshape(heads, size, 3, *values.shape[1:]).movedim(2, 0)  # (3, heads, size, ...)
            return self._ready(torch.cat([parts[:2][:, :, halves], parts[2:]]).flatten(0, 2))

        feed_forward = self._feed_forward_of(block.ffn, block.out_proj)
        weight, bias = separated(block.Wqkv.weight), separated(block.Wqkv.bias)
        return SelfLayer(heads, weight, bias, feed_forward, self._rotate)

    def cross_layer(self, block: Any) -> CrossLayer:
        """Build the layer of a cross-attention block."""
        weight = torch.cat([block.to_qk.weight, block.to_v.weight])
        bias = torch.cat([block.to_qk.bias, block.to_v.bias])
        feed_forward = self._feed_forward_of(block.ffn, block.to_out)
        return CrossLayer(block.heads, self._ready(weight), self._ready(bias), feed_forward)

    def _feed_forward_of(self, ffn: Any, output: Any) -> FeedForward:
        """Fold the attention's output projection Wo into W1, in double precision.

        W1 = [W1x, W1m], so W1 [x, Wo m + bo] = [W1x, W1m Wo] [x, m] + W1m bo.
        """
        first, norm, _, second = ffn
        width = output.weight.shape[0]
        of_tokens, of_message = first.weight.double()[:, :width], first.weight.double()[:, width:]
        weight = torch.cat([of_tokens, of_message @ output.weight.double()], dim=1)
        bias = first.bias.double() + of_message @ output.bias.double()
        values = (weight, bias, norm.weight, norm.bias, second.weight, second.bias)
        return FeedForward(self._feed_forward, tuple(self._ready(value) for value in values))

    def _ready(self, values: torch.Tensor) -> torch.Tensor:
        return values.detach().to(self.device, self.dtype).contiguous()
