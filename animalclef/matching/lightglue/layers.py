"""LightGlue's layers over packed tokens: sequences of any lengths one after another, without padding.

The numbers are those of the published network (Lindenberger et al. 2023) as kornia has it. Only the order of the
arithmetic differs: the output projection of an attention is multiplied into the feed-forward part that follows, query,
key and value lie apart instead of interleaved, and the pairs of a rotary embedding are halves instead of neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

__all__ = ["CrossLayer", "FeedForward", "Layers", "Ragged", "SelfLayer", "on_grid"]

_MANY_RUNS = 8  # from so many kernel calls on, a GPU is faster with one padded call
_GRID = 64  # tokens: lengths that a CPU's half-precision kernels are asked for are whole multiples


class Ragged:
    """Where the sequences of packed tokens begin and end: first the P left images of the pairs, then the P right ones.

    Sequences that lie side by side and have the same length are attended to in one call. On a GPU, where calls are
    dear, a batch of many lengths is padded for the attention alone, and the padding is masked.
    """

    def __init__(self, lengths: list[int], device: torch.device, *, padded: bool | None = None) -> None:
        self.lengths, self.device = lengths, device
        self.pairs = len(lengths) // 2
        self.starts = np.concatenate([[0], np.cumsum(lengths)]).astype(int).tolist()
        self.partner = [*range(self.pairs, 2 * self.pairs), *range(self.pairs)]
        self.self_runs = self._runs(list(range(len(lengths))))
        self.cross_runs = self._runs(self.partner)
        self.padded = padded if padded is not None else device.type != "cpu" and len(self.cross_runs) > _MANY_RUNS
        self._grid: tuple[torch.Tensor, ...] | None = None

    def _runs(self, other: list[int]) -> list[tuple[int, int, int]]:
        """Return (first sequence, its other, how many) of neighbours that share both lengths."""
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

    @property
    def sequence_of(self) -> torch.Tensor:
        """Return the sequence that each token belongs to, (tokens,)."""
        return torch.from_numpy(np.repeat(np.arange(len(self.lengths)), self.lengths)).to(self.device)

    def grid(self) -> tuple[torch.Tensor, ...]:
        """Return what padding needs: tokens (sequences, longest), a mask and places.

        The mask says which of them are real, the places where those lie in the grid.
        """
        if self._grid is None:
            place = np.arange(max(self.lengths))[None]
            real = place < np.array(self.lengths)[:, None]
            token = np.where(real, np.array(self.starts[:-1])[:, None] + place, 0)
            parts = (token, real, np.flatnonzero(real))
            self._grid = tuple(torch.from_numpy(part).to(self.device) for part in parts)
        return self._grid

    def cut(self, tokens: torch.Tensor, first: int, count: int) -> torch.Tensor:
        """Return the tokens of `count` sequences of one length, (count, length, ...)."""
        start, length = self.starts[first], self.lengths[first]
        return tokens[start : start + count * length].reshape(count, length, *tokens.shape[1:])

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, cross: bool) -> torch.Tensor:
        """Return the attention of every sequence to itself, or to its partner.

        It takes (tokens, heads, size) and returns (tokens, width).
        """
        if self.padded:
            token, real, places = self.grid()
            theirs, shown = (token[self.partner], real[self.partner]) if cross else (token, real)
            parts = [query[token], key[theirs], value[theirs]]
            q, k, v = (part.transpose(1, 2) for part in parts)
            found = functional.scaled_dot_product_attention(q, k, v, attn_mask=shown[:, None, None])
            return found.transpose(1, 2).flatten(0, 1)[places].flatten(1)
        outcome = []
        for first, other, count in self.cross_runs if cross else self.self_runs:
            parts = [self.cut(query, first, count), self.cut(key, other, count), self.cut(value, other, count)]
            q, k, v = (part.transpose(1, 2) for part in parts)
            outcome.append(_attention(q, k, v).transpose(1, 2).flatten(0, 1).flatten(1))
        return outcome[0] if len(outcome) == 1 else torch.cat(outcome)


def on_grid(apply: Callable[..., torch.Tensor], *tokens: torch.Tensor) -> torch.Tensor:
    """Return `apply` of rows of tokens, row by row; the rows are made up to a round number where that is faster.

    A CPU's half-precision kernels are written anew for every shape and kept: 2 ms and a megabyte each, more than the
    arithmetic takes.
    """
    rows = len(tokens[0])
    short = _short(tokens[0], rows)
    return apply(*(functional.pad(part, (0, 0, 0, short)) for part in tokens))[:rows] if short else apply(*tokens)


def _attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return the attention of (n, heads, tokens, size), padded to the grid and masked where that is faster."""
    length, theirs = query.shape[2], key.shape[2]
    short = _short(key, theirs)
    mask = torch.arange(theirs + short, device=key.device) < theirs if short else None
    if short:
        key, value = functional.pad(key, (0, 0, 0, short)), functional.pad(value, (0, 0, 0, short))
    if missing := _short(query, length):
        query = functional.pad(query, (0, 0, 0, missing))
    found = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=None if mask is None else mask[None, None, None]
    )
    return found[:, :, :length]


def _short(tokens: torch.Tensor, length: int) -> int:
    """Return how many tokens are missing to the grid; none where every length is as good."""
    return -length % _GRID if tokens.device.type == "cpu" and tokens.dtype != torch.float32 else 0


@dataclass(frozen=True, eq=False)
class FeedForward:
    """x + W2 gelu(norm(W1 [x, context])), the end of both kinds of layer."""

    mix: Callable[..., torch.Tensor]  # `_feed_forward`, plain or compiled
    weights: tuple[torch.Tensor, ...]

    def __call__(self, tokens: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        return on_grid(lambda one, other: self.mix(one, other, *self.weights), tokens, context)


def _feed_forward(tokens: torch.Tensor, context: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
    """`weights`: W1 (2 d, 2 d), the attention's output projection in it, the norm, W2 (d, 2 d), each and its bias."""
    first, first_bias, norm, norm_bias, second, second_bias = weights
    hidden = functional.linear(torch.cat([tokens, context], dim=-1), first, first_bias)
    hidden = functional.gelu(functional.layer_norm(hidden, norm.shape, norm, norm_bias))
    return tokens + functional.linear(hidden, second, second_bias)


@dataclass(frozen=True, eq=False)
class SelfLayer:
    """Attention within each image, with rotary positions."""

    heads: int
    weight: torch.Tensor  # (3 d, d): query, key, value
    bias: torch.Tensor
    feed: FeedForward
    rotate: Callable[..., torch.Tensor]

    def __call__(self, tokens: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, ragged: Ragged) -> torch.Tensor:
        parts = on_grid(lambda rows: functional.linear(rows, self.weight, self.bias), tokens)
        parts = parts.reshape(len(tokens), 3, self.heads, -1)
        turned = self.rotate(parts[:, :2], cos, sin)
        return self.feed(tokens, ragged.attend(turned[:, 0], turned[:, 1], parts[:, 2], cross=False))


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
    feed: FeedForward

    def __call__(self, tokens: torch.Tensor, ragged: Ragged) -> torch.Tensor:
        parts = on_grid(lambda rows: functional.linear(rows, self.weight, self.bias), tokens)
        parts = parts.reshape(len(tokens), 2, self.heads, -1)
        return self.feed(tokens, ragged.attend(parts[:, 0], parts[:, 0], parts[:, 1], cross=True))


class Layers:
    """Makes layers from kornia's blocks; with `compiles`, what lies between the attentions is compiled, once for all
    numbers of tokens."""

    def __init__(self, dtype: torch.dtype, device: torch.device, *, compiles: bool = False) -> None:
        self.dtype, self.device = dtype, device
        self._mix: Callable[..., torch.Tensor] = _feed_forward
        self._rotate: Callable[..., torch.Tensor] = _rotate
        if compiles:
            self._mix = torch.compile(_feed_forward, dynamic=True)
            self._rotate = torch.compile(_rotate, dynamic=True)

    def self_layer(self, block: Any) -> SelfLayer:
        """Build the layer of a self-attention block, whose rows are ordered (head, size, query-key-value)."""
        heads, size = block.num_heads, block.head_dim
        halves = torch.cat([torch.arange(0, size, 2), torch.arange(1, size, 2)])

        def apart(values: torch.Tensor) -> torch.Tensor:
            parts = values.reshape(heads, size, 3, *values.shape[1:]).movedim(2, 0)  # (3, heads, size, ...)
            return self._own(torch.cat([parts[:2][:, :, halves], parts[2:]]).flatten(0, 2))

        feed = self._folded(block.ffn, block.out_proj)
        return SelfLayer(heads, apart(block.Wqkv.weight), apart(block.Wqkv.bias), feed, self._rotate)

    def cross_layer(self, block: Any) -> CrossLayer:
        """Build the layer of a cross-attention block."""
        weight = torch.cat([block.to_qk.weight, block.to_v.weight])
        bias = torch.cat([block.to_qk.bias, block.to_v.bias])
        return CrossLayer(block.heads, self._own(weight), self._own(bias), self._folded(block.ffn, block.to_out))

    def _folded(self, parts: Any, output: Any) -> FeedForward:
        """W1 [x, Wo c + bo] = [W1x, W1m Wo] [x, c] + W1m bo, multiplied in double precision."""
        first, norm, _, second = parts
        width = output.weight.shape[0]
        weight, message = first.weight.double()[:, :width], first.weight.double()[:, width:]
        folded = torch.cat([weight, message @ output.weight.double()], dim=1)
        bias = first.bias.double() + message @ output.bias.double()
        values = (folded, bias, norm.weight, norm.bias, second.weight, second.bias)
        return FeedForward(self._mix, tuple(self._own(value) for value in values))

    def _own(self, values: torch.Tensor) -> torch.Tensor:
        return values.detach().to(self.device, self.dtype).contiguous()
