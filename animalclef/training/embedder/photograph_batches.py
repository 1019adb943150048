"""Batches of changed photographs; a batch depends on the seed and its number alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from animalclef.config.embedder_training import TrainConfig
from animalclef.features.embedding.preprocessing import Preprocessing
from animalclef.training.embedder.augmentation import augment
from animalclef.training.embedder.batch_sampling import plan_batches
from animalclef.training.embedder.image_cache import Pictures
from animalclef.training.embedder.training_labels import TrainingSet

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Batch", "BatchSource"]

_CHANGES = 31  # what a generator draws


@dataclass(frozen=True, eq=False)
class Batch:
    """Photographs as bytes, to be normalised on the device."""

    number: int
    pixels: Tensor  # (b, H, W, 3) uint8
    label: Tensor  # (b,) int64
    image_id: tuple[str, ...]


class BatchSource:
    """Draws photographs and changes them."""

    def __init__(
        self, learnt: TrainingSet, pictures: Pictures, config: TrainConfig, preprocessing: Preprocessing
    ) -> None:
        self.learnt, self.pictures, self.config, self.preprocessing = learnt, pictures, config, preprocessing
        self.plan = plan_batches(learnt.label, learnt.species, config.sampling, config.batch_size, config.seed)

    def batch(self, number: int) -> Batch:
        """The batch of this number, from 0."""
        import torch

        rows = self.plan.batch(number)
        shown = [self._changed(int(row), number, place) for place, row in enumerate(rows)]
        label = torch.from_numpy(self.learnt.label[rows])
        return Batch(number, torch.from_numpy(np.stack(shown)), label, tuple(self.learnt.table.image_id[rows]))

    def _changed(self, row: int, number: int, place: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        rng = np.random.default_rng((self.config.seed, _CHANGES, number, place))
        pixels = self.pictures.pixels(self.learnt.table.key[row])
        prepared = self.preprocessing
        return augment(pixels, prepared.size_wh, self.config.augment, rng, resize=prepared.resize)
