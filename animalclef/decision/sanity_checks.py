"""Are the answers what validation made us expect? The share of new individuals, and how many individuals are named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb, sqrt

import numpy as np
from numpy.typing import NDArray

from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.decide import decide
from animalclef.decision.decision_model import Decision
from animalclef.decision.fusion import fuse
from animalclef.runtime.wording import counted
from animalclef.structures import ImageTable, PairScores, Predictions, StrArray
from animalclef.structures.arrays import rows_in

__all__ = ["Seen", "band", "distinct_among", "sanity_warnings", "surprises"]

_Z = 2.576  # 99% of a normal distribution
_MOST_UNKNOWN = 0.8  # of the queries; with more of them unknown a warning is in place all the same
_FACTOR = 2  # queries may show half or twice as many individuals as pseudo-queries: those are drawn evenly over them
_LEAST_NAMED = 20  # fewer answers with a name say nothing about their variety


@dataclass(frozen=True, eq=False)
class Seen:
    """What the decision answers on pseudo-queries of one data set; `None` is a new individual."""

    as_known: StrArray  # (p,) with their individual in the gallery, those that can be found there
    as_unknown: StrArray  # (u,) without it
    individuals_known: int
    individuals_unknown: int
    gallery_individuals: int
    photographs_each: float  # of an individual in the gallery, on average


def sanity_warnings(
    predictions: Predictions, images: ImageTable, pseudo: Mapping[str, PseudoQueries], decision: Decision
) -> list[str]:
    """What is odd about the answers, data set by data set; `images` are the photographs that could be used."""
    answer = dict(zip(predictions.image_id, predictions.identity, strict=True))
    queries, gallery = images.queries, images.gallery
    sentences = []
    for name, part in sorted(pseudo.items()):
        asked = queries.image_id[queries.dataset == name]
        if len(part) and len(asked) and part.gallery_id is not None:
            answers = np.array([answer[image_id] for image_id in asked], dtype=object)
            mine = gallery.select(gallery.dataset == name)
            sentences += surprises(name, answers, _seen(part, mine, decision))
    return sentences


def surprises(dataset: str, answers: StrArray, seen: Seen) -> list[str]:
    """A sentence for each way in which the answers lie far from validation's, with what to check.

    The expected share of new individuals reaches from that of known pseudo-queries (nobody unknown) to 80% of the way
    to that of unknown ones; beyond it a band of 99% is allowed for, in which photographs of one individual count once.
    """
    sentences = []
    if len(answers) and len(seen.as_known) and len(seen.as_unknown):
        sentences += _share_of_new(dataset, answers, seen)
    named = [who for who in answers if who is not None]
    expected = [who for who in seen.as_known if who is not None]
    if min(len(named), len(expected)) >= _LEAST_NAMED:
        sentences += _variety(dataset, named, expected, seen.gallery_individuals)
    return sentences


def band(share: float, seen: int, asked: float) -> float:
    """Half the width of the 99% band of a difference of two shares, over `seen` and over `asked` individuals.

    The share is taken as (share * seen + 1) / (seen + 2), so that 0 and 1 have a width.

    >>> round(band(0.5, 100, 100), 4)
    0.1822
    """
    smooth = (share * seen + 1) / (seen + 2)
    return _Z * sqrt(smooth * (1 - smooth) * (1 / max(seen, 1) + 1 / max(asked, 1.0)))


def distinct_among(names: Sequence[str], drawn: int) -> float:
    """Return how many distinct names are expected among so many of these, drawn without replacement.

    >>> round(distinct_among(["a", "a", "b"], 2), 3)
    1.667
    """
    total = comb(len(names), drawn)
    return sum(1 - comb(len(names) - count, drawn) / total for count in Counter(names).values())


def _seen(part: PseudoQueries, gallery: ImageTable, decision: Decision) -> Seen:
    splits = part.splits
    asked = gallery.select(rows_in(gallery.image_id, splits.image_id))
    as_known, as_unknown = (
        decide(fuse(_pairs(part, seen), gallery, decision), asked, decision).identity
        for seen in (part.as_known, part.as_unknown)
    )
    known, individuals = splits.is_known.any(axis=0), len(set(gallery.identity))
    return Seen(
        as_known=as_known[known],
        as_unknown=as_unknown,
        individuals_known=len(set(splits.identity[known])),
        individuals_unknown=len(set(splits.identity)),
        gallery_individuals=individuals,
        photographs_each=len(gallery) / individuals,
    )


def _pairs(part: PseudoQueries, seen: NDArray[np.bool_]) -> PairScores:
    """Return the pairs that pseudo-queries see in one of their roles, as the stages take them."""
    rows, slots = np.nonzero(seen)
    columns = {name: values[rows, slots] for name, values in part.columns.items()}
    return PairScores(part.splits.image_id[rows], np.asarray(part.gallery_id)[rows, slots], columns)


def _share_of_new(dataset: str, answers: StrArray, seen: Seen) -> list[str]:
    share, known, unknown = (_new(one) for one in (answers, seen.as_known, seen.as_unknown))
    low, high = known, max(known, known + _MOST_UNKNOWN * (unknown - known))
    asked = len(answers) / max(seen.photographs_each, 1.0)
    least = low - band(low, seen.individuals_known, asked)
    most = high + band(high, min(seen.individuals_known, seen.individuals_unknown), asked)
    said = f"{dataset}: {share:.0%} of {counted(len(answers), 'query', 'is')} answered as new"
    if share < least:
        return [
            f"{said}, but in validation {known:.0%} of the photographs of known animals alone were. The queries may be "
            "near-copies of gallery photographs, or the gallery may be new to this decision: look at the answers with "
            "the lowest probability."
        ]
    if share > most:
        return [
            f"{said}; validation had {known:.0%} for known and {unknown:.0%} for unknown animals, so that {high:.0%} "
            f"would be expected with {_MOST_UNKNOWN:.0%} of them unknown. The queries may look different from the "
            "gallery (crop, season, camera), or nearly all be unknown: look at the best candidates of some of them."
        ]
    return []


def _variety(dataset: str, named: Sequence[str], expected: Sequence[str], individuals: int) -> list[str]:
    drawn = min(len(named), len(expected))
    here, there = distinct_among(named, drawn), distinct_among(expected, drawn)
    around = _Z * sqrt(there * max(0.0, 1 - there / max(individuals, there)))
    found = counted(round(here), "individual")
    said = f"{dataset}: {drawn:,} answers with a name hold {found}, {there:.0f} in validation"
    if here < there / _FACTOR - around:
        most, count = Counter(named).most_common(1)[0]
        return [
            f"{said}. A few gallery photographs may draw all queries to them, or the queries show few animals: look at "
            f"{most}, which is named {count:,} times."
        ]
    if here > _FACTOR * there + around:
        return [
            f"{said}. Names may be given out at random, as where the queries do not look like the gallery: look at the "
            "best candidates of some queries."
        ]
    return []


def _new(answers: StrArray) -> float:
    return float(np.mean([who is None for who in answers]))
