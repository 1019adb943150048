"""`segment`: where the animal is in each image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from animalclef.api.open_images import Images, in_chunks, open_images
from animalclef.config.prepare import PrepareConfig
from animalclef.features.embedding.timm_embedder import choose_device
from animalclef.prepare.segmenters import open_segmenter
from animalclef.structures import StrArray

__all__ = ["Masks", "segment"]

_AT_ONCE = 32  # images that are opened before they are segmented


@dataclass(frozen=True, eq=False)
class Masks:
    """One mask per image, True on the animals; all False where none was found."""

    image_id: StrArray  # (n,)
    masks: tuple[NDArray[np.bool_], ...]  # each (h, w) of its image

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, number: int) -> NDArray[np.bool_]:
        return self.masks[number]


def segment(images: Images, *, model: str | None = None, device: str = "auto") -> Masks:
    """Find the animals in every image.

    `model` is animal (ships with the package), u2netp, grabcut (needs no weights), a file with weights of U2-Net-P, or
    a Segment Anything model. The default is that of a run (`prepare.segmenter`).

    Raises:
        DataError: an image cannot be read.
        ConfigError: a package that the model needs is not installed.
        WeightsError: the model is not on this machine.

    Example:
        >>> masks = segment(photographs[:2], model="grabcut")
        >>> len(masks), masks[0].ndim, masks[0].dtype
        (2, 2, dtype('bool'))
    """
    segmenter = open_segmenter(model or PrepareConfig().segmenter, choose_device(device))
    names: list[str] = []
    found: list[NDArray[np.bool_]] = []
    for some in in_chunks(open_images(images)):
        names += [one.image_id for one in some]
        found += segmenter.segment([one.image.pixels for one in some])
    return Masks(np.array(names, dtype=object), tuple(found))
