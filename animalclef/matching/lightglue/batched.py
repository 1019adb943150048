"""Run LightGlue over batches of pairs with any numbers of keypoints; a pair gets the matches that it gets alone.

What depends on one image (projection, positional encoding, the first self-attention) is computed once per image.
Adaptive depth and width (Lindenberger et al., ICCV 2023, section 3.3) act pair by pair: a pair whose keypoints are
confident leaves the batch, and keypoints that cannot match leave their image.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from animalclef.matching.lightglue.layers import LayerBuilder, RaggedLayout, apply_padded
from animalclef.matching.lightglue.loading import LightGlueModel, network_inputs
from animalclef.matching.pair_matches import COUNT_COLUMNS, MATCH_LEVELS, PairMatches
from animalclef.structures import FloatArray, LocalFeatures

__all__ = ["BatchedLightGlue", "ImageState"]

_PADDING = -1e9  # similarity of padding: no share in a softmax over real keypoints


@dataclass(frozen=True, eq=False)
class ImageState:
    """One image on the device, as far as it does not depend on what it is compared with."""

    tokens: torch.Tensor  # (m, d) one for each keypoint, after the first self-attention
    cos: torch.Tensor  # (m, head size / 2) of the positional encoding
    sin: torch.Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def nbytes(self) -> int:
        """Return the bytes it takes on the device."""
        return self.tokens.nbytes + self.cos.nbytes + self.sin.nbytes


@dataclass(eq=False)
class _Batch:
    """The pairs that are still at work; `layout` says which tokens belong to which image."""

    pairs: list[int]  # their places in the answer
    layout: RaggedLayout
    tokens: torch.Tensor  # (tokens, d)
    cos: torch.Tensor
    sin: torch.Tensor
    keypoint: torch.Tensor  # (tokens,) the keypoint that a token stands for
    keypoints_at_start: torch.Tensor  # (pairs,) of both images

    def select(self, rows: Sequence[int], lengths: list[int], mask: torch.Tensor) -> _Batch:
        """Return the pairs in the given rows with the tokens of a mask; their images then have these lengths."""
        layout = RaggedLayout(lengths, self.layout.device, padded=self.layout.padded or None)
        tokens, cos, sin, keypoint = (part[mask] for part in (self.tokens, self.cos, self.sin, self.keypoint))
        pairs, at_start = [self.pairs[row] for row in rows], self.keypoints_at_start[list(rows)]
        return _Batch(pairs, layout, tokens, cos, sin, keypoint, at_start)

    def of_pairs(self, rows: Sequence[int]) -> torch.Tensor:
        """Return a mask, (tokens,), of the tokens of the pairs in the given rows."""
        chosen, layout = set(rows), self.layout
        wanted = [sequence % layout.pairs in chosen for sequence in range(len(layout.lengths))]
        return torch.tensor(wanted, device=layout.device)[layout.sequence_of]


class _Side(NamedTuple):
    """What assigning matches needs of the left or right images of some pairs, padded to a common length m."""

    projected: torch.Tensor  # (pairs, m, d)
    log_matchability: torch.Tensor  # (pairs, m)
    keypoint: torch.Tensor  # (pairs, m)


class _Assigned(NamedTuple):
    """Matches of some pairs, still on the device."""

    pairs: list[int]  # their places in the answer
    counts: torch.Tensor  # (pairs, 5)
    rows: torch.Tensor  # (pairs, m, 3) a keypoint of the left image, its match or -1, confidence


class BatchedLightGlue:
    """A LightGlue network on one device, with its weights in `dtype`.

    >>> from animalclef.config import KeypointConfig
    >>> from animalclef.features.local.sift import extract_sift
    >>> from animalclef.matching.lightglue.loading import find_lightglue, load_lightglue
    >>> from animalclef.structures import DecodedImage
    >>> path, released = find_lightglue("sift", None)
    >>> model = load_lightglue(path, "sift", released=released)
    >>> network = BatchedLightGlue(model, torch.device("cpu"), torch.float32)
    >>> pixels = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    >>> features = extract_sift(DecodedImage(pixels, None, (300, 200)), KeypointConfig(max_keypoints=64))
    >>> image = network.prepare(features)
    >>> [matches] = network.match([(image, image)])
    >>> bool((matches.left == matches.right).all()), len(matches.left) > 50
    (True, True)
    """

    def __init__(
        self, model: LightGlueModel, device: torch.device, dtype: torch.dtype, *, compiles: bool = False,
        padded: bool | None = None,
    ) -> None:  # fmt: skip
        """Copy the network to the device.

        `compiles` uses torch.compile; `padded` fixes how batches of many lengths are attended to, which is otherwise
        chosen by their number and the device.
        """
        network, self.config = copy.deepcopy(model.network), model.config
        self.device, self.dtype, self.padded = device, dtype, padded
        self.pruning_min_keypoints = int(network.pruning_min_kpts(device))  # an image with fewer keypoints keeps all
        self.confidence_thresholds = [float(value) for value in network.confidence_thresholds]
        self.input_projection = network.input_proj.to(device, dtype)
        self.positional_weight = network.posenc.Wr.weight.detach().to(device, torch.float32)
        build = LayerBuilder(dtype, device, compiles=compiles)
        self.self_layers = [build.self_layer(layer.self_attn) for layer in network.transformers]
        self.cross_layers = [build.cross_layer(layer.cross_attn) for layer in network.transformers]
        self.log_assignment = network.log_assignment.to(device, dtype)
        self.token_confidence = network.token_confidence.to(device, dtype)

    def prepare(self, features: LocalFeatures) -> ImageState:
        """Return the state of one image, always computed alone, so that its bits depend on nothing else.

        Raises:
            StaleArtefactError: the features are of another kind than the network.
        """
        points, descriptors = network_inputs(features, self.config)
        with torch.inference_mode():
            angle = functional.linear(torch.from_numpy(points).to(self.device), self.positional_weight)
            cos, sin = angle.cos().to(self.dtype), angle.sin().to(self.dtype)
            given = torch.from_numpy(descriptors).to(self.device, self.dtype)
            tokens = apply_padded(self.input_projection, given)
            layout = RaggedLayout([len(tokens)], self.device, padded=False)
            return ImageState(self.self_layers[0](tokens, cos, sin, layout), cos, sin)

    def match(self, pairs: Sequence[tuple[ImageState, ImageState]], *, counts_only: bool = False) -> list[PairMatches]:
        """Return the matches of every pair, in their order, by one transfer from the device.

        Every image needs a keypoint. With `counts_only` the matches themselves stay on the device.
        """
        if not pairs:
            return []
        with torch.inference_mode():
            assigned = self._forward(self._pack(pairs))
            wanted = [part for one in assigned for part in ([one.counts] if counts_only else [one.counts, one.rows])]
            flat = torch.cat([part.flatten() for part in wanted]).cpu().numpy() if wanted else np.zeros(0, np.float32)
        return _unpack(flat, assigned, len(pairs), counts_only=counts_only)

    def _pack(self, pairs: Sequence[tuple[ImageState, ImageState]]) -> _Batch:
        states = [left for left, _ in pairs] + [right for _, right in pairs]
        layout = RaggedLayout([len(state) for state in states], self.device, padded=self.padded)
        tokens, cos, sin = (torch.cat([getattr(state, name) for state in states]) for name in ("tokens", "cos", "sin"))
        keypoint = torch.from_numpy(np.concatenate([np.arange(length) for length in layout.lengths])).to(self.device)
        at_start = torch.tensor([len(left) + len(right) for left, right in pairs], device=self.device)
        return _Batch(list(range(len(pairs))), layout, tokens, cos, sin, keypoint, at_start)

    def _forward(self, batch: _Batch) -> list[_Assigned]:
        assigned: list[_Assigned] = []
        last = len(self.self_layers) - 1
        for layer in range(last + 1):
            if layer:  # the first self-attention is part of the image's state
                batch.tokens = self.self_layers[layer](batch.tokens, batch.cos, batch.sin, batch.layout)
            batch.tokens = self.cross_layers[layer](batch.tokens, batch.layout)
            if layer < last and (self.config.depth_confidence > 0 or self.config.width_confidence > 0):
                batch = self._stop_and_prune(batch, layer, assigned)
                if not batch.pairs:
                    return assigned
        return assigned + self._assign(batch, last)

    def _stop_and_prune(self, batch: _Batch, layer: int, assigned: list[_Assigned]) -> _Batch:
        """Return the batch without stopped pairs, whose matches join `assigned`, and without pruned keypoints."""
        layout, pairs = batch.layout, batch.layout.pairs
        confidence = None
        if self.config.depth_confidence > 0:
            head = self.token_confidence[layer].token[0]
            confidence = torch.sigmoid(apply_padded(head, batch.tokens).float()).squeeze(-1)
        stops, kept = self._stops(batch, layer, confidence), self._kept(batch, layer, confidence)
        numbers = torch.cat([stops, _sums(kept.float(), layout)]).tolist()  # both in one transfer from the device
        lengths = [int(length) for length in numbers[pairs:]]
        stopped = [row for row in range(pairs) if numbers[row]]
        if stopped:
            whole = [layout.lengths[side + row] for side in (0, pairs) for row in stopped]
            assigned += self._assign(batch.select(stopped, whole, batch.of_pairs(stopped)), layer)
        going = [row for row in range(pairs) if not numbers[row] and lengths[row] and lengths[pairs + row]]
        if len(going) == pairs and lengths == layout.lengths:
            return batch
        left = [lengths[side + row] for side in (0, pairs) for row in going]
        return batch.select(going, left, kept & batch.of_pairs(going))

    def _stops(self, batch: _Batch, layer: int, confidence: torch.Tensor | None) -> torch.Tensor:
        """Return 1 for each pair, (pairs,), of which enough keypoints are confident of their match, else 0.

        A pruned keypoint counts as confident.
        """
        pairs = batch.layout.pairs
        if confidence is None:
            return torch.zeros(pairs, device=self.device)
        unsure = _sums((confidence < self.confidence_thresholds[layer]).float(), batch.layout)
        share = 1.0 - (unsure[:pairs] + unsure[pairs:]) / batch.keypoints_at_start
        return (share > self.config.depth_confidence).float()

    def _kept(self, batch: _Batch, layer: int, confidence: torch.Tensor | None) -> torch.Tensor:
        """Return which keypoints, (tokens,), are not pruned: those that may match, are unsure, or are few."""
        layout = batch.layout
        if self.config.width_confidence <= 0:
            return torch.ones(len(batch.tokens), dtype=torch.bool, device=self.device)
        logit = apply_padded(self.log_assignment[layer].matchability, batch.tokens).float()
        kept = torch.sigmoid(logit).squeeze(-1) > 1 - self.config.width_confidence
        if confidence is not None:
            kept |= confidence <= self.confidence_thresholds[layer]
        few = torch.tensor([length <= self.pruning_min_keypoints for length in layout.lengths], device=self.device)
        return kept | few[layout.sequence_of]

    def _assign(self, batch: _Batch, layer: int) -> list[_Assigned]:
        """Return the matches after a layer, for each group of pairs that can be compared in one call."""
        head, layout = self.log_assignment[layer], batch.layout
        projected = apply_padded(head.final_proj, batch.tokens).float() / head.final_proj.out_features**0.25
        matchable = functional.logsigmoid(apply_padded(head.matchability, batch.tokens).float()).squeeze(-1)
        parts = (projected, matchable, batch.keypoint)
        if layout.padded:
            token, is_real, _ = layout.padding
            half = layout.pairs
            left, right = (_Side(*(part[at] for part in parts)) for at in (token[:half], token[half:]))
            return [_Assigned(batch.pairs, *self._mutual(left, right, (is_real[:half], is_real[half:])))]
        assigned: list[_Assigned] = []
        for first, other, count in layout.cross_runs:
            if first < layout.pairs:  # the runs of right images hold the same pairs
                left, right = (_Side(*(layout.cut(part, at, count) for part in parts)) for at in (first, other))
                assigned.append(_Assigned(batch.pairs[first : first + count], *self._mutual(left, right, None)))
        return assigned

    def _mutual(
        self, left: _Side, right: _Side, is_real: tuple[torch.Tensor, torch.Tensor] | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `counts` and `rows` (see `_Assigned`) of mutual best matches above the filter threshold.

        The log of the assignment is log_softmax over rows + over columns + both matchabilities (section 3.2).
        """
        similarity = left.projected @ right.projected.transpose(1, 2)
        if is_real is not None:
            both = is_real[0][:, :, None] & is_real[1][:, None]
            similarity = similarity.masked_fill(~both, _PADDING)
        by_row = left.log_matchability - similarity.logsumexp(2)
        by_column = right.log_matchability - similarity.logsumexp(1)
        log = (2 * similarity).add_(by_row[:, :, None]).add_(by_column[:, None])
        if is_real is not None:
            log = log.masked_fill(~both, -math.inf)
        best, column = log.max(2)
        mutual = log.argmax(1).gather(1, column) == torch.arange(log.shape[1], device=log.device)
        confidence = best.exp()
        matched = mutual & (confidence > self.config.filter_threshold)
        confidence = confidence * matched
        counts = [matched.sum(1), confidence.sum(1), *((confidence > level).sum(1) for level in MATCH_LEVELS)]
        match = torch.where(matched, right.keypoint.gather(1, column), -1)
        rows = torch.stack([left.keypoint.float(), match.float(), confidence], dim=-1)
        return torch.stack([count.float() for count in counts], dim=1), rows


def _sums(values: torch.Tensor, layout: RaggedLayout) -> torch.Tensor:
    """Sum zeros and ones, (tokens,), per sequence; such sums are exact in any order."""
    return values.new_zeros(len(layout.lengths)).index_add_(0, layout.sequence_of, values)


def _unpack(flat: FloatArray, assigned: Sequence[_Assigned], pairs: int, *, counts_only: bool) -> list[PairMatches]:
    """Return matches in the order of the pairs; a pair that was never assigned lost all its keypoints and has none."""
    found = [PairMatches.none()] * pairs
    at, width = 0, len(COUNT_COLUMNS)
    for one in assigned:
        counts = flat[at : at + len(one.pairs) * width].reshape(len(one.pairs), width)
        at += counts.size
        rows = np.zeros((len(one.pairs), 0, 3), np.float32)
        if not counts_only:
            rows = flat[at : at + one.rows.numel()].reshape(one.rows.shape)
            at += rows.size
        for pair, count, row in zip(one.pairs, counts, rows, strict=True):
            matched = row[row[:, 1] >= 0]
            left, right = matched[:, 0].astype(np.int64), matched[:, 1].astype(np.int64)
            found[pair] = PairMatches(count, left, right, matched[:, 2].copy())
    return found
