"""Losses of an embedder's training: one number per photograph, always worked out in float32.

Sub-centre ArcFace (Deng et al. 2019, 2020) with dynamic margins as MiewID trains it, plain ArcFace, batch-hard triplets
(Hermans et al. 2017), supervised contrast (Khosla et al. 2020, arXiv 2004.11362), and a linear classifier with softmax
as a baseline.

They are ours rather than pytorch-metric-learning's (2.9.0 was looked at). Its ArcFace has one margin for all classes
and turns its centres into the embeddings' number format; its triplet loss and miner would fit, but return no numbers
for photographs without a triplet and work out the distances twice, and are a dependency for twenty lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from animalclef.config.embedder_recipe import LossConfig

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["arcface_losses", "batch_hard_losses", "build_loss", "contrastive_losses", "dynamic_margins"]

_SHORTEST = 1e-6  # embeddings and centres below this length keep it, so that their gradients stay bounded


def build_loss(config: LossConfig, counts: NDArray[np.integer], dimensions: int, *, seed: int = 0) -> nn.Module:
    """A module of `forward(embeddings (b, dimensions), labels (b,) int64) -> losses (b,)`.

    `counts` (c,) holds the photographs of each class. Its parameters (class centres, a classifier; triplets and
    contrast have none) start from `seed` and are to be trained with the network. Inside autocast it still works in
    float32.

    Raises:
        ValueError: there are no classes or no dimensions, or a class has no photograph.
    """
    counts = _checked(counts)
    if dimensions < 1:
        raise ValueError(f"An embedding has one dimension or more, not {dimensions}.")
    if config.kind == "triplet":
        return _triplet_module(config)
    if config.kind == "contrastive":
        return _contrastive_module(config.temperature)
    if config.kind == "softmax":
        return _softmax_module(len(counts), dimensions, seed)
    many = config.kind == "sub-centre-arcface"
    margins = np.full(len(counts), config.margin_rad)
    if many and config.dynamic_margins:
        margins = dynamic_margins(counts, config.low_margin_rad, config.margin_rad)
    return _arcface_module(margins, config.sub_centres if many else 1, config.scale, dimensions, seed)


def dynamic_margins(counts: NDArray[np.integer], low_rad: float, high_rad: float) -> NDArray[np.float64]:
    """A margin (c,) for each class from its number of photographs: the rarest class's is `high_rad`.

    t_c = n_c^(-1/4), then (t_c - min t) / (max t - min t) * (high - low) + low. Where all counts are equal, one class
    alone included, every class is the rarest: all margins are `high_rad`.

    Raises:
        ValueError: there are no classes, a class has no photograph, or `low_rad` is above `high_rad`.
    """
    if low_rad > high_rad:
        raise ValueError(f"The low margin {low_rad} must not be above the high one {high_rad}.")
    rarity = _checked(counts).astype(np.float64) ** -0.25
    spread = rarity.max() - rarity.min()
    share = (rarity - rarity.min()) / spread if spread > 0 else np.ones_like(rarity)
    return np.asarray(share * (high_rad - low_rad) + low_rad)


def arcface_losses(cosines: Tensor, labels: Tensor, margins_rad: Tensor, scale: float) -> Tensor:
    """Cross-entropy (b,) of scaled cosines (b, c) where `margins_rad` (b,) is added to the own class's angle.

    Past an angle of pi - margin the own cosine falls by margin * sin(margin) instead, as in the ArcFace paper's code,
    so that a larger angle always costs more. At angles 0 and pi the sine, whose slope has no bound there, is held at 0.
    """
    import torch
    from torch.nn.functional import cross_entropy

    own = cosines.gather(1, labels[:, None])[:, 0]
    squared_sine = (1 - own) * (1 + own)
    inside = squared_sine > 0
    sine = torch.where(inside, torch.where(inside, squared_sine, 1).sqrt(), 0)
    further = own * margins_rad.cos() - sine * margins_rad.sin()
    further = torch.where(own > -margins_rad.cos(), further, own - margins_rad * margins_rad.sin())
    logits = scale * cosines.scatter(1, labels[:, None], further[:, None])
    return cross_entropy(logits, labels, reduction="none")


def batch_hard_losses(embeddings: Tensor, labels: Tensor, margin: float | None) -> Tensor:
    """For each photograph (b,) the farthest of its class less the nearest of another, plus the margin, at least 0.

    Without a margin log(1 + exp(farthest - nearest)), the soft margin. Distances are Euclidean. A photograph that is
    the only one of its class in the batch, or whose class is the only one, has the loss 0 and no gradient.
    """
    import torch
    from torch.nn.functional import softplus

    distances = torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")
    same = labels[:, None] == labels[None]
    positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    usable = positive.any(1) & ~same.all(1)
    if not len(labels):
        return embeddings.sum(1)
    farthest = distances.masked_fill(~positive, -1).amax(1)
    nearest = distances.masked_fill(same, torch.inf).amin(1)
    gap = torch.where(usable, farthest - torch.where(usable, nearest, 0), 0)
    losses = softplus(gap) if margin is None else (gap + margin).relu()
    return torch.where(usable, losses, 0)


def contrastive_losses(embeddings: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """For each photograph (b,) how unlikely its class is to be picked among all others of the batch, by cosine.

    The mean over the other photographs of its class of -log softmax(cosine / temperature) over all others (L_out of the
    paper). A photograph that is the only one of its class in the batch has the loss 0 and no gradient.
    """
    import torch

    vectors = _unit(embeddings)
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    logits = (vectors @ vectors.T / temperature).masked_fill(itself, -torch.inf)
    positive = (labels[:, None] == labels[None]) & ~itself
    picked = (logits - logits.logsumexp(1, keepdim=True)).masked_fill(~positive, 0.0)
    return -picked.sum(1) / positive.sum(1).clamp(min=1)


def _contrastive_module(temperature: float) -> nn.Module:
    import torch
    from torch import nn

    class Contrastive(nn.Module):
        def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
            with torch.autocast(embeddings.device.type, enabled=False):
                return contrastive_losses(embeddings.float(), labels, temperature)

    return Contrastive()


def _arcface_module(
    margins_rad: NDArray[np.float64], sub_centres: int, scale: float, dimensions: int, seed: int
) -> nn.Module:
    import torch
    from torch import nn

    class ArcFace(nn.Module):
        margins_rad: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.centres = nn.Parameter(_directions((len(margins_rad), sub_centres, dimensions), seed))
            self.register_buffer("margins_rad", torch.tensor(margins_rad, dtype=torch.float32), persistent=False)

        def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
            with torch.autocast(embeddings.device.type, enabled=False):
                centres = _unit(self.centres.float().flatten(0, 1))
                cosines = (_unit(embeddings.float()) @ centres.T).unflatten(1, self.centres.shape[:2]).amax(2)
                return arcface_losses(cosines, labels, self.margins_rad.float()[labels], scale)

    return ArcFace()


def _triplet_module(config: LossConfig) -> nn.Module:
    import torch
    from torch import nn

    class BatchHardTriplet(nn.Module):
        def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
            with torch.autocast(embeddings.device.type, enabled=False):
                values = embeddings.float()
                values = _unit(values) if config.triplet_unit_length else values
                return batch_hard_losses(values, labels, config.triplet_margin)

    return BatchHardTriplet()


def _softmax_module(classes: int, dimensions: int, seed: int) -> nn.Module:
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    class LinearSoftmax(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(_directions((classes, dimensions), seed))
            self.bias = nn.Parameter(torch.zeros(classes))

        def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
            with torch.autocast(embeddings.device.type, enabled=False):
                logits = embeddings.float() @ self.weight.float().T + self.bias.float()
                return cross_entropy(logits, labels, reduction="none")

    return LinearSoftmax()


def _directions(shape: tuple[int, ...], seed: int) -> Tensor:
    """Random vectors of length 1."""
    import torch

    return _unit(torch.randn(shape, generator=torch.Generator().manual_seed(seed)))


def _unit(vectors: Tensor) -> Tensor:
    from torch.nn.functional import normalize

    return normalize(vectors, dim=-1, eps=_SHORTEST)


def _checked(counts: NDArray[np.integer]) -> NDArray[np.integer]:
    counts = np.asarray(counts)
    if counts.ndim != 1 or not len(counts) or counts.min() < 1:
        raise ValueError(f"Expected the number of photographs, one or more, of each class; got {counts.tolist()}.")
    return counts
