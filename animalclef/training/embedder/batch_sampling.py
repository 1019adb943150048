"""Choose the photographs of each batch; a batch depends on the seed and its number alone.

Rows are drawn without replacement: each of a group once, in a random order, before any comes again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from animalclef.config.embedder_training import SamplingConfig, TrainConfig
from animalclef.errors import TrainingError
from animalclef.features.embedding.preprocessing import RESIZERS, Preprocessing
from animalclef.structures.arrays import Integers
from animalclef.training.embedder.augmentation import augment
from animalclef.training.embedder.image_cache import ImageCache
from animalclef.training.embedder.training_labels import TrainingSet

__all__ = ["Batch", "BatchPlan", "BatchSource", "plan_batches"]


_AUGMENTATION = 31  # of the seeds of generators


class BatchPlan(Protocol):
    """An endless sequence of batches; `steps_per_epoch` of them hold about as many photographs as can be drawn."""

    @property
    def steps_per_epoch(self) -> int: ...

    def batch(self, step: int) -> Integers:
        """Return the rows (batch_size,) of a batch; steps count from 0 and may come in any order."""


def plan_batches(
    label: NDArray[np.integer], species: NDArray[np.generic], config: SamplingConfig, batch_size: int, seed: int
) -> BatchPlan:
    """Plan how rows with these labels (n,) and species (n,) are drawn.

    - shuffled: every epoch a new order of all rows; its last batch is filled from the start of the next order.
    - balanced: every class as often as any other, and within it every row.
    - species-balanced: every species as often as any other, within it every class, within that every row.
    - pxk: batch_size / `per_individual` individuals with that many rows each. Rows repeat only where an individual has
      too few, individuals only where there are too few of them. Individuals with one row are left out; with
      `one_species` so are those that are alone in their species.

    Raises:
        TrainingError: for pxk a batch cannot be divided so, or no two individuals can be drawn.
    """
    if config.kind == "pxk":
        return _plan_pxk(label, species, config, batch_size, seed)
    every = np.arange(len(label))
    steps = -(-len(label) // batch_size)
    if config.kind == "shuffled":
        return _Even(_Deck(every, (), (seed, 1, 0)), batch_size, steps, by_epoch=True)
    groups = _split(every, species) if config.kind == "species-balanced" else [every]
    classes = [_split(rows, label) for rows in groups]
    decks = [tuple(_Deck(rows, (), (seed, 3, int(rows[0]))) for rows in of_one) for of_one in classes]
    middle = [_Deck(every[:0], own, (seed, 2, place)) for place, own in enumerate(decks)]
    top = _Deck(every[:0], tuple(middle), (seed, 1, 0)) if len(middle) > 1 else middle[0]
    return _Even(top, batch_size, steps)


@dataclass(frozen=True, eq=False)
class _Deck:
    """An endless shuffled sequence of rows, or of decks that each give their next row in turn."""

    cards: Integers
    decks: tuple[_Deck, ...]
    numbers: tuple[int, int, int]  # seed, level and place: what its random orders depend on

    def deal(self, positions: Integers) -> Integers:
        """Return the rows at these places of the sequence."""
        count = len(self.decks) or len(self.cards)
        rounds, places = np.divmod(positions, count)
        picks = np.empty_like(places)
        for one in np.unique(rounds):
            picks[rounds == one] = _order(count, *self.numbers, one)[places[rounds == one]]
        if not self.decks:
            return self.cards[picks]
        rows = np.empty_like(picks)
        for pick in np.unique(picks):
            # a deck has its turn once a round
            rows[picks == pick] = self.decks[pick].deal(rounds[picks == pick])
        return rows


@dataclass(frozen=True, eq=False)
class _Even:
    """Consecutive batches of a deck; with `by_epoch` each epoch begins a new round."""

    deck: _Deck
    batch_size: int
    steps_per_epoch: int
    by_epoch: bool = False

    def batch(self, step: int) -> Integers:
        first = step * self.batch_size
        if self.by_epoch:
            epoch, place = divmod(step, self.steps_per_epoch)
            first = epoch * len(self.deck.cards) + place * self.batch_size
        return self.deck.deal(first + np.arange(self.batch_size))


@dataclass(frozen=True, eq=False)
class _PerIndividual:
    """Batches of some individuals with some rows each.

    A round holds every part of every group once: the group's individuals in a random order, cut into parts of `animals`
    each. Individuals that do not fill a part come in another round.
    """

    groups: tuple[tuple[Integers, ...], ...]  # rows of each individual, by species or all in one group
    parts: tuple[tuple[int, int], ...]  # group and place of each part of a round
    animals: int
    photographs: int
    seed: int
    steps_per_epoch: int

    def batch(self, step: int) -> Integers:
        round_, place = divmod(step, len(self.parts))
        group, part = self.parts[_order(len(self.parts), self.seed, 1, 0, round_)[place]]
        individuals = self.groups[group]
        order = _order(len(individuals), self.seed, 2, group, round_)[part * self.animals :]
        chosen, times = np.unique(np.resize(order, self.animals), return_counts=True)
        rng = np.random.default_rng((self.seed, 3, 0, step))
        drawn = [
            np.resize(rng.permutation(individuals[one]), self.photographs * count)
            for one, count in zip(chosen, times, strict=True)
        ]
        return np.concatenate(drawn)


def _plan_pxk(
    label: NDArray[np.integer], species: NDArray[np.generic], config: SamplingConfig, batch_size: int, seed: int
) -> BatchPlan:
    animals, left = divmod(batch_size, config.per_individual)
    if left or animals < 2:
        raise TrainingError(
            f"A batch of {batch_size} cannot hold two or more individuals with {config.per_individual} photographs "
            "each. Make batch_size a multiple of sampling.per_individual, twice it or more."
        )
    every = np.arange(len(label))
    groups = []
    for rows in _split(every, species) if config.one_species else [every]:
        individuals = tuple(own for own in _split(rows, label) if len(own) > 1)
        if len(individuals) > 1:
            groups.append(individuals)
    if not groups:
        where = "of one species " if config.one_species else ""
        raise TrainingError(
            f"No two individuals {where}have two photographs or more. Set sampling.one_species=false, or choose "
            "another sampling.kind."
        )
    parts = [(group, part) for group, own in enumerate(groups) for part in range(max(1, len(own) // animals))]
    usable = sum(len(rows) for own in groups for rows in own)
    steps = -(-usable // batch_size)
    return _PerIndividual(tuple(groups), tuple(parts), animals, config.per_individual, seed, steps)


def _split(rows: Integers, key: NDArray[np.generic]) -> Sequence[Integers]:
    """Return the rows of each value of `key`, the values in order."""
    order = np.argsort(key[rows], kind="stable")
    _, starts = np.unique(key[rows][order], return_index=True)
    return np.split(rows[order], starts[1:])


def _order(count: int, *numbers: int) -> Integers:
    return np.random.default_rng(numbers).permutation(count)


@dataclass(frozen=True, eq=False)
class Batch:
    """Photographs as bytes, to be normalised on the device."""

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
        config, size, resize = self.config, self.preprocessing.size_wh, self.preprocessing.resize
        rows = self.plan.batch(number)
        keys, shown, plain = self.training_set.table.key[rows], [], None
        for place, key in enumerate(keys):
            rng = np.random.default_rng((config.seed, _AUGMENTATION, number, place))
            shown.append(augment(self.images.pixels(key), size, config.augment, rng, resize=resize))
        if config.distillation.weight and config.distillation.teacher_view == "plain":
            plain = torch.from_numpy(np.stack([RESIZERS[resize](self.images.pixels(key), size) for key in keys]))
        label, image_id = torch.from_numpy(self.training_set.label[rows]), self.training_set.table.image_id[rows]
        return Batch(torch.from_numpy(np.stack(shown)), label, tuple(image_id), plain)
