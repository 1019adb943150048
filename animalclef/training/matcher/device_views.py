"""Keep all views on a GPU, and make batches and their truth there.

On a CPU a batch of 64 pairs takes longer to make than a GPU takes to learn from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from animalclef.config.training import MatcherLossConfig, TrainMatcherConfig
from animalclef.store.shard_store import ShardStore
from animalclef.training.matcher.assignment import IGNORED, UNMATCHED
from animalclef.training.matcher.lightglue_training import Batch
from animalclef.training.matcher.photograph_views import View
from animalclef.training.matcher.view_batches import DrawnBatch, kornia_places

__all__ = ["DeviceViews", "fits_on"]

_VALUES = 11  # numbers of a keypoint beside its descriptor
_SHARE = 0.5  # of the device's free memory that views may take


def fits_on(device: torch.device, views: int, config: TrainMatcherConfig) -> bool:
    """Return whether so many views fit into half of a GPU's free memory; False on anything but a GPU."""
    if device.type != "cuda":
        return False
    each = config.keypoints.sizes[1] * (config.keypoints.feature.dimensions + 4 * _VALUES)
    return views * each <= _SHARE * torch.cuda.mem_get_info(device)[0]


@dataclass(frozen=True, eq=False)
class _Side:
    """One view of each pair of a batch, (b, m, ...)."""

    descriptors: Tensor  # (b, m, d) integers
    values: Tensor  # (b, m, 11): place (2), scale, orientation, surface place (2), turn, scale, px per unit, two flags
    mask: Tensor  # (b, m) False where padded

    @property
    def on_surface(self) -> Tensor:
        return (self.values[..., 9] > 0) & self.mask

    @property
    def background(self) -> Tensor:
        return self.values[..., 10] > 0


class DeviceViews:
    """All views of a store on one device."""

    def __init__(
        self, keys: Iterable[str], store: ShardStore, config: TrainMatcherConfig, device: torch.device
    ) -> None:
        """Copy the views of `keys` to the device, padded to the longest."""
        self.config, self.device = config, device
        views = {key: View.of(store.get(key)) for key in sorted(set(keys))}
        self._place = {key: place for place, key in enumerate(views)}
        most = max(len(view) for view in views.values())
        first = next(iter(views.values()))
        descriptors = np.zeros((len(views), most, first.descriptors.shape[1]), dtype=first.descriptors.dtype)
        values = np.zeros((len(views), most, 11), dtype=np.float32)
        for place, view in enumerate(views.values()):
            descriptors[place, : len(view)] = view.descriptors
            values[place, : len(view)] = _values(view)
        self._descriptors = torch.from_numpy(descriptors).to(device)
        self._values = torch.from_numpy(values).to(device)

    def collate(self, batch: DrawnBatch) -> Batch:
        """Return the batch on the device, the shorter views padded; the same as `collate` makes of its pairs."""
        first, second = (self._side(batch, side) for side in (0, 1))
        of_first, of_second = _true_assignments(
            first, second, self.config.loss,
            self._flags(draw.same_subject for draw in batch.draws),
            self._flags(draw.same_photo for draw in batch.draws),
        )  # fmt: skip
        width = 4 if self.config.network.add_scale_ori else 2
        sides = (first, second)
        descriptors, places = (
            [_root_sift(side.descriptors) for side in sides],
            [side.values[..., :width] for side in sides],
        )
        masked = [
            (one * side.mask[..., None], where * side.mask[..., None])
            for one, where, side in zip(descriptors, places, sides, strict=True)
        ]
        return Batch(
            (masked[0][0], masked[1][0]), (masked[0][1], masked[1][1]), (first.mask, second.mask),
            (of_first, of_second), batch.names,
        )  # fmt: skip

    def _flags(self, values: Iterable[bool]) -> Tensor:
        return torch.tensor(list(values), device=self.device)

    def _side(self, batch: DrawnBatch, side: int) -> _Side:
        chosen: Sequence[Any] = [draw.rows[side] for draw in batch.draws]
        rows = np.zeros((len(chosen), max(1, *(len(one) for one in chosen))), dtype=np.int64)
        mask = np.zeros(rows.shape, dtype=bool)
        for number, one in enumerate(chosen):
            rows[number, : len(one)], mask[number, : len(one)] = one, True
        mask[:, 0] |= ~mask.any(axis=1)
        view = torch.tensor([self._place[draw.keys[side]] for draw in batch.draws], device=self.device)[:, None]
        row = torch.from_numpy(rows).to(self.device)
        return _Side(self._descriptors[view, row], self._values[view, row], torch.from_numpy(mask).to(self.device))


def _values(view: View) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return what is known of every keypoint, (m, 11), in the order of `_Side.values`."""
    columns = (
        kornia_places(view, with_scale=True), view.surface_xy, view.surface_turn_rad, view.surface_scale,
        view.px_per_unit, view.on_surface, view.background,
    )  # fmt: skip
    return np.column_stack(columns).astype(np.float32)


def _root_sift(descriptors: Tensor) -> Tensor:
    """Return what `root_sift` makes of descriptors (b, m, d)."""
    values = descriptors.float()
    values = values / values.sum(-1, keepdim=True).clamp(min=1e-7)
    return (values.sqrt() * 2048).round() / 2048


def _true_assignments(
    first: _Side, second: _Side, config: MatcherLossConfig, same_subject: Tensor, same_photo: Tensor
) -> tuple[Tensor, Tensor]:
    """Return what `true_assignment` does, of every pair at once: (b, m) and (b, n)."""
    one, other = first.values[:, :, None], second.values[:, None]
    error = torch.linalg.vector_norm(one[..., 4:6] - other[..., 4:6], dim=-1) * torch.maximum(
        one[..., 8], other[..., 8]
    )
    known = first.on_surface[:, :, None] & second.on_surface[:, None] & same_subject[:, None, None]
    error = error.masked_fill(~known, float("inf"))
    turn = (one[..., 6] - other[..., 6]).abs()
    turn = torch.minimum(turn, 2 * np.pi - turn)
    ratio = (one[..., 7].clamp(min=1e-12).log() - other[..., 7].clamp(min=1e-12).log()).abs()
    agree = (turn <= np.radians(config.most_turn_deg)) & (ratio <= np.log(config.most_scale_ratio))
    eligible = error.masked_fill(~(agree & (error <= config.match_px)), float("inf"))
    found = []
    for side, costs, errors in ((first, eligible, error), (second, eligible.mT, error.mT)):
        partner = _partners(costs, errors, config.miss_px)
        ignored = ~side.mask | (side.background & same_photo[:, None])
        found.append(partner.masked_fill(ignored, IGNORED))
    return found[0], found[1]


def _partners(eligible: Tensor, error: Tensor, miss_px: float) -> Tensor:
    least, best = eligible.min(2)
    back = eligible.argmin(1).gather(1, best)
    mutual = (back == torch.arange(eligible.shape[1], device=eligible.device)) & least.isfinite()
    alone = torch.where(error.amin(2) > miss_px, UNMATCHED, IGNORED)
    return torch.where(mutual, best, alone)
