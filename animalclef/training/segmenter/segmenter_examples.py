"""Photographs with masks to train a segmenter on: rendered animals, and photographs whose masks are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from animalclef.config import DataConfig
from animalclef.config.training import TrainSegmenterConfig
from animalclef.data.decode import read_image
from animalclef.data.masks import Masks, read_mask
from animalclef.prepare.u2net_segmenter import network_input
from animalclef.structures import ImageTable
from animalclef.synthetic import Animal, draw_visit, photograph, random_species
from animalclef.synthetic.photograph import box_around

__all__ = ["Example", "ExampleSource", "MaskBatch", "render_example"]

_RENDERED, _GIVEN, _CHOICE = 31, 32, 33  # of the seeds of generators
_LONG_SIDE = 640  # pixels, of given photographs
_MARGIN = 0.15  # of a box's sides: most that a close photograph shows around the animal


@dataclass(frozen=True, eq=False)
class Example:
    """One photograph and where its animal is."""

    name: str
    pixels: NDArray[np.uint8]  # (h, w, 3) RGB
    mask: NDArray[np.float32]  # (h, w) 0..1

    def __post_init__(self) -> None:
        if self.pixels.shape != (*self.mask.shape, 3):
            raise ValueError(f"Expected a mask of the photograph's size, got {self.mask.shape}, {self.pixels.shape}.")


@dataclass(frozen=True, eq=False)
class MaskBatch:
    """Photographs as the network takes them, and their masks."""

    names: tuple[str, ...]
    images: Tensor  # (b, 3, side, side), normalised
    masks: Tensor  # (b, 1, side, side), 0..1


class ExampleSource:
    """Draws examples by number; the same number gives the same example."""

    def __init__(
        self, config: TrainSegmenterConfig, seed: int, images: ImageTable | None = None, masks: Masks | None = None
    ) -> None:
        """Draw from rendered photographs, and from `images` where they are given (`masks` has a source for each)."""
        self.config, self.seed, self.images, self.masks = config, seed, images, masks

    def batch(self, number: int) -> MaskBatch:
        """Return the batch of this number, from 0."""
        first = number * self.config.batch_size
        return as_batch([self.example(first + place) for place in range(self.config.batch_size)], self.config.side)

    def example(self, number: int) -> Example:
        """Return the example of this number: given or rendered, mirrored or not, whole or cut to the animal."""
        rng = np.random.default_rng((self.seed, _CHOICE, number))
        example = None
        if self.images is not None and self.masks is not None and rng.random() < self.config.given:
            example = self._given(self.images, self.masks, number)
        example = example or render_example(self.seed, number)
        if rng.random() < 0.5:
            example = _part(example, np.s_[:, ::-1])
        close = rng.random() < self.config.close
        box = box_around(example.mask > 0.5, (0, _MARGIN), rng) if close else None
        return example if box is None else _part(example, box)

    def _given(self, images: ImageTable, masks: Masks, number: int) -> Example | None:
        """Return a photograph with its mask; `None` for a segmentation that has another shape."""
        row = int(np.random.default_rng((self.seed, _GIVEN, number)).integers(len(images)))
        image = read_image(images, row, DataConfig(decode_long_side=_LONG_SIDE))
        size_wh = (image.pixels.shape[1], image.pixels.shape[0])
        mask = read_mask(images, row, str(masks.source[row]), size_wh)
        if mask is None:
            return None
        full = cv2.resize(mask.astype(np.float32), size_wh, interpolation=cv2.INTER_AREA).astype(np.float32)
        return Example(str(images.path[row]), image.pixels, full)


def render_example(seed: int, number: int) -> Example:
    """Render one animal of a random species in a random place; its mask is exact."""
    rng = np.random.default_rng((seed, _RENDERED, number))
    species = random_species(rng)
    visit = draw_visit(species, (seed, number, 0), "2020-01-01", rng)
    side = species.sides[rng.integers(len(species.sides))]
    made = photograph(Animal(species, (seed, number, 1)), visit, side, rng)
    return Example(f"rendered {number}", made.pixels, made.mask.astype(np.float32) / np.float32(255))


def as_batch(examples: Sequence[Example], side: int) -> MaskBatch:
    """Return examples as the network takes them."""
    images = np.stack([network_input(one.pixels, side) for one in examples])
    masks = np.stack([cv2.resize(one.mask, (side, side), interpolation=cv2.INTER_AREA) for one in examples])
    names = tuple(one.name for one in examples)
    return MaskBatch(names, torch.from_numpy(images), torch.from_numpy(masks[:, None]))


def _part(example: Example, at: tuple[slice, slice]) -> Example:
    return Example(example.name, np.ascontiguousarray(example.pixels[at]), np.ascontiguousarray(example.mask[at]))
