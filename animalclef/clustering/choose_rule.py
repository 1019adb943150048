"""Choose how photographs are clustered on pseudo-tests, by the mean of ARI and AMI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from animalclef.clustering.constraints import Forest
from animalclef.clustering.partition import Partitioner, attach
from animalclef.decision.calibrators import sigmoid
from animalclef.metrics.clustering_metrics import agreement
from animalclef.structures.arrays import Floats, Integers

__all__ = [
    "CUTS",
    "ClusterRule",
    "KnownBest",
    "PseudoTests",
    "choose_rule",
    "count_interval",
    "count_ratios",
    "counts_of",
]


CUTS = tuple(np.round(sigmoid(np.linspace(-4, 3, 15)), 4).tolist())
_ATTACH = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, None)  # the first is preferred: more likely right than wrong
_MARGINS = (0.0, 1.0, 2.0)  # log-odds
_RESAMPLES = 40  # of the individuals, for the range of their number


@dataclass(frozen=True)
class ClusterRule:
    """How the photographs of one data set are clustered."""

    cut: float = 0.5  # clusters are joined from this mean probability on
    attach: float | None = None  # probability from which a photograph shows its best known individual; None: never
    margin: float = 0.0  # log-odds over the second individual
    alike: tuple[float, ...] = ()  # cuts that pseudo-tests do not tell from this one
    chosen_on: Literal["pseudo-tests", "other data sets", "null model", "settings"] = "null model"


@dataclass(frozen=True, eq=False)
class KnownBest:
    """The best known individual of each photograph; None, 0 and minus infinity where there is none."""

    name: Sequence[str | None]  # (n,)
    probability: Floats  # (n,)
    lead: Floats  # (n,) log-odds over the second individual

    def select(self, rows: Integers) -> KnownBest:
        """Return those of some photographs."""
        return KnownBest([self.name[row] for row in rows.tolist()], self.probability[rows], self.lead[rows])

    @classmethod
    def none(cls, count: int) -> KnownBest:
        """Return what photographs have where no individual is known."""
        return cls([None] * count, np.zeros(count), np.full(count, -np.inf))


@dataclass(eq=False)
class PseudoTests:
    """Some pseudo-tests of one data set: the photographs of each, and the pairs among them."""

    who: Integers  # (n,) a number for the individual on each photograph of the pool
    first: Integers  # (p,)
    second: Integers  # (p,)
    probability: Floats  # (p,) from models that never saw the pair's individuals
    known: KnownBest
    rows: Sequence[Integers]  # of each pseudo-test
    _grown: dict[tuple[object, ...], list[Partitioner]] = field(default_factory=dict)

    def within(self, individuals: NDArray[np.bool_]) -> PseudoTests:
        """Return the pseudo-tests with the photographs of some individuals, (individuals,)."""
        return replace(self, rows=[rows[individuals[self.who[rows]]] for rows in self.rows], _grown={})

    def scores(self, rule: ClusterRule, cuts: Sequence[float]) -> Floats:
        """Return the mean of ARI and AMI of each pseudo-test at each cut, (tests, cuts)."""
        return np.array([[agreement(self.who[rows], part.at(cut)) for cut in cuts]
                         for rows, part in zip(self.rows, self.partitioners(rule), strict=True)])  # fmt: skip

    def partitioners(self, rule: ClusterRule) -> list[Partitioner]:
        """Return the partitions of each pseudo-test by a rule, at any cut."""
        key = (rule.attach, rule.margin)
        if key not in self._grown:
            self._grown[key] = [self.partitioner(rows, rule) for rows in self.rows]
        return self._grown[key]

    def partitioner(self, rows: Integers, rule: ClusterRule) -> Partitioner:
        """Return the partitions of some photographs by a rule, at any cut."""
        place = np.full(len(self.who), -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        kept = (place[self.first] >= 0) & (place[self.second] >= 0)
        forest, known = Forest(len(rows)), self.known.select(rows)
        if rule.attach is not None:
            attach(forest, known.name, known.probability, known.lead, rule.attach, rule.margin)
        pairs = place[self.first[kept]], place[self.second[kept]]
        return Partitioner(forest, *pairs, self.probability[kept])


def choose_rule(tests: Sequence[PseudoTests], given: Mapping[str, Any], *, attaches: bool) -> ClusterRule:
    """Return the rule with the best mean over pseudo-tests.

    `given` are fields of the rule that the settings fix. The cut comes first, then attaching to known individuals, then
    the cut again.
    """
    cuts = [float(given["cut"])] if "cut" in given else list(CUTS)
    rule = _with_cut(tests, ClusterRule(chosen_on="settings" if "cut" in given else "pseudo-tests"), cuts)
    if attaches:
        rule = _with_cut(tests, _with_attach(tests, rule, given), cuts)
    return replace(rule, **given)


def _with_cut(tests: Sequence[PseudoTests], rule: ClusterRule, cuts: Sequence[float]) -> ClusterRule:
    """Return the rule with the best cut, the loosest of equal ones, and the cuts within one standard error of it.

    In nested tests the strict end or the middle of these cuts is worse (docs/lab/clustering.md).
    """
    table = np.concatenate([one.scores(rule, cuts) for one in tests])
    best = int(table.mean(axis=0).argmax())
    alike = [cut for at, cut in enumerate(cuts) if (table[:, best] - table[:, at]).mean() <= _error(table[:, best])]
    return replace(rule, cut=cuts[best], alike=tuple(alike))


def _with_attach(tests: Sequence[PseudoTests], rule: ClusterRule, given: Mapping[str, Any]) -> ClusterRule:
    """Return the rule with the first way of attaching that is within one standard error of the best."""
    margins = [float(given["margin"])] if "margin" in given else list(_MARGINS)
    options = [replace(rule, attach=one, margin=margin) for one in _ATTACH for margin in margins
               if one is not None or margin == margins[0]]  # fmt: skip
    if "attach" in given:
        fixed = replace(rule, attach=given["attach"])
        options = [replace(fixed, margin=margin) for margin in margins]
    scores = [np.concatenate([one.scores(option, [rule.cut])[:, 0] for one in tests]) for option in options]
    best = max(range(len(options)), key=lambda at: float(scores[at].mean()))
    fine = (at for at in range(len(options)) if (scores[best] - scores[at]).mean() <= _error(scores[best] - scores[at]))
    return options[next(fine)]


def counts_of(part: Partitioner, cuts: Sequence[float]) -> Floats:
    """Return how many clusters there are at each cut, and last how many individuals the probabilities expect.

    A photograph with expected partners of n other photographs counts as one individual of 1 + n.
    """
    partners = np.zeros(part.forest.count)
    for rows in (part.first, part.second):
        partners += np.bincount(rows, part.probability, len(partners))
    return np.array([*(len(np.unique(part.at(cut))) for cut in cuts), (1 / (1 + partners)).sum()], dtype=np.float64)


def count_ratios(tests: Sequence[PseudoTests], rule: ClusterRule, seed: int) -> Floats:
    """Return individuals for each one that `counts_of` counts, on random halves of the individuals of pseudo-tests.

    The array is (resamples, cuts + 1). The cuts are `rule.alike`: the count depends on the cut, although the scores do
    not tell these apart.
    """
    rng = np.random.default_rng([seed, 26])
    ratios = []
    for one in tests:
        individuals = np.unique(one.who[np.concatenate(one.rows)])
        for number in range(-(-_RESAMPLES // len(tests))):
            half = np.zeros(int(individuals.max()) + 1, dtype=bool)
            half[rng.permutation(individuals)[: max(2, (len(individuals) + 1) // 2)]] = True
            rows = one.rows[number % len(one.rows)]
            rows = rows[half[one.who[rows]]]
            if len(rows):
                ratios.append(len(np.unique(one.who[rows])) / counts_of(one.partitioner(rows, rule), rule.alike))
    return np.array(ratios).reshape(-1, len(rule.alike) + 1)


def count_interval(ratios: Floats, counts: Floats) -> tuple[float, float]:
    """Return a 90% interval of the number of individuals; both kinds of count have the same weight in it."""
    found = ratios * counts
    both = np.concatenate([found[:, :-1], np.repeat(found[:, -1:], len(counts) - 1, axis=1)])
    low, high = np.quantile(both, (0.05, 0.95))
    return float(low), float(high)


def _error(scores: Floats) -> float:
    """Return the standard error of the mean."""
    return float(scores.std(ddof=1) / np.sqrt(len(scores))) if len(scores) > 1 else 0.0
