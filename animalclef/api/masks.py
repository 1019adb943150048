"""`segment`: where the animal is in each image."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from animalclef.api.open_images import Images, open_images
from animalclef.features.embedding.timm_embedder import choose_device
from animalclef.prepare.segmenters import open_segmenter
from animalclef.structures import StrArray

__all__ = ["Masks", "segment"]

_AT_ONCE = 32  # images that are opened before they are segmented


@dataclass(frozen=True, eq=False)
class Masks:
    """One mask per image, True on the animal; `None` where no animal was found."""

    image_id: StrArray  # (n,)
    masks: tuple[NDArray[np.bool_] | None, ...]  # each (h, w) of its image

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, number: int) -> NDArray[np.bool_] | None:
        return self.masks[number]


def segment(images: Images, *, model: str | None = None, device: str = "auto") -> Masks:
    """Find the animal in every image.

    `model` is `animal` (the default, ships with the package), `u2netp` (its pulled start), `grabcut`, a file with
    weights of U2-Net-P, or a Segment Anything model: a folder, or its name on the hub where its files are on this
    machine.

    Raises:
        DataError: an image cannot be read.
        ConfigError: a package that the model needs is not installed.
        WeightsError: the model is not on this machine.

    Example:
        >>> masks = segment(photographs[:2])
        >>> len(masks), all(mask is None or mask.dtype == bool for mask in masks.masks)
        (2, True)
    """
    segmenter = open_segmenter(model or "animal", "cpu" if model == "grabcut" else choose_device(device))
    names: list[str] = []
    found: list[NDArray[np.bool_]] = []
    opened = open_images(images)
    while chunk := list(islice(opened, _AT_ONCE)):
        names += [photograph.image_id for photograph in chunk]
        found += segmenter.segment([photograph.image.pixels for photograph in chunk])
    return Masks(np.array(names, dtype=object), tuple(mask if mask.any() else None for mask in found))
