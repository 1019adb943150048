"""Individuals out of photographs without names: which photographs show one animal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from animalclef.runtime.wording import counted
from animalclef.structures.arrays import FloatArray, Floats, Integers, StrArray, check_rows, check_shape, text_array

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ClusterCount", "Clusters", "LinkedPairs", "Links"]


@dataclass(frozen=True, eq=False)
class LinkedPairs:
    """Pairs of photographs with their scores, each pair once; a pair that is absent was on neither one's shortlist."""

    image_id: StrArray  # (n,) what the rows point into
    first: Integers  # (p,) rows, each below that of `second`
    second: Integers  # (p,)
    columns: Mapping[str, FloatArray]  # each (p,); the mean where either photograph had the other on its list

    def __post_init__(self) -> None:
        check_rows(self, len(self.first), "second")
        for name, values in self.columns.items():
            check_shape(name, values, (len(self.first),))
        if (self.first >= self.second).any():
            raise ValueError("first: expected rows below those of second.")

    def __len__(self) -> int:
        return len(self.first)


@dataclass(frozen=True, eq=False)
class Links:
    """Pairs of photographs with the probability that they show one individual; that of pairs that are absent is 0."""

    first: StrArray = field(default_factory=lambda: np.zeros(0, dtype=object))  # (p,) image_ids
    second: StrArray = field(default_factory=lambda: np.zeros(0, dtype=object))  # (p,)
    probability: Floats = field(default_factory=lambda: np.zeros(0))  # (p,)

    def __post_init__(self) -> None:
        check_rows(self, len(self.first), "second", "probability")

    def __repr__(self) -> str:
        return f"Links({counted(len(self.first), 'pair')})"


@dataclass(frozen=True)
class ClusterCount:
    """How many individuals the photographs of one data set show, and how that was found."""

    photographs: int
    clusters: int
    singletons: int  # clusters of one photograph
    known: int  # clusters that show an individual of the database
    low: int  # 90% interval of the number of individuals, from pseudo-tests; without any, a range of the null model
    high: int
    rule: Mapping[str, Any] = field(default_factory=dict)  # cut, attach, margin and what chose them


@dataclass(frozen=True, eq=False)
class Clusters:
    """The individual on every photograph, known or new; photographs of two data sets never share one.

    `number` counts the clusters of a data set from 0 in table order.

    Example:
        >>> ids, home = np.array(["1", "2", "3"], dtype=object), np.array(["Newts"] * 3, dtype=object)
        >>> clusters = Clusters(ids, home, np.array([0, 1, 1]), np.array(["Ada", None, None], dtype=object))
        >>> clusters.name.tolist(), clusters.label[2]
        (['Ada', 'new_1', 'new_1'], 'cluster_Newts_1')
    """

    image_id: StrArray  # (n,)
    dataset: StrArray  # (n,)
    number: Integers  # (n,)
    individual: StrArray  # (n,) name of an individual of the database, None for a new one
    counts: Mapping[str, ClusterCount] = field(default_factory=dict)  # by data set
    taken: frozenset[str] = frozenset()  # names of the database that no new individual gets
    links: Links = field(default_factory=Links)  # between the photographs
    skipped: frozenset[str] = frozenset()  # image_ids that could not be used: a label of their own, and no individual

    def __post_init__(self) -> None:
        check_rows(self, len(self.image_id), "dataset", "number", "individual")

    def __len__(self) -> int:
        return len(self.image_id)

    @cached_property
    def label(self) -> StrArray:
        """`cluster_<dataset>_<n>`, as AnimalCLEF 2026 wants it, (n,)."""
        pairs = zip(self.dataset, self.number.tolist(), strict=True)
        return text_array([f"cluster_{dataset}_{number}" for dataset, number in pairs])

    @cached_property
    def name(self) -> StrArray:
        """The name of the known individual, or new_1, new_2 ... in table order over all data sets, (n,).

        `None` for a photograph that was skipped.
        """
        known = self.taken | {str(who) for who in self.individual if who is not None}
        names: dict[str, str] = {}
        count = 0
        for image_id, label, who in zip(self.image_id, self.label, self.individual, strict=True):
            if who is None and label not in names and image_id not in self.skipped:
                count += 1
                while f"new_{count}" in known:
                    count += 1
                names[label] = f"new_{count}"
        return text_array([who or names.get(label) for label, who in zip(self.label, self.individual, strict=True)])

    @property
    def new_names(self) -> dict[str, str]:
        """`new_1`, `new_2` ... of each photograph of a new individual, by image_id."""
        rows = zip(self.image_id, self.name, self.individual, strict=True)
        return {image_id: name for image_id, name, who in rows if who is None and name is not None}

    @property
    def table(self) -> pd.DataFrame:
        """One row per photograph: image_id, dataset, cluster (its label) and individual (known, or new_1 ...).

        A photograph that was skipped has no individual (None).
        """
        import pandas as pd

        individual = pd.Series(self.name, dtype=object)  # pandas 3 would turn None into NaN
        columns = {"image_id": self.image_id, "dataset": self.dataset, "cluster": self.label, "individual": individual}
        return pd.DataFrame(columns)

    def __repr__(self) -> str:
        size = Counter(label for label, who in zip(self.label, self.name, strict=True) if who is not None)
        alone, left_out = sum(count == 1 for count in size.values()), sum(who is None for who in self.name)
        skipped = f", {left_out} skipped" if left_out else ""
        return f"Clusters({len(self)} photographs{skipped}, {len(size)} individuals, {alone} of them on one photograph)"

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>" + str(self.table.to_html(max_rows=20, index=False))
