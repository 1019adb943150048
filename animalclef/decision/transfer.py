"""Decisions for data sets that cannot be tuned on their own: learned elsewhere, or from a prior, in scale-free units.

Raw scores of two data sets are not comparable. What is handed from one to another is therefore in units of the null
model: scales above the location of strangers' best scores. `for_dataset` translates it into the raw units of a data set
by that data set's own null model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.calibrators import Calibrator, Scale, shaped
from animalclef.decision.decision_model import DatasetDecision
from animalclef.decision.null_model import Null, fit_null
from animalclef.decision.score_columns import NULL, base_of, is_count, scores_among

__all__ = ["TRUE_MATCH_MEAN", "for_dataset", "nulls_of_queries", "prior_decision", "scale_free", "scale_free_columns"]

_AnyScale = TypeVar("_AnyScale", bound=Scale)

TRUE_MATCH_MEAN = 12.0
"""Prior: a true match lies an exponentially distributed number of null scales above the null's location, 12 on average.

With strangers' tail exp(-z) the log-odds are z (1 - 1/12) - ln 12. sqrt(BAKS * BAUS) is expected to be best where
exp(-z / 12) (1 - exp(-z)) is: at exp(-z) = 1/13, where 1 - exp(-1/13) = 7.4% of new individuals are accepted."""


def scale_free(part: PseudoQueries, nulls: Mapping[str, Null]) -> PseudoQueries:
    """Return the pseudo-queries with score columns in scales above the location of their null models."""
    return replace(part, columns=scale_free_columns(part.columns, nulls))


def scale_free_columns(
    columns: Mapping[str, NDArray[np.float32]], nulls: Mapping[str, Null]
) -> dict[str, NDArray[np.float32]]:
    """Return every score column as `NAME/null`, in scales above the location of its null model."""
    return {
        name + NULL: nulls[name].excess(shaped(columns[name], log=is_count(name))).astype(np.float32)
        for name in scores_among(columns)
    }


def prior_decision(columns: Sequence[str]) -> DatasetDecision:
    """Return the decision for data sets in which no individual can be recognised in validation; scale-free.

    It rests on one column, the best of those that exist by how well it transfers: inliers, the LNBNN vote, similarity.
    """
    base = next((name for kind in ("inliers", "vote", "similarity") for name in columns if name == kind), None)
    base = base or next((name for name in columns if is_count(name)), columns[0] if columns else "similarity")
    curve = Calibrator(
        log=False, mean=0.0, spread=1.0, slope=1 - 1 / TRUE_MATCH_MEAN, intercept=-float(np.log(TRUE_MATCH_MEAN))
    )
    threshold = float(curve.log_odds(np.array([np.log(TRUE_MATCH_MEAN + 1)]))[0])
    return DatasetDecision(
        calibrators={base + NULL: curve}, weights={base + NULL: 1.0}, threshold=float(1 / (1 + np.exp(-threshold))),
        fitted_on="default", scale_free=True,
    )  # fmt: skip


def for_dataset(pooled: DatasetDecision, nulls: Mapping[str, Null]) -> DatasetDecision:
    """Return a scale-free decision in the raw units of a data set with these null models.

    A column that the data set does not have loses its weight to the others.
    """
    if not pooled.scale_free:
        raise ValueError("a decision in raw units holds for its own data set alone.")
    there = {name: base_of(name) for name in pooled.calibrators if base_of(name) in nulls}
    weights = {base: pooled.weights.get(name, 0.0) for name, base in there.items()}
    total = sum(weights.values())
    if not total:
        return for_dataset(prior_decision(sorted(nulls)), nulls)
    model = pooled.pair_model
    if model is not None:
        inputs = tuple(name.replace(NULL, "") for name in model.inputs)
        scales = {base_of(name): _raw(one, nulls[base_of(name)], base_of(name)) if base_of(name) in nulls else one
                  for name, one in model.scales.items()}  # fmt: skip
        model = model.model_copy(update={"inputs": inputs, "scales": scales})
    return pooled.model_copy(
        update={
            "calibrators": {base: _raw(pooled.calibrators[name], nulls[base], base) for name, base in there.items()},
            "weights": {base: weight / total for base, weight in weights.items()},
            "pair_model": model,
            "scale_free": False,
            "nulls": dict(nulls),
        }
    )


def nulls_of_queries(columns: Mapping[str, NDArray[np.generic]], query: NDArray[np.generic],
                     identity: NDArray[np.generic], individuals: int) -> dict[str, Null]:  # fmt: skip
    """Fit null models on queries alone: the second-best individual of a query is a stranger, whoever the query shows.

    For a data set whose database was never validated. All arrays are (pairs,).
    """
    found = {}
    for column in scores_among(columns):
        value = shaped(columns[column], log=is_count(column))
        pairs = pd.DataFrame({"query": query, "who": identity, "score": value})[np.isfinite(value)]
        best = pairs.groupby(["query", "who"])["score"].max().sort_values()
        seconds = best.groupby("query").nth(-2).to_numpy()
        found[column] = fit_null(seconds, individuals=max(individuals - 1, 1))
    return found


def _raw(curve: _AnyScale, null: Null, base: str) -> _AnyScale:
    mean, spread = null.location + null.scale * curve.mean, null.scale * curve.spread
    return curve.model_copy(update={"log": is_count(base), "mean": mean, "spread": spread})
