"""Keep all views on a GPU, and make batches and their truth there.

On a CPU a batch of 64 pairs takes longer to make than a GPU takes to learn from it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from animalclef.config.training import TrainMatcherConfig
from animalclef.features.local.unit_descriptors import root_sift
from animalclef.store.shard_store import ShardStore
from animalclef.training.matcher.assignment import Surface, surface_values, true_assignments
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
    each = config.keypoints.sizes[1] * (2 * config.keypoints.feature.dimensions + 4 * _VALUES)
    return views * each <= _SHARE * torch.cuda.mem_get_info(device)[0]


class DeviceViews:
    """All views of a store on one device."""

    def __init__(
        self, keys: Iterable[str], store: ShardStore, config: TrainMatcherConfig, device: torch.device
    ) -> None:
        """Copy the views of `keys` to the device, padded to the longest; half precision holds RootSIFT exactly."""
        self.config, self.device = config, device
        views = {key: View.of(store.get(key)) for key in sorted(set(keys))}
        self._place = {key: place for place, key in enumerate(views)}
        shape = len(views), max(len(view) for view in views.values())
        descriptors = np.zeros((*shape, config.keypoints.feature.dimensions), dtype=np.float16)
        values = np.zeros((*shape, _VALUES), dtype=np.float32)
        for place, view in enumerate(views.values()):
            descriptors[place, : len(view)] = root_sift(view.descriptors)
            values[place, : len(view), :4] = kornia_places(view, with_scale=True)
            values[place, : len(view), 4:] = surface_values(view)
        self._descriptors = torch.from_numpy(descriptors).to(device)
        self._values = torch.from_numpy(values).to(device)

    def collate(self, batch: DrawnBatch) -> Batch:
        """Return the batch on the device, the shorter views padded; the same as `collate` makes of its pairs."""
        width = 4 if self.config.network.add_scale_ori else 2
        descriptors, places, surfaces = [], [], []
        for side in (0, 1):
            views, rows, mask = self._drawn(batch, side)
            values = self._values[views, rows]
            descriptors.append(self._descriptors[views, rows].float() * mask[..., None])
            places.append(values[..., :width] * mask[..., None])
            surfaces.append(Surface(values[..., 4:], mask))
        first, second = surfaces
        same_subject = self._flags(draw.same_subject for draw in batch.draws)
        same_photo = self._flags(draw.same_photo for draw in batch.draws)
        of_first, of_second, _ = true_assignments(first, second, self.config.loss, same_subject, same_photo)
        return Batch(
            (descriptors[0], descriptors[1]), (places[0], places[1]), (first.mask, second.mask),
            (of_first, of_second), batch.names,
        )  # fmt: skip

    def _flags(self, values: Iterable[bool]) -> Tensor:
        return torch.tensor(list(values), device=self.device)

    def _drawn(self, batch: DrawnBatch, side: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the view of each pair (b, 1), the rows of its keypoints (b, m), and which of them are no padding."""
        chosen = [draw.rows[side] for draw in batch.draws]
        rows = np.zeros((len(chosen), max(1, *(len(one) for one in chosen))), dtype=np.int64)
        mask = np.zeros(rows.shape, dtype=bool)
        for number, one in enumerate(chosen):
            rows[number, : len(one)], mask[number, : len(one)] = one, True
        mask[:, 0] |= ~mask.any(axis=1)
        views = torch.tensor([self._place[draw.keys[side]] for draw in batch.draws], device=self.device)[:, None]
        return views, torch.from_numpy(rows).to(self.device), torch.from_numpy(mask).to(self.device)
