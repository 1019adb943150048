"""Make batches of augmented photographs; a batch depends on the seed and its number alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from animalclef.config.embedder_training import TrainConfig
from animalclef.features.embedding.preprocessing import RESIZERS, Preprocessing
from animalclef.training.embedder.augmentation import augment
from animalclef.training.embedder.batch_sampling import plan_batches
from animalclef.training.embedder.image_cache import ImageCache
from animalclef.training.embedder.training_labels import TrainingSet

__all__ = ["Batch", "BatchSource"]

_AUGMENTATION = 31  # of the seeds of generators


@dataclass(frozen=True, eq=False)
class Batch:
    """Photographs as bytes, to be normalised on the device."""

    number: int
    pixels: Tensor  # (b, H, W, 3) uint8
    label: Tensor  # (b,) int64
    image_id: tuple[str, ...]
    plain: Tensor | None = None  # (b, H, W, 3) uint8 without augmentation, where the recipe's teacher needs them


class BatchSource:
    """Draw photographs and augment them."""

    def __init__(
        self, training_set: TrainingSet, images: ImageCache, config: TrainConfig, preprocessing: Preprocessing
    ) -> None:
        self.training_set, self.images, self.config, self.preprocessing = training_set, images, config, preprocessing
        self.plan = plan_batches(
            training_set.label, training_set.species, config.sampling, config.batch_size, config.seed
        )

    def batch(self, number: int) -> Batch:
        """Return the batch of this number, from 0."""
        rows = self.plan.batch(number)
        shown = [self._augmented(int(row), number, place) for place, row in enumerate(rows)]
        label, distillation = torch.from_numpy(self.training_set.label[rows]), self.config.distillation
        image_id, plain = tuple(self.training_set.table.image_id[rows]), None
        if distillation.weight and distillation.teacher_view == "plain":
            resizer, size = RESIZERS[self.preprocessing.resize], self.preprocessing.size_wh
            keys = self.training_set.table.key[rows]
            plain = torch.from_numpy(np.stack([resizer(self.images.pixels(key), size) for key in keys]))
        return Batch(number, torch.from_numpy(np.stack(shown)), label, image_id, plain)

    def _augmented(self, row: int, number: int, place: int) -> NDArray[np.uint8]:
        rng = np.random.default_rng((self.config.seed, _AUGMENTATION, number, place))
        pixels = self.images.pixels(self.training_set.table.key[row])
        prepared = self.preprocessing
        return augment(pixels, prepared.size_wh, self.config.augment, rng, resize=prepared.resize)
