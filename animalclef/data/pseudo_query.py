"""Pseudo-queries: gallery photographs with their candidates: what a decision is tuned and validated on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from animalclef.data.open_set_splits import OpenSetSplits
from animalclef.structures import StrArray

__all__ = ["PseudoQueries"]

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PseudoQueries:
    """Pseudo-queries of one data set and their candidates, in shortlist order.

    `as_known` and `as_unknown` mark the `top_k` candidates a query sees with its own individual in the gallery, and
    without it. `one_more` marks the candidates of one further encounter of its individual: a pseudo-query lacks its own
    encounter, which a query has, and what an encounter is worth shows where one more is hidden.
    """

    columns: Mapping[str, NDArray[np.float32]]  # each (p, k), NaN where there is no candidate
    same: Bools  # (p, k)
    agrees: Bools  # (p, k) the viewpoints are the same, or one is not known
    as_known: Bools  # (p, k)
    as_unknown: Bools  # (p, k)
    splits: OpenSetSplits
    gallery_id: StrArray | None = None  # (p, k) the candidates, None in a slot without one
    identity: StrArray | None = None  # (p, k) whom they show
    one_more: Bools | None = None  # (p, k), where encounters are known

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
        splits = self.splits.select(rows)
        columns = {name: values[rows] for name, values in self.columns.items()}
        marks = (self.same, self.agrees, self.as_known, self.as_unknown)
        gallery_id, identity, one_more = (
            None if one is None else one[rows] for one in (self.gallery_id, self.identity, self.one_more)
        )
        same, agrees, as_known, as_unknown = (one[rows] for one in marks)
        return PseudoQueries(columns, same, agrees, as_known, as_unknown, splits, gallery_id, identity, one_more)
