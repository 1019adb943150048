"""`segment`: where the animal is in each image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from animalclef.api.open_images import Images, open_images
from animalclef.prepare.segmenters import load_segmenter
from animalclef.structures import StrArray

__all__ = ["Masks", "segment"]


@dataclass(frozen=True, eq=False)
class Masks:
    """One mask per image, True on the animal; `None` where it cannot be told from the background."""

    image_id: StrArray  # (n,)
    masks: tuple[NDArray[np.bool_] | None, ...]  # each (h, w) of its image

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, number: int) -> NDArray[np.bool_] | None:
        return self.masks[number]


def segment(images: Images, *, model: str | None = None, device: str = "auto") -> Masks:
    """Find the animal in every image.

    `model` is grabcut (the default, needs no weights), or a Segment Anything model: a folder, or its name on the hub
    where its files are on this machine.

    Raises:
        DataError: an image cannot be read.
        ConfigError: a package that the model needs is not installed.
        WeightsError: the model is not on this machine.

    Example:
        >>> masks = segment(photographs[:2])
        >>> len(masks), all(mask is None or mask.dtype == bool for mask in masks.masks)
        (2, True)
    """
    segmenter = load_segmenter(model or "grabcut", device)
    names, found = [], []
    for photograph in open_images(images):
        names.append(photograph.image_id)
        found.append(segmenter.segment(photograph.image.pixels, None))
    return Masks(np.array(names, dtype=object), tuple(found))
