"""Pseudo-queries: gallery photographs that are used as queries, which a decision is tuned and validated on.

Photographs of its own encounter are hidden from a pseudo-query. In a split some individuals are "unknown": all their
photographs are hidden from their own pseudo-queries. Other queries still see them, so the gallery keeps the size that
it has in earnest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from animalclef.config import DecideConfig
from animalclef.structures import FloatArray, ImageTable, StrArray
from animalclef.structures.arrays import BoolArray, select_rows

__all__ = ["OpenSetSplits", "PseudoQueries", "choose_pseudo_queries", "open_set_splits"]


@dataclass(frozen=True, eq=False)
class OpenSetSplits:
    """The role of each pseudo-query in each split.

    `is_unknown` holds for the individual's photographs in that split; a pseudo-query that is neither known nor unknown
    in a split (its individual has no other encounter to be found in, and is not hidden) takes no part in it.
    """

    image_id: StrArray  # (p,)
    identity: StrArray  # (p,)
    is_known: BoolArray  # (splits, p)
    is_unknown: BoolArray  # (splits, p)

    def __post_init__(self) -> None:
        if np.any(self.is_known & self.is_unknown):
            raise ValueError("a pseudo-query cannot be known and unknown in one split.")

    def select(self, rows: NDArray[np.generic]) -> OpenSetSplits:
        """Some of the pseudo-queries, in the splits that have both a known and an unknown one among them."""
        is_known, is_unknown = self.is_known[:, rows], self.is_unknown[:, rows]
        both = is_known.any(axis=1) & is_unknown.any(axis=1)
        return OpenSetSplits(self.image_id[rows], self.identity[rows], is_known[both], is_unknown[both])


@dataclass(frozen=True, eq=False)
class PseudoQueries:
    """Pseudo-queries of one data set and their candidates, in shortlist order.

    `as_known` and `as_unknown` mark the `top_k` candidates a query sees with its own individual in the gallery, and
    without it. `one_more` marks the candidates of one further encounter of its individual: a pseudo-query lacks its own
    encounter, which a query has, and what an encounter is worth shows where one more is hidden.
    """

    columns: Mapping[str, FloatArray]  # each (p, k), NaN where there is no candidate
    same: BoolArray  # (p, k)
    agrees: BoolArray  # (p, k) the viewpoints are the same, or one is not known
    as_known: BoolArray  # (p, k)
    as_unknown: BoolArray  # (p, k)
    splits: OpenSetSplits
    gallery_id: StrArray | None = None  # (p, k) the candidates, None in a slot without one
    identity: StrArray | None = None  # (p, k) whom they show
    one_more: BoolArray | None = None  # (p, k), where encounters are known

    def __len__(self) -> int:
        return len(self.same)

    @property
    def can_be_scored(self) -> bool:
        """Whether some split has both a known and an unknown pseudo-query."""
        return len(self.splits.is_known) > 0

    def only(self, names: Sequence[str]) -> PseudoQueries:
        """With the named score columns; all of them where none of the names is there."""
        kept = {name: values for name, values in self.columns.items() if name in names}
        return replace(self, columns=kept or self.columns)

    def with_one_more_hidden(self) -> PseudoQueries:
        """Return the pseudo-queries as they are with one more encounter of their individual out of the gallery."""
        return self if self.one_more is None else replace(self, as_known=self.as_known & ~self.one_more)

    def select(self, rows: NDArray[np.generic]) -> PseudoQueries:
        """Some of the pseudo-queries, in the splits that still have both roles."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        chosen = replace(self, columns=columns, splits=self.splits.select(rows))
        return select_rows(
            chosen, rows, "same", "agrees", "as_known", "as_unknown", "gallery_id", "identity", "one_more"
        )


def choose_pseudo_queries(
    gallery: ImageTable, encounter_of: Mapping[str, str], config: DecideConfig, seed: int, queries: int = 0
) -> ImageTable:
    """Return photographs of one data set to be pseudo-queries, drawn evenly over individuals, in gallery order.

    Of each individual one photograph per encounter comes first: encounters in random order, or the latest first. There
    are at most as many as the settings say, and with `match_query` as many as the data set has `queries`.
    """
    name = gallery.dataset[0] if len(gallery) else ""
    rng = np.random.default_rng([seed, 1])
    rounds: dict[int, list[int]] = defaultdict(list)
    by_identity: dict[str, list[int]] = defaultdict(list)
    order = rng.permutation(len(gallery))
    if config.of("latest_first", name):
        order = np.array(sorted(order.tolist(), key=lambda row: gallery.date[row], reverse=True), dtype=np.int64)
    for row in order:
        by_identity[gallery.identity[row]].append(int(row))
    each = config.of("photographs_each", name) or len(gallery)
    for _, rows in sorted(by_identity.items()):
        seen: dict[str, int] = defaultdict(int)
        turns = []
        for row in rows:
            encounter = encounter_of[gallery.image_id[row]]
            turns.append((seen[encounter], row))
            seen[encounter] += 1
        for turn, (_, row) in enumerate(sorted(turns, key=lambda pair: pair[0])[:each]):
            rounds[turn].append(row)
    most = config.of("pseudo_queries", name)
    most = min(most, queries) if config.match_query and queries else most
    drawn = [row for turn in sorted(rounds) for row in rng.permutation(rounds[turn])]
    return gallery.select(np.sort(np.array(drawn[:most], dtype=np.int64)))


def open_set_splits(
    pseudo: ImageTable, gallery: ImageTable, encounter_of: Mapping[str, str], config: DecideConfig, seed: int
) -> OpenSetSplits:
    """Draw `config.splits` splits of one data set's pseudo-queries.

    An individual with a single encounter cannot be found in the gallery without it, so it is unknown or takes no
    part; a query of it may be known, but then by a photograph that validation lacks. Such individuals make up at most
    half of the unknown ones, so that those hidden are not all photographed more seldom than the known.
    """
    encounters: dict[str, set[str]] = defaultdict(set)
    for image_id, identity in zip(gallery.image_id, gallery.identity, strict=True):
        encounters[identity].add(encounter_of[image_id])
    identities, who = np.unique(pseudo.identity, return_inverse=True)
    findable = np.array([len(encounters[identity]) > 1 for identity in identities], dtype=bool)
    rng = np.random.default_rng([seed, 2])
    share = config.of("unknown_share", gallery.dataset[0] if len(gallery) else "")
    hidden = np.stack([_hide(findable, share, rng) for _ in range(config.splits)])
    is_unknown = hidden[:, who] if len(who) else np.zeros((config.splits, 0), dtype=bool)
    is_known = ~is_unknown & findable[who]
    return OpenSetSplits(pseudo.image_id, pseudo.identity, is_known, is_unknown).select(np.arange(len(pseudo)))


def _hide(findable: BoolArray, share: float, rng: np.random.Generator) -> BoolArray:
    """Return the individuals that are unknown, about `share` of those that take part: findable ones and singletons in
    random order, as many of the one as of the other, more findable ones where there are too few singletons.

    One findable individual at least stays known, and at least one is unknown.
    """
    others, single = rng.permutation(np.flatnonzero(findable)), rng.permutation(np.flatnonzero(~findable))
    half = share * len(others) / (2 - share)  # 2 half / (findable + half) = share
    wanted = half if half <= len(single) else share * (len(others) + len(single)) - len(single)
    from_others = min(max(round(wanted), 0 if len(single) else 1), max(len(others) - 1, 0))
    unknown = round(share / (1 - share) * (len(others) - from_others))
    from_single = min(max(unknown - from_others, 0 if from_others else 1), len(single))
    hidden = np.zeros(len(findable), dtype=bool)
    hidden[others[:from_others]] = True
    hidden[single[:from_single]] = True
    return hidden
