"""The null model: how high the best candidate of a photograph scores when its individual is not in the database.

Every database photograph shows it: compared with all other individuals it is a stranger (in speaker verification this
is the impostor distribution). The best of many scores follows a Gumbel distribution, the limit of maxima of most
distributions (Coles 2001, An Introduction to Statistical Modeling of Extreme Values, section 3.1).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.calibrators import Part, shaped
from animalclef.decision.score_columns import is_count, scores_among
from animalclef.structures.arrays import Floats

__all__ = ["LookAlike", "Null", "fit_null", "look_alikes", "nulls_of", "strangers_best"]


_CENTRAL = (0.1, 0.9)  # quantiles that the fit uses: two names of one animal, or empty photographs, do not move it
_NO_SPREAD = 0.1  # scale, as a share of the location, where all strangers score alike
_LOOK_ALIKE = 0.01  # chance that any of a data set's strangers lies as far out
_LOOKED_AT = 100  # pairs of photographs of each score column, the most alike first
_FEWEST = 6  # photographs of other individuals that the null of a pair rests on


class Null(Part):
    """A Gumbel distribution of strangers' best scores: P(best <= x) = exp(-exp(-(x - location) / scale))."""

    location: float = Field(description="mode, on the scale of the scores (log(1 + score) for counts)")
    scale: float = Field(gt=0)
    photographs: int = Field(ge=0, description="database photographs it was fitted on")
    individuals: int = Field(ge=0, description="individuals that each of them was compared with")

    def excess(self, value: NDArray[np.generic]) -> Floats:
        """Return how many scales each value lies above the location; NaN stays NaN."""
        return np.asarray((np.asarray(value, dtype=np.float64) - self.location) / self.scale)

    def quantile(self, share: float) -> float:
        """Return the value that a share of strangers stays below.

        >>> round(Null(location=0, scale=1, photographs=9, individuals=3).quantile(0.95), 3)
        2.97
        """
        return self.location - self.scale * float(np.log(-np.log(share)))

    def false_acceptance(self, value: NDArray[np.generic]) -> Floats:
        """Return the share of strangers whose best score is above each value."""
        return -np.expm1(-np.exp(-np.clip(self.excess(value), -30, 700)))


def fit_null(best: Floats, weight: Floats | None = None, *, individuals: int = 1) -> Null:
    """Fit location and scale by a straight line through the central order statistics (a Gumbel probability plot).

    `best` holds one value per photograph, minus infinity or NaN where nothing was found; `weight` lets every individual
    count alike. Extreme values have no say, so that two names of one animal do not hide themselves.
    """
    usable = np.isfinite(best)
    values = np.asarray(best, dtype=np.float64)[usable]
    share = np.ones(len(values)) if weight is None else np.asarray(weight, dtype=np.float64)[usable]
    if not len(values):
        return Null(location=0.0, scale=1.0, photographs=0, individuals=individuals)
    order = np.argsort(values, kind="stable")
    values, share = values[order], share[order] / share.sum()
    place = np.cumsum(share) - share / 2
    reduced = -np.log(-np.log(np.clip(place, 1e-6, 1 - 1e-6)))
    used = (place >= _CENTRAL[0]) & (place <= _CENTRAL[1])
    used = used if used.sum() >= 3 else np.ones(len(values), dtype=bool)
    mean_x, mean_y = (float(np.average(one[used], weights=share[used])) for one in (reduced, values))
    spread = float(np.average((reduced[used] - mean_x) ** 2, weights=share[used]))
    rise = float(np.average((reduced[used] - mean_x) * (values[used] - mean_y), weights=share[used]))
    scale = rise / spread if spread > 0 else 0.0
    scale = scale if scale > 1e-9 else max(abs(mean_y) * _NO_SPREAD, 1e-3)
    return Null(location=mean_y - scale * mean_x, scale=scale, photographs=len(values), individuals=individuals)


def strangers_best(part: PseudoQueries, column: str) -> Floats:
    """Return the best score, (p,), that each pseudo-query reaches without its individual; NaN where there is none."""
    best = _as_unknown(part, column).max(axis=1, initial=-np.inf)
    return np.where(np.isfinite(best), best, np.nan)


def _as_unknown(part: PseudoQueries, column: str) -> Floats:
    """Return the scores, (p, k), that pseudo-queries see without their individual; minus infinity elsewhere."""
    values = shaped(part.columns[column], log=is_count(column))
    return np.where(part.as_unknown & np.isfinite(values), values, -np.inf)


def nulls_of(part: PseudoQueries) -> dict[str, Null]:
    """Fit the null model of every score column of one data set."""
    weight = weights_by_individual(part)
    others = max(len(set(part.splits.identity.tolist())) - 1, 1)
    return {
        column: fit_null(strangers_best(part, column), weight, individuals=others)
        for column in scores_among(part.columns)
    }


def weights_by_individual(part: PseudoQueries) -> Floats:
    """Return one weight per pseudo-query that sums to 1 for each individual."""
    if not len(part):
        return np.zeros(0)
    _, who, count = np.unique(part.splits.identity.astype(str), return_inverse=True, return_counts=True)
    return np.asarray(1.0 / count[who])


@dataclass(frozen=True)
class LookAlike:
    """Two individuals whose photographs are more alike than strangers ever are."""

    first: str
    second: str
    first_image: str
    second_image: str
    chance: float  # that the best of all strangers of the data set lies as far out


def look_alikes(part: PseudoQueries, nulls: Mapping[str, Null], limit: int = 5) -> list[LookAlike]:
    """Return pairs of individuals that may be one animal under two names, the least likely strangers first.

    The null of a pair is fitted without its photographs, so that few individuals do not hide it. A pair counts where
    two score columns at least agree, or where there is only one.
    """
    if part.gallery_id is None or part.identity is None or not len(part):
        return []
    names = [name for name in nulls if nulls[name].photographs >= 3]
    found: dict[tuple[str, str], list[LookAlike]] = defaultdict(list)
    identity, weight = part.splits.identity.astype(str), weights_by_individual(part)
    for column in names:
        seen = _as_unknown(part, column)
        best: dict[tuple[str, str], LookAlike] = {}
        for place in np.argsort(-seen, axis=None, kind="stable")[:_LOOKED_AT]:
            row, slot = divmod(int(place), seen.shape[1])
            mine, other = str(identity[row]), str(part.identity[row, slot])
            key = (min(mine, other), max(mine, other))
            if key in best or seen[row, slot] == -np.inf:
                continue
            others = ~np.isin(identity, key)
            null = fit_null(seen[others].max(axis=1, initial=-np.inf), weight[others])
            tail = float(null.false_acceptance(seen[row, slot])) if null.photographs >= _FEWEST else 1.0
            chance = float(-np.expm1(len(part) * np.log1p(-min(tail, 1 - 1e-12))))
            images = str(part.splits.image_id[row]), str(part.gallery_id[row, slot])
            best[key] = LookAlike(*key, *images, chance)
        for key, one in best.items():
            if one.chance < _LOOK_ALIKE:
                found[key].append(one)
    agreed = [min(ones, key=lambda one: one.chance) for ones in found.values() if len(ones) >= min(2, len(names))]
    return sorted(agreed, key=lambda one: (one.chance, one.first, one.second))[:limit]
