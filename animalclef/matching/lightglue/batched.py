"""Run LightGlue over batches of pairs with any numbers of keypoints; a pair scores as it does alone.

What depends on one image (projection, positions, the first self-attention) is computed once per image. Adaptive depth
and width act pair by pair: a pair that is settled leaves the batch, points that cannot match leave their image.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from animalclef.matching.lightglue.layers import Layers, Ragged, on_grid
from animalclef.matching.lightglue.loading import LightGlueModel, network_inputs
from animalclef.structures import FloatArray, LocalFeatures

__all__ = ["MATCH_LEVELS", "BatchedLightGlue", "ImageState", "PairMatches"]

MATCH_LEVELS = (0.2, 0.5, 0.8)  # matches are counted from each of these confidences on

_Side = Sequence[torch.Tensor]  # projected (pairs, m, d), log matchability (pairs, m), origin (pairs, m)
_Part = tuple[list[int], torch.Tensor, torch.Tensor]  # places, counts, rows
_FAR = -1e9  # similarity of padding: no share in a softmax over real points


@dataclass(frozen=True, eq=False)
class ImageState:
    """One image on the device, as far as it does not depend on what it is compared with."""

    tokens: torch.Tensor  # (m, d), after the first self-attention
    cos: torch.Tensor  # (m, head size / 2)
    sin: torch.Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def nbytes(self) -> int:
        """Return the bytes it takes on the device."""
        return self.tokens.nbytes + self.cos.nbytes + self.sin.nbytes


@dataclass(frozen=True, eq=False)
class PairMatches:
    """Matched keypoints of one pair; `counts` are matches, sum of confidences, and matches over `MATCH_LEVELS`."""

    counts: FloatArray  # (2 + levels,)
    first: NDArray[np.int64]  # (n,) keypoints of the left image, rising; empty where only counts were asked for
    second: NDArray[np.int64]  # (n,)
    confidence: FloatArray  # (n,)

    @classmethod
    def of(cls, first: NDArray[np.int64], second: NDArray[np.int64], confidence: FloatArray) -> PairMatches:
        """Count the matches; `first` rises."""
        levels = [(confidence > level).sum() for level in MATCH_LEVELS]
        return cls(np.array([len(first), confidence.sum(), *levels], np.float32), first, second, confidence)


@dataclass(eq=False)
class _Batch:
    """The pairs that are still at work."""

    places: list[int]  # of the pairs in the answer
    ragged: Ragged
    tokens: torch.Tensor
    cos: torch.Tensor
    sin: torch.Tensor
    origin: torch.Tensor  # (tokens,) the keypoint that a token stands for
    points: torch.Tensor  # (pairs,) keypoints of both images at the start

    def keep(self, pairs: Sequence[int], lengths: list[int], tokens: torch.Tensor) -> _Batch:
        """Return the given pairs with the given tokens, whose sequences then have these lengths."""
        ragged = Ragged(lengths, self.ragged.device, padded=self.ragged.padded or None)
        kept, cos, sin, origin = (part[tokens] for part in (self.tokens, self.cos, self.sin, self.origin))
        return _Batch([self.places[pair] for pair in pairs], ragged, kept, cos, sin, origin, self.points[list(pairs)])


class BatchedLightGlue:
    """A LightGlue network on one device, its weights in `dtype`; the confidences and the threshold are `shape`'s."""

    def __init__(
        self, model: LightGlueModel, device: torch.device, dtype: torch.dtype, *, compiles: bool = False,
        padded: bool | None = None,
    ) -> None:  # fmt: skip
        network, self.shape = copy.deepcopy(model.network), model.shape
        self.device, self.dtype, self.padded = device, dtype, padded
        self.prunes_from = int(network.pruning_min_kpts(device))  # an image with fewer keypoints keeps them all
        self.sure_from = [float(value) for value in network.confidence_thresholds]
        self.projection = network.input_proj.to(device, dtype)
        self.positions = network.posenc.Wr.weight.detach().to(device, torch.float32)
        make = Layers(dtype, device, compiles=compiles)
        self.self_layers = [make.self_layer(layer.self_attn) for layer in network.transformers]
        self.cross_layers = [make.cross_layer(layer.cross_attn) for layer in network.transformers]
        self.heads = network.log_assignment.to(device, dtype)
        self.sureness = network.token_confidence.to(device, dtype)

    def prepare(self, features: LocalFeatures) -> ImageState:
        """The state of one image, always computed alone, so that its bits depend on nothing else.

        Raises:
            StaleArtefactError: the features are of another kind than the network.
        """
        points, descriptors = network_inputs(features, self.shape)
        with torch.inference_mode():
            angle = functional.linear(torch.from_numpy(points).to(self.device), self.positions)
            cos, sin = angle.cos().to(self.dtype), angle.sin().to(self.dtype)
            tokens = on_grid(self.projection, torch.from_numpy(descriptors).to(self.device, self.dtype))
            ragged = Ragged([len(tokens)], self.device, padded=False)
            return ImageState(self.self_layers[0](tokens, cos, sin, ragged), cos, sin)

    def match(self, pairs: Sequence[tuple[ImageState, ImageState]], *, counts_only: bool = False) -> list[PairMatches]:
        """Return the matches of every pair, all in one transfer from the device; every image needs a keypoint."""
        if not pairs:
            return []
        with torch.inference_mode():
            parts = self._run(self._begin(pairs))
            wanted = [part.flatten() for _, *both in parts for part in both[: 1 if counts_only else 2]]
            flat = torch.cat(wanted).cpu().numpy() if wanted else np.zeros(0, np.float32)
        shapes = [(places, rows.shape) for places, _, rows in parts]
        return _unpacked(flat, shapes, len(pairs), counts_only=counts_only)

    def _begin(self, pairs: Sequence[tuple[ImageState, ImageState]]) -> _Batch:
        states = [left for left, _ in pairs] + [right for _, right in pairs]
        ragged = Ragged([len(state) for state in states], self.device, padded=self.padded)
        tokens, cos, sin = (torch.cat([getattr(state, name) for state in states]) for name in ("tokens", "cos", "sin"))
        origin = torch.from_numpy(np.concatenate([np.arange(length) for length in ragged.lengths])).to(self.device)
        points = torch.tensor([len(left) + len(right) for left, right in pairs], device=self.device)
        return _Batch(list(range(len(pairs))), ragged, tokens, cos, sin, origin, points)

    def _run(self, batch: _Batch) -> list[_Part]:
        parts: list[_Part] = []
        last = len(self.self_layers) - 1
        for number in range(last + 1):
            if number:
                batch.tokens = self.self_layers[number](batch.tokens, batch.cos, batch.sin, batch.ragged)
            batch.tokens = self.cross_layers[number](batch.tokens, batch.ragged)
            if number < last and (self.shape.depth_confidence > 0 or self.shape.width_confidence > 0):
                batch = self._adapt(batch, number, parts)
                if not batch.places:
                    return parts
        parts += self._assign(batch, last)
        return parts

    def _adapt(self, batch: _Batch, number: int, parts: list[_Part]) -> _Batch:
        """Take out settled pairs with their matches, and points without a match; one transfer finds both."""
        ragged, of = batch.ragged, batch.ragged.sequence_of
        count, pairs = len(ragged.lengths), ragged.pairs
        stays = torch.ones(len(of), dtype=torch.bool, device=self.device)
        settled = torch.zeros(pairs, device=self.device)
        sure = None
        if self.shape.depth_confidence > 0:
            sure = torch.sigmoid(on_grid(self.sureness[number].token[0], batch.tokens).float()).squeeze(-1)
            unsure = _sums((sure < self.sure_from[number]).float(), of, count)
            share = 1.0 - (unsure[:pairs] + unsure[pairs:]) / batch.points
            settled = (share > self.shape.depth_confidence).float()
        if self.shape.width_confidence > 0:
            stays = torch.sigmoid(on_grid(self.heads[number].matchability, batch.tokens).float()).squeeze(-1)
            stays = stays > 1 - self.shape.width_confidence
            if sure is not None:
                stays |= sure <= self.sure_from[number]
            small = torch.tensor([length <= self.prunes_from for length in ragged.lengths], device=self.device)
            stays |= small[of]
        told = torch.cat([settled, _sums(stays.float(), of, count)]).tolist()
        done = [pair for pair in range(pairs) if told[pair]]
        left = [int(length) for length in told[pairs:]]
        if done:
            whole = [ragged.lengths[side + pair] for side in (0, pairs) for pair in done]
            parts += self._assign(batch.keep(done, whole, _tokens_of(ragged, done, of)), number)
        going = [pair for pair in range(pairs) if not told[pair] and left[pair] and left[pairs + pair]]
        if len(going) == pairs and left == ragged.lengths:
            return batch
        lengths = [left[side + pair] for side in (0, pairs) for pair in going]
        return batch.keep(going, lengths, stays & _tokens_of(ragged, going, of))

    def _assign(self, batch: _Batch, number: int) -> list[_Part]:
        """Return the matches after layer `number`: (places, counts, rows) per group of pairs of the same lengths."""
        head, ragged = self.heads[number], batch.ragged
        projected = on_grid(head.final_proj, batch.tokens).float() / head.final_proj.out_features**0.25
        matchable = functional.logsigmoid(on_grid(head.matchability, batch.tokens).float()).squeeze(-1)
        parts = (projected, matchable, batch.origin)
        if ragged.padded:
            token, real, _ = ragged.grid()
            half = ragged.pairs
            left, right = ([part[at] for part in parts] for at in (token[:half], token[half:]))
            return [(batch.places, *self._matches(left, right, (real[:half], real[half:])))]
        found: list[_Part] = []
        for first, other, count in ragged.cross_runs:
            if first < ragged.pairs:
                left, right = ([ragged.cut(part, at, count) for part in parts] for at in (first, other))
                found.append((batch.places[first : first + count], *self._matches(left, right, None)))
        return found

    def _matches(
        self, left: _Side, right: _Side, masks: tuple[torch.Tensor, torch.Tensor] | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`counts` (pairs, 2 + levels) and `rows` (pairs, m, 3): keypoint, its match or -1, confidence.

        The log of the assignment is log_softmax over rows + over columns + both matchabilities.
        """
        similarity = left[0] @ right[0].transpose(1, 2)
        if masks is not None:
            both = masks[0][:, :, None] & masks[1][:, None]
            similarity = similarity.masked_fill(~both, _FAR)
        by_row = left[1] - similarity.logsumexp(2)
        by_column = right[1] - similarity.logsumexp(1)
        log = (2 * similarity).add_(by_row[:, :, None]).add_(by_column[:, None])
        if masks is not None:
            log = log.masked_fill(~both, -math.inf)
        best, column = log.max(2)
        row = log.argmax(1)
        mutual = row.gather(1, column) == torch.arange(log.shape[1], device=log.device)
        confidence = best.exp()
        matched = mutual & (confidence > self.shape.filter_threshold)
        confidence = confidence * matched
        counts = [matched.sum(1), confidence.sum(1), *((confidence > level).sum(1) for level in MATCH_LEVELS)]
        theirs = torch.where(matched, right[2].gather(1, column), -1)
        rows = torch.stack([left[2].float(), theirs.float(), confidence], dim=-1)
        return torch.stack([count.float() for count in counts], dim=1), rows


def _sums(values: torch.Tensor, sequence_of: torch.Tensor, count: int) -> torch.Tensor:
    """Sum whole numbers per sequence; the sums are exact in any order."""
    return values.new_zeros(count).index_add_(0, sequence_of, values)


def _tokens_of(ragged: Ragged, pairs: Sequence[int], sequence_of: torch.Tensor) -> torch.Tensor:
    chosen = set(pairs)
    wanted = [place % ragged.pairs in chosen for place in range(len(ragged.lengths))]
    return torch.tensor(wanted, device=ragged.device)[sequence_of]


def _unpacked(
    flat: FloatArray, parts: Sequence[tuple[list[int], Any]], pairs: int, *, counts_only: bool
) -> list[PairMatches]:
    """Return matches in the order of the pairs; a pair that is in no part lost all its points and has none."""
    nothing = PairMatches(np.zeros(2 + len(MATCH_LEVELS), np.float32), *_told(np.zeros((0, 3), np.float32)))
    found: dict[int, PairMatches] = {}
    at, width = 0, 2 + len(MATCH_LEVELS)
    for places, shape in parts:
        counts = flat[at : at + len(places) * width].reshape(len(places), width)
        at += counts.size
        rows = np.zeros((len(places), 0, 3), np.float32)
        if not counts_only:
            rows = flat[at : at + math.prod(shape)].reshape(shape)
            at += rows.size
        for place, count, row in zip(places, counts, rows, strict=True):
            found[place] = PairMatches(count, *_told(row[row[:, 1] >= 0]))
    return [found.get(place, nothing) for place in range(pairs)]


def _told(rows: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    return rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64), rows[:, 2].copy()
