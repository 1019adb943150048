"""Find the keypoints of two views that are the same point, and compute the loss of a predicted assignment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from animalclef.config.training import MatcherLossConfig
from animalclef.training.matcher.photograph_views import View

__all__ = [
    "IGNORED",
    "UNMATCHED",
    "Surface",
    "Truth",
    "assignment_loss",
    "confidence_loss",
    "surface_values",
    "true_assignment",
    "true_assignments",
]

UNMATCHED, IGNORED = -1, -2


@dataclass(frozen=True, eq=False)
class Truth:
    """The partner of each keypoint: a column, `UNMATCHED`, or `IGNORED` where it is not known."""

    first: NDArray[np.int64]  # (m,)
    second: NDArray[np.int64]  # (n,)
    error_px: NDArray[np.float32]  # (m, n) larger of the two reprojection errors, infinite where a place is not known


@dataclass(frozen=True, eq=False)
class Surface:
    """What is known of the keypoints of one view of each pair, on one device."""

    values: Tensor  # (b, m, 7), the columns of `surface_values`
    mask: Tensor  # (b, m) False where padded


def surface_values(view: View) -> NDArray[np.float32]:
    """Return the surface place (2), turn, scale, pixels per unit, and whether on the surface or background, (m, 7)."""
    columns = (
        view.surface_xy, view.surface_turn_rad, view.surface_scale, view.px_per_unit, view.on_surface, view.background,
    )  # fmt: skip
    return np.column_stack(columns).astype(np.float32)


def true_assignment(
    first: View, second: View, config: MatcherLossConfig, *, same_subject: bool, same_photo: bool
) -> Truth:
    """Return the assignment of two views: `true_assignments` of one pair."""
    flags = torch.tensor([same_subject]), torch.tensor([same_photo])
    found = true_assignments(_surface(first), _surface(second), config, *flags)
    of_first, of_second, error = (part[0].numpy() for part in found)
    m, n = len(first), len(second)
    return Truth(of_first[:m], of_second[:n], error[:m, :n])


def _surface(view: View) -> Surface:
    """Return one view as a batch; one without keypoints has one that is padding."""
    values = np.zeros((1, max(1, len(view)), 7), dtype=np.float32)
    values[0, : len(view)] = surface_values(view)
    return Surface(torch.from_numpy(values), torch.arange(values.shape[1])[None] < len(view))


def true_assignments(
    first: Surface, second: Surface, config: MatcherLossConfig, same_subject: Tensor, same_photo: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the assignments of pairs of views, (b, m) and (b, n), and `Truth.error_px`, (b, m, n).

    A match: mutually nearest of those within `match_px` in both views whose scale and orientation agree. Unmatched: no
    keypoint within `miss_px`. What lies between is ignored. The background of two views of one photograph is ignored
    as well: it can be matched, but should not be; in different photographs, and in those of different subjects,
    it has no match. `same_subject` and `same_photo` are (b,); padding is ignored.
    """
    one, other = first.values[:, :, None], second.values[:, None]
    known = [(side.values[..., 5] > 0) & side.mask for side in (first, second)]
    error = torch.linalg.vector_norm(one[..., :2] - other[..., :2], dim=-1) * torch.maximum(one[..., 4], other[..., 4])
    both = known[0][:, :, None] & known[1][:, None] & same_subject[:, None, None]
    error = error.masked_fill(~both, float("inf"))
    turn = (one[..., 2] - other[..., 2]).abs()
    turn = torch.minimum(turn, 2 * np.pi - turn)
    ratio = (one[..., 3].clamp(min=1e-12).log() - other[..., 3].clamp(min=1e-12).log()).abs()
    agree = (turn <= np.radians(config.most_turn_deg)) & (ratio <= np.log(config.most_scale_ratio))
    eligible = error.masked_fill(~(agree & (error <= config.match_px)), float("inf"))
    found = []
    for side, costs, errors in ((first, eligible, error), (second, eligible.mT, error.mT)):
        partner = _partners(costs, errors, config.miss_px)
        ignored = ~side.mask | ((side.values[..., 6] > 0) & same_photo[:, None])
        found.append(partner.masked_fill(ignored, IGNORED))
    return found[0], found[1], error


def _partners(eligible: Tensor, error: Tensor, miss_px: float) -> Tensor:
    least, best = eligible.min(2)
    back = eligible.argmin(1).gather(1, best)
    mutual = (back == torch.arange(eligible.shape[1], device=eligible.device)) & least.isfinite()
    return torch.where(mutual, best, torch.where(error.amin(2) > miss_px, UNMATCHED, IGNORED))


def assignment_loss(log_assignment: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return the negative log-likelihood of the true assignment, (b,) (LightGlue, Lindenberger et al. 2023, eq. 11).

    `log_assignment` (b, m + 1, n + 1) as kornia's: the last column and row hold the log-probability of no match;
    `first` (b, m) and `second` (b, n) as in `Truth`. Means over matches, and over the unmatched of each view by halves.
    """
    columns = first.clamp(min=0).unsqueeze(-1)
    matched = log_assignment[:, :-1, :-1].gather(2, columns).squeeze(-1)
    parts = [_mean(-matched, first >= 0)]
    alone = (-log_assignment[:, :-1, -1], first == UNMATCHED), (-log_assignment[:, -1, :-1], second == UNMATCHED)
    parts += [0.5 * _mean(values, chosen) for values, chosen in alone]
    return torch.stack(parts).sum(0)


def confidence_loss(
    confidences: Sequence[tuple[Tensor, Tensor]],
    log_assignments: Sequence[Tensor],
    masks: tuple[Tensor, Tensor],
) -> Tensor:
    """Return the cross entropy of earlier layers' token confidences against "this layer matches as the last one".

    (b,), mean over layers and tokens; `confidences` are logits, `masks` mark what is no padding.
    """
    final = _partner_of_each(log_assignments[-1])
    total = log_assignments[-1].new_zeros(len(log_assignments[-1]))
    for logits, scores in zip(confidences, log_assignments[:-1], strict=True):
        for side, (logit, mine, last) in enumerate(zip(logits, _partner_of_each(scores), final, strict=True)):
            loss = binary_cross_entropy_with_logits(logit.float(), (mine == last).float(), reduction="none")
            total = total + 0.5 * _mean(loss, masks[side])
    return total / max(len(confidences), 1)


def _partner_of_each(log_assignment: Tensor) -> tuple[Tensor, Tensor]:
    """Return the most likely column (or none, the last) of each row, and the most likely row of each column."""
    scores = log_assignment.detach()
    return scores[:, :-1].argmax(2), scores[:, :, :-1].argmax(1)


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean of the chosen values of each row, 0 where none is chosen."""
    kept = values.masked_fill(~chosen, 0.0)
    return kept.sum(1) / chosen.sum(1).clamp(min=1)
