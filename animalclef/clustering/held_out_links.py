"""Link models of pseudo-tests: fitted on some individuals, applied to pairs of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from animalclef.clustering.link_model import LinkModel, fit_link_model, link_inputs
from animalclef.decision.calibrators import sigmoid
from animalclef.decision.leak_guard import Fitted
from animalclef.decision.null_model import Null
from animalclef.structures.arrays import BoolArray, Floats, Integers
from animalclef.structures.clusters import LinkedPairs

__all__ = ["LabelledPairs", "fit_pooled", "held_out_probability"]


_FOLDS = 4
_LEAST_PAIRS, _LEAST_INDIVIDUALS = 10, 5  # of one individual in different encounters; with fewer, others' pairs help


@dataclass(frozen=True, eq=False)
class LabelledPairs:
    """Pairs of database photographs of one data set, with the individual and the encounter of each photograph."""

    pairs: LinkedPairs
    nulls: Mapping[str, Null]
    who: Integers  # (n,)
    event: Integers  # (n,)

    @property
    def same(self) -> BoolArray:
        """Return which pairs show one individual, (p,)."""
        return np.asarray(self.who[self.pairs.first] == self.who[self.pairs.second])

    @property
    def usable(self) -> BoolArray:
        """Return which pairs a model is fitted on: those of different encounters, (p,)."""
        return np.asarray(self.event[self.pairs.first] != self.event[self.pairs.second])

    @property
    def suffices(self) -> bool:
        """Return whether there are enough pairs for a model of this data set alone."""
        positive = self.same & self.usable
        individuals = len(set(self.who[self.pairs.first[positive]].tolist()))
        return int(positive.sum()) >= _LEAST_PAIRS and individuals >= _LEAST_INDIVIDUALS

    def fit(self, columns: Sequence[str], kept: BoolArray | None = None) -> Fitted[LinkModel]:
        """Fit a model on the usable pairs, or on those of them that are `kept`."""
        used = self.usable if kept is None else self.usable & kept
        inputs = link_inputs(self.pairs, self.nulls, columns)
        rows = np.concatenate([self.pairs.first[used], self.pairs.second[used]])
        individuals = frozenset(map(str, set(self.who[rows].tolist())))
        return Fitted(fit_link_model(inputs[used], columns, self.same[used]), individuals)


def held_out_probability(mine: LabelledPairs, columns: Sequence[str], seed: int) -> Floats:
    """Return the probability of every pair by a model that saw neither of its individuals, (p,).

    Raises:
        LeakError: a model would be applied to individuals that it was fitted on.
    """
    individuals = np.unique(mine.who)
    fold = np.zeros(int(individuals.max(initial=0)) + 1, dtype=np.int64)
    fold[np.random.default_rng([seed, 24]).permutation(individuals)] = np.arange(len(individuals)) % _FOLDS
    one, other = fold[mine.who[mine.pairs.first]], fold[mine.who[mine.pairs.second]]
    probability = np.zeros(len(mine.pairs))
    inputs = link_inputs(mine.pairs, mine.nulls, columns)
    for a in range(_FOLDS):
        for b in range(a, _FOLDS):
            rows = np.flatnonzero(((one == a) & (other == b)) | ((one == b) & (other == a)))
            if not len(rows):
                continue
            scored = {*mine.who[mine.pairs.first[rows]].tolist(), *mine.who[mine.pairs.second[rows]].tolist()}
            outside = ~np.isin(one, [a, b]) & ~np.isin(other, [a, b])
            model = mine.fit(columns, outside).for_scoring(map(str, scored))
            probability[rows] = sigmoid(model.log_odds(inputs[rows]))
    return probability


def fit_pooled(parts: Sequence[LabelledPairs], columns: Sequence[str]) -> LinkModel:
    """Fit one model on the pairs of several data sets, each of which counts alike."""
    used = [part.usable for part in parts]
    inputs = np.concatenate([link_inputs(part.pairs, part.nulls, columns)[kept]
                             for part, kept in zip(parts, used, strict=True)])  # fmt: skip
    same = np.concatenate([part.same[kept] for part, kept in zip(parts, used, strict=True)])
    largest = max(int(kept.sum()) for kept in used)
    weight = np.concatenate([np.full(int(kept.sum()), largest / max(int(kept.sum()), 1)) for kept in used])
    return fit_link_model(inputs, columns, same, weight)
