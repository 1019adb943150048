"""The open-set decision: the best candidate's name, or a new individual."""

from __future__ import annotations

import numpy as np

from animalclef.decision.decision_model import Decision
from animalclef.structures import ImageTable, Predictions, RankedCandidates

__all__ = ["decide"]


def decide(ranked: RankedCandidates, queries: ImageTable, decision: Decision) -> Predictions:
    """One answer per query: the first candidate's name where its identity's probability reaches the data set's
    threshold and its lead over the second identity the margin, else `None`.

    A query without candidates is a new individual with probability 0.
    """
    first: dict[str, int] = {}
    for row, query_id in enumerate(ranked.query_id):
        first.setdefault(query_id, row)
    identity = np.full(len(queries), None, dtype=object)
    probability = np.zeros(len(queries))
    for row, (image_id, dataset) in enumerate(zip(queries.image_id, queries.dataset, strict=True)):
        best = first.get(image_id)
        if best is None:
            continue
        rule = decision.of(dataset)
        probability[row] = ranked.identity_probability[best]
        if probability[row] >= rule.threshold and ranked.lead[best] >= rule.margin:
            identity[row] = ranked.identity[best]
    return Predictions(queries.image_id, identity, probability)
