"""Losses of an embedder's training: one number per photograph, always computed in float32.

Sub-centre ArcFace (Deng et al. 2019, 2020) with dynamic margins as MiewID trains it, plain ArcFace, batch-hard triplets
(Hermans et al. 2017), supervised contrast (Khosla et al. 2020, arXiv 2004.11362), a linear classifier with softmax as a
baseline, and the distillation of a teacher's features (Romero et al. 2015, arXiv 1412.6550).

They replace pytorch-metric-learning (2.9.0): its ArcFace has one margin for all classes and casts its centres to the
embeddings' number format, and its triplet loss returns no numbers for photographs without a triplet.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy, normalize

from animalclef.config.embedder_training import LossConfig

__all__ = [
    "ArcFaceLoss",
    "BatchLoss",
    "SoftmaxLoss",
    "arcface_losses",
    "batch_hard_losses",
    "build_loss",
    "contrastive_losses",
    "distillation_losses",
    "dynamic_margins",
]

_SHORTEST = 1e-6  # embeddings and centres below this length keep it, so that their gradients stay bounded


def build_loss(config: LossConfig, counts: NDArray[np.integer], dimensions: int, *, seed: int = 0) -> nn.Module:
    """Return a module of `forward(embeddings (b, dimensions), labels (b,) int64) -> losses (b,)`.

    `counts` (c,) holds the photographs of each class. Parameters (class centres, a classifier; triplets and contrast
    have none) start from `seed` and are trained with the network.
    """
    if config.kind == "triplet":
        margin, unit_length = config.triplet_margin, config.triplet_unit_length
        return BatchLoss(partial(batch_hard_losses, margin=margin, unit_length=unit_length))
    if config.kind == "contrastive":
        return BatchLoss(partial(contrastive_losses, temperature=config.temperature))
    if config.kind == "softmax":
        return SoftmaxLoss(len(counts), dimensions, seed)
    many = config.kind == "sub-centre-arcface"
    margins = np.full(len(counts), config.margin_rad)
    if many and config.dynamic_margins:
        margins = dynamic_margins(counts, config.low_margin_rad, config.margin_rad)
    return ArcFaceLoss(margins, config.sub_centres if many else 1, config.scale, dimensions, seed)


class ArcFaceLoss(nn.Module):
    """ArcFace with one or more centres per class, and a margin of its own for each class."""

    margins_rad: Tensor

    def __init__(
        self, margins_rad: NDArray[np.float64], sub_centres: int, scale: float, dimensions: int, seed: int
    ) -> None:
        super().__init__()
        self.scale = scale
        self.centres = nn.Parameter(_directions((len(margins_rad), sub_centres, dimensions), seed))
        self.register_buffer("margins_rad", torch.tensor(margins_rad, dtype=torch.float32), persistent=False)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return `arcface_losses` of the best centre of each class."""
        with torch.autocast(embeddings.device.type, enabled=False):
            centres = _unit(self.centres.float().flatten(0, 1))
            cosines = (_unit(embeddings.float()) @ centres.T).unflatten(1, self.centres.shape[:2]).amax(2)
            return arcface_losses(cosines, labels, self.margins_rad.float()[labels], self.scale)


class BatchLoss(nn.Module):
    """A loss of the photographs of one batch, without parameters."""

    def __init__(self, losses: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.losses = losses

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the losses (b,), computed in float32."""
        with torch.autocast(embeddings.device.type, enabled=False):
            return self.losses(embeddings.float(), labels)


class SoftmaxLoss(nn.Module):
    """A linear classifier with the cross-entropy of its softmax."""

    def __init__(self, classes: int, dimensions: int, seed: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(_directions((classes, dimensions), seed))
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy (b,)."""
        with torch.autocast(embeddings.device.type, enabled=False):
            logits = embeddings.float() @ self.weight.float().T + self.bias.float()
            return cross_entropy(logits, labels, reduction="none")


def distillation_losses(features: Tensor, teacher: Tensor) -> Tensor:
    """Return how far features (b, d) are from a teacher's, (b,): 1 - cosine."""
    return 1 - cosine_similarity(features.float(), teacher.float(), dim=1, eps=_SHORTEST)


def dynamic_margins(counts: NDArray[np.integer], low_rad: float, high_rad: float) -> NDArray[np.float64]:
    """Return a margin (c,) for each class from its number of photographs: the rarest class's is `high_rad`.

    t_c = n_c^(-1/4), then (t_c - min t) / (max t - min t) * (high - low) + low. Where all counts are equal, one class
    alone included, every class is the rarest: all margins are `high_rad`.
    """
    rarity = counts.astype(np.float64) ** -0.25
    spread = rarity.max() - rarity.min()
    share = (rarity - rarity.min()) / spread if spread > 0 else np.ones_like(rarity)
    return np.asarray(share * (high_rad - low_rad) + low_rad)


def arcface_losses(cosines: Tensor, labels: Tensor, margins_rad: Tensor, scale: float) -> Tensor:
    """Return the cross-entropy (b,) of scaled cosines (b, c) with `margins_rad` (b,) added to the own class's angle.

    Past an angle of pi - margin the own cosine falls by margin * sin(margin) instead, as in the ArcFace paper's code,
    so that a larger angle always has a larger loss. At angles 0 and pi, where the slope of the sine is unbounded, the
    sine is held at 0.
    """
    own = cosines.gather(1, labels[:, None])[:, 0]
    squared_sine = (1 - own) * (1 + own)
    inside = squared_sine > 0
    sine = torch.where(inside, torch.where(inside, squared_sine, 1).sqrt(), 0)
    further = own * margins_rad.cos() - sine * margins_rad.sin()
    further = torch.where(own > -margins_rad.cos(), further, own - margins_rad * margins_rad.sin())
    logits = scale * cosines.scatter(1, labels[:, None], further[:, None])
    return cross_entropy(logits, labels, reduction="none")


def batch_hard_losses(embeddings: Tensor, labels: Tensor, margin: float, *, unit_length: bool = False) -> Tensor:
    """Return, for each photograph (b,), farthest of its class - nearest of another + margin, at least 0.

    Distances are Euclidean, with `unit_length` of embeddings scaled to length 1. A photograph that is the only one of
    its class in the batch, or whose class is the only one, has the loss 0 and no gradient.
    """
    embeddings = _unit(embeddings) if unit_length else embeddings
    distances = torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")
    same = labels[:, None] == labels[None]
    positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    usable = positive.any(1) & ~same.all(1)
    if not len(labels):
        return embeddings.sum(1)
    farthest = distances.masked_fill(~positive, -1).amax(1)
    nearest = distances.masked_fill(same, torch.inf).amin(1)
    gap = torch.where(usable, farthest - torch.where(usable, nearest, 0), 0)
    return torch.where(usable, (gap + margin).relu(), 0)


def contrastive_losses(embeddings: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return, for each photograph (b,), how unlikely its class is picked among all others of the batch, by cosine.

    The mean over the other photographs of its class of -log softmax(cosine / temperature) over all others (L_out of the
    paper). A photograph that is the only one of its class in the batch has the loss 0 and no gradient.
    """
    vectors = _unit(embeddings)
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    logits = (vectors @ vectors.T / temperature).masked_fill(itself, -torch.inf)
    positive = (labels[:, None] == labels[None]) & ~itself
    picked = (logits - logits.logsumexp(1, keepdim=True)).masked_fill(~positive, 0.0)
    return -picked.sum(1) / positive.sum(1).clamp(min=1)


def _directions(shape: tuple[int, ...], seed: int) -> Tensor:
    """Return random vectors of length 1."""
    return _unit(torch.randn(shape, generator=torch.Generator().manual_seed(seed)))


def _unit(vectors: Tensor) -> Tensor:
    return normalize(vectors, dim=-1, eps=_SHORTEST)
