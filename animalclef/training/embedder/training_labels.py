"""Label the photographs of a training with their classes."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from animalclef.config.embedder_training import LabelConfig
from animalclef.errors import DataError
from animalclef.runtime.wording import counted
from animalclef.structures import ImageTable, StrArray

__all__ = ["TrainingSet", "by_side", "label_rows", "named_rows", "species_of"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Photographs to train on, and integer labels that mean nothing outside this training."""

    table: ImageTable  # (n,) named database rows
    label: NDArray[np.int64]  # (n,)
    classes: tuple[str, ...]  # names by label
    species: StrArray  # (n,) species, or the data set where the table says none

    def __post_init__(self) -> None:
        if not len(self.table) == len(self.label) == len(self.species):
            raise ValueError("a training set needs a label and a species for every row.")
        if self.table.is_query.any():
            raise ValueError("a query cannot be trained on.")

    def __len__(self) -> int:
        return len(self.label)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Return the number of photographs of each class, (c,)."""
        return np.bincount(self.label, minlength=len(self.classes)).astype(np.int64)


def named_rows(table: ImageTable, config: LabelConfig) -> ImageTable:
    """Return the named database rows that the settings choose.

    Where each side of an animal is a class of its own, rows whose side is not known are left out.

    Raises:
        DataError: the settings name a data set that the table does not have.
    """
    sided = config.viewpoint_as_identity
    wanted = {*config.only, *(() if isinstance(sided, bool) else sided)}
    absent = sorted(wanted - set(table.datasets))
    if absent:
        raise DataError(f"labels: no data set {absent[0]} in {table.root}; there are {', '.join(table.datasets)}.")
    named = table.gallery
    if config.only:
        named = named.select(np.isin(named.dataset, list(config.only)))
    lost = _sided(named, config) & (named.viewpoint == "")
    if lost.any():
        logger.warning("%s left out: the side of the animal is not known.", counted(int(lost.sum()), "photograph"))
    return named.select(~lost)


def by_side(named: ImageTable, config: LabelConfig) -> ImageTable:
    """Return the same rows; where each side of an animal is a class of its own, `identity` names the side too."""
    identity, sided = named.identity.copy(), _sided(named, config)
    identity[sided] = named.identity[sided] + "/" + named.viewpoint[sided]
    viewpoint = np.where(sided, named.viewpoint, "").astype(object)
    return named.with_columns(identity=identity, viewpoint=viewpoint)


def _sided(named: ImageTable, config: LabelConfig) -> NDArray[np.bool_]:
    """Return a mask (n,) of data sets in which sides are classes; a data set without known sides is none of them."""
    sided = config.viewpoint_as_identity
    chosen = named.datasets if sided is True else sided or ()
    known = set(named.dataset[named.viewpoint != ""])
    return np.isin(named.dataset, [name for name in chosen if name in known])


def label_rows(named: ImageTable, config: LabelConfig) -> TrainingSet:
    """Label the rows to train on; classes with fewer than `least_images` are left out.

    Raises:
        DataError: fewer than two classes remain.
    """
    species = species_of(named)
    who = species if config.classes == "species" else named.dataset + "/" + named.identity
    names, label, counts = np.unique(who.astype(str), return_inverse=True, return_counts=True)
    keep = counts[label] >= config.least_images
    kept, label = np.unique(label[keep], return_inverse=True)
    if len(kept) < 2:
        what = "individuals" if config.classes == "identity" else "species"
        raise DataError(
            f"{named.root}: {len(kept)} of {len(names)} {what} to train on have {config.least_images} photographs or "
            "more; training needs two. Give more photographs, or lower labels.least_images."
        )
    classes = tuple(str(name) for name in names[kept])
    return TrainingSet(named.select(keep), label.astype(np.int64), classes, species[keep])


def species_of(table: ImageTable) -> StrArray:
    """Return the species (n,), or the data set where the table names none."""
    return np.where(table.species == "", table.dataset, table.species)
