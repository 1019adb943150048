"""Pseudo-tests: database photographs that are clustered as if they had no names, to choose how it is done best."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from animalclef.structures import ImageTable
from animalclef.structures.arrays import Integers

__all__ = ["Pool", "draw_pool", "draw_tests", "thinned_like"]


_EACH = 12  # photographs of one individual in the pool, at most
_SHARE = 0.75  # of the individuals in each pseudo-test
LEVELS = (1, 2, 3, 4, 6, 8, _EACH)  # photographs of one individual in a pseudo-test, at most


@dataclass(frozen=True, eq=False)
class Pool:
    """The photographs of some individuals of one data set, those that pseudo-tests are drawn from."""

    images: ImageTable  # (n,) rows of the gallery, in its order
    hidden: Mapping[str, frozenset[str]]  # by image_id: what a photograph does not see of the database


def draw_pool(gallery: ImageTable, encounter_of: Mapping[str, str], most: int, seed: int, *, attaches: bool) -> Pool:
    """Draw the encounters of random individuals until there are `most` photographs, up to twelve of one individual.

    With `attaches` every second individual that has two encounters keeps half of them in the database, so that its
    photographs can be attached to it; a photograph in the pool never sees another one of its individual that is in the
    pool.
    """
    rng = np.random.default_rng([seed, 21])
    of: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for image_id, who in zip(gallery.image_id, gallery.identity, strict=True):
        of[str(who)][encounter_of[image_id]].append(image_id)
    names = sorted(of)
    chosen: list[str] = []
    hidden: dict[str, frozenset[str]] = {}
    for number, place in enumerate(rng.permutation(len(names)).tolist()):
        if len(chosen) >= most:
            break
        events = of[names[place]]
        order = [sorted(events)[at] for at in rng.permutation(len(events))]
        kept_back = len(order) // 2 if attaches and number % 2 else 0
        mine: list[str] = []
        for event in order[: len(order) - kept_back]:
            mine += events[event][: _EACH - len(mine)]
        own = frozenset(mine) if kept_back else frozenset(one for event in order for one in events[event])
        hidden |= dict.fromkeys(mine, own)
        chosen += mine
    return Pool(gallery.select(np.isin(gallery.image_id.astype(str), np.array(chosen, dtype=str))), hidden)


def draw_tests(who: Integers, level: int, count: int, seed: int) -> list[Integers]:
    """Return rows of `count` pseudo-tests: three quarters of the individuals, at most `level` photographs of each."""
    rng = np.random.default_rng([seed, 22])
    individuals = np.unique(who)
    tests = []
    for _ in range(count):
        number = max(2, round(_SHARE * len(individuals)))
        some = rng.permutation(individuals)[:number]
        tests.append(_at_most(np.flatnonzero(np.isin(who, some)), who, level, rng))
    return tests


def thinned_like(who: Integers, probability: NDArray[np.float64], first: Integers, second: Integers,
                 partners: float, seed: int) -> int:  # fmt: skip
    """Return the number of photographs an individual at which the pool resembles the queries.

    `partners` is the mean over queries of the sum of their pairs' probabilities: how many other photographs of its
    individual a query is expected to have. The pool has the level at which the same sum comes nearest.
    """
    rng = np.random.default_rng([seed, 23])
    gaps = []
    for level in LEVELS:
        rows = _at_most(np.arange(len(who)), who, level, rng)
        kept = np.isin(np.arange(len(who)), rows)
        mean = 2 * float(probability[kept[first] & kept[second]].sum()) / max(len(rows), 1)
        gaps.append(abs(mean - partners))
    return LEVELS[int(np.argmin(gaps))]


def _at_most(rows: Integers, who: Integers, level: int, rng: np.random.Generator) -> Integers:
    """Return at most `level` of the rows of each individual, drawn at random, rising."""
    order = rng.permutation(rows)
    order = order[np.argsort(who[order], kind="stable")]
    start = np.flatnonzero(np.diff(who[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(start, np.diff(start, append=len(order)))
    return np.sort(order[rank < level])
