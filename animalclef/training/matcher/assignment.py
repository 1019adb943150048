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

__all__ = ["IGNORED", "UNMATCHED", "Truth", "assignment_loss", "confidence_loss", "true_assignment"]

UNMATCHED, IGNORED = -1, -2


@dataclass(frozen=True, eq=False)
class Truth:
    """The partner of each keypoint: a column, `UNMATCHED`, or `IGNORED` where it is not known."""

    first: NDArray[np.int64]  # (m,)
    second: NDArray[np.int64]  # (n,)
    error_px: NDArray[np.float32]  # (m, n) larger of the two reprojection errors, infinite where a place is not known


def true_assignment(
    first: View, second: View, config: MatcherLossConfig, *, same_subject: bool, same_photo: bool
) -> Truth:
    """Return the assignment of two views, from the places of their keypoints on the surface.

    A match: mutually nearest of those within `match_px` in both views whose scale and orientation agree. Unmatched: no
    keypoint within `miss_px`. What lies between is ignored. The background of two views of one photograph is ignored
    as well: it can be matched, but should not be; in different photographs, and in those of different subjects,
    it has no match.
    """
    m, n = len(first), len(second)
    error = np.full((m, n), np.inf, dtype=np.float32)
    if same_subject and m and n:
        gap = np.linalg.norm(first.surface_xy[:, None] - second.surface_xy[None], axis=2)
        error = gap * np.maximum(first.px_per_unit[:, None], second.px_per_unit[None])
        error[~(first.on_surface[:, None] & second.on_surface[None])] = np.inf
    eligible = np.where(_agree(first, second, config) & (error <= config.match_px), error, np.inf)
    of_first, of_second = (
        _partners(eligible, error, config.miss_px),
        _partners(eligible.T, error.T, config.miss_px),
    )
    if same_photo:
        of_first[first.background] = IGNORED
        of_second[second.background] = IGNORED
    return Truth(of_first, of_second, error.astype(np.float32))


def _agree(first: View, second: View, config: MatcherLossConfig) -> NDArray[np.bool_]:
    """Return a mask (m, n) of pairs of keypoints whose scale and orientation on the surface agree."""
    turn = np.abs(first.surface_turn_rad[:, None] - second.surface_turn_rad[None])
    turn = np.minimum(turn, 2 * np.pi - turn)
    sizes = np.log(np.maximum(first.surface_scale, 1e-12)), np.log(np.maximum(second.surface_scale, 1e-12))
    ratio = np.abs(sizes[0][:, None] - sizes[1][None])
    return np.asarray((turn <= np.radians(config.most_turn_deg)) & (ratio <= np.log(config.most_scale_ratio)))


def _partners(eligible: NDArray[np.floating], error: NDArray[np.floating], miss_px: float) -> NDArray[np.int64]:
    if not error.shape[1]:
        return np.full(len(error), UNMATCHED, dtype=np.int64)
    if not len(error):
        return np.zeros(0, dtype=np.int64)
    best = eligible.argmin(axis=1)
    every = np.arange(len(error))
    mutual = (eligible.argmin(axis=0)[best] == every) & np.isfinite(eligible[every, best])
    lonely = error.min(axis=1) > miss_px
    return np.where(mutual, best, np.where(lonely, UNMATCHED, IGNORED)).astype(np.int64)


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
    return total / max(len(confidences), 1) if len(confidences) else torch.zeros_like(total)


def _partner_of_each(log_assignment: Tensor) -> tuple[Tensor, Tensor]:
    """Return the most likely column (or none, the last) of each row, and the most likely row of each column."""
    scores = log_assignment.detach()
    return scores[:, :-1].argmax(2), scores[:, :, :-1].argmax(1)


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean of the chosen values of each row, 0 where none is chosen."""
    kept = values.masked_fill(~chosen, 0.0)
    return kept.sum(1) / chosen.sum(1).clamp(min=1)
