"""The competition's score and the retrieval measures, vectorised.

Score: per data set sqrt(BAKS * BAUS), a NaN factor counted as 0, then the unweighted mean over data sets.
BAKS: mean over known individuals of the share of their queries named right. BAUS: mean over unknown individuals of the
share of their queries answered with "new". (AnimalCLEF 2025, the organisers' evaluation notebook.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from animalclef.structures import StrArray
from animalclef.structures.arrays import Floats

__all__ = ["NEW", "DatasetScore", "Score", "ScoreKernel", "average_precision", "identity_rank", "precision_at_places"]

NEW = -1  # the code of "a new individual"

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class DatasetScore:
    """BAKS and BAUS are NaN where a data set has no known, or no unknown, query."""

    baks: float
    baus: float
    known: int
    unknown: int

    @property
    def score(self) -> float:
        """sqrt(BAKS * BAUS), NaN counted as 0."""
        return float(np.sqrt(np.nan_to_num(self.baks) * np.nan_to_num(self.baus)))


@dataclass(frozen=True)
class Score:
    """The official score with its parts."""

    datasets: Mapping[str, DatasetScore]

    @property
    def overall(self) -> float:
        """The unweighted mean over data sets."""
        return float(np.mean([part.score for part in self.datasets.values()])) if self.datasets else 0.0


class ScoreKernel:
    """The truth, encoded once, so that one evaluation is a few passes over integer arrays."""

    def __init__(self, identity: StrArray, dataset: StrArray, known: NDArray[np.bool_]) -> None:
        """identity, dataset, known: one per query, in the order that predictions will come in."""
        self.dataset_names, place = np.unique(dataset.astype(str), return_inverse=True)
        self.known = known.astype(bool)
        roles = zip(dataset, identity, self.known, strict=True)
        individuals = np.array([f"{where}\x00{who}\x00{is_known}" for where, who, is_known in roles], dtype=object)
        _, first, group, count = np.unique(
            individuals.astype(str), return_index=True, return_inverse=True, return_counts=True
        )
        names = sorted(set(identity))
        self._code = {name: code for code, name in enumerate(names)}
        self.truth = np.array([self._code[name] for name in identity], dtype=np.int64)
        slots = 2 * len(self.dataset_names)
        self._slot = 2 * place + self.known
        groups_per_slot = np.bincount(self._slot[first], minlength=slots)
        self._weight = 1.0 / (count[group] * groups_per_slot[self._slot])
        self._present = groups_per_slot > 0
        self._queries = np.bincount(self._slot, minlength=slots)

    def encode(self, identity: StrArray) -> Codes:
        """Predictions as codes; `None` is NEW, a name that no query has is a code of its own."""
        other = len(self._code)
        return np.array([NEW if name is None else self._code.get(name, other) for name in identity], dtype=np.int64)

    def parts(self, predicted: Codes) -> Floats:
        """(data sets, 2): BAUS and BAKS, NaN where there is nothing to average."""
        hit = np.where(self.known, predicted == self.truth, predicted == NEW)
        sums = np.bincount(self._slot, weights=self._weight * hit, minlength=2 * len(self.dataset_names))
        return np.where(self._present, np.minimum(sums, 1.0), np.nan).reshape(-1, 2)

    def overall(self, predicted: Codes) -> float:
        """The official score."""
        if not len(self.dataset_names):
            return 0.0
        return float(np.sqrt(np.nan_to_num(self.parts(predicted)).prod(axis=1)).mean())

    def score(self, predicted: Codes) -> Score:
        """The official score with its parts."""
        counts = self._queries.reshape(-1, 2)
        return Score(
            {
                str(name): DatasetScore(float(baks), float(baus), int(known), int(unknown))
                for name, (baus, baks), (unknown, known) in zip(
                    self.dataset_names, self.parts(predicted), counts, strict=True
                )
            }
        )


def identity_rank(candidate: StrArray, truth: str) -> float:
    """The place, from 1, of an individual among the distinct individuals of a ranked list; infinity where absent.

    >>> identity_rank(np.array(["a", "a", "b", "c"], dtype=object), "b")
    2.0
    """
    order = list(dict.fromkeys(candidate))
    return float(order.index(truth) + 1) if truth in order else float("inf")


def average_precision(relevant: NDArray[np.bool_], total: int) -> float:
    """Mean of the precision at each relevant image of a ranked list; those never listed count as 0.

    >>> round(average_precision(np.array([True, False, True]), total=4), 3)
    0.417
    """
    return precision_at_places(np.flatnonzero(relevant) + 1, total)


def precision_at_places(place: Codes, total: int) -> float:
    """The same from the places, from 1 and rising, of the relevant images.

    >>> round(precision_at_places(np.array([1, 3]), total=4), 3)
    0.417
    """
    return float(((np.arange(len(place)) + 1) / place).sum() / total) if total else float("nan")
