"""One pseudo-query, two roles: with its individual in the gallery, and without."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from animalclef.data.pseudo_query import PseudoQueries

__all__ = ["joined"]


def joined(known: PseudoQueries, unknown: PseudoQueries) -> PseudoQueries:
    """The candidates of both roles side by side: those of `known` are seen as known, those of `unknown` as unknown.

    A vote of local descriptors, and which pairs a budget lets be matched, depend on who is in the gallery. The two
    hold the same pseudo-queries in the same order.
    """
    tables: dict[str, Any] = {}
    for field in fields(known):
        one, other = getattr(known, field.name), getattr(unknown, field.name)
        if isinstance(one, np.ndarray):
            tables[field.name] = np.concatenate([one, other], axis=1)
    tables["columns"] = {name: np.concatenate([one, unknown.columns[name]], axis=1)
                         for name, one in known.columns.items()}  # fmt: skip
    tables["as_known"] = np.concatenate([known.as_known, np.zeros_like(unknown.as_known)], axis=1)
    tables["as_unknown"] = np.concatenate([np.zeros_like(known.as_unknown), unknown.as_unknown], axis=1)
    return replace(known, **tables)
