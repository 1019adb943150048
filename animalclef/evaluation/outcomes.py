"""A run's answers beside what its queries really show: outcomes, the score with its interval, and what charts need."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from animalclef.data.open_set_splits import OpenSetSplits
from animalclef.data.submission import Truth
from animalclef.evaluation.evaluate import Interval
from animalclef.metrics.competition import identity_rank
from animalclef.metrics.threshold_sweep import Answers as BestValues
from animalclef.metrics.threshold_sweep import Roles, Sweep, sweep
from animalclef.structures import ImageTable, Predictions, RankedCandidates, StrArray

__all__ = [
    "OUTCOMES",
    "Answers",
    "Confused",
    "judge",
    "misses_by",
    "most_confused",
    "score_intervals",
    "sweep_thresholds",
]

Outcome = Literal["right", "wrong known", "missed new", "false new"]
OUTCOMES: tuple[Outcome, ...] = ("right", "wrong known", "missed new", "false new")

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answers:
    """The queries that a truth speaks of, each with its answer.

    `right`: named right, or rightly new; `wrong known`: a known animal with another's name; `missed new`: an unknown
    animal that was given a name; `false new`: a known animal answered as new.
    """

    image_id: StrArray  # (q,)
    dataset: StrArray  # (q,)
    truth: StrArray  # (q,) the individual
    known: NDArray[np.bool_]  # (q,) whether the gallery has the individual
    answer: StrArray  # (q,) str or None
    probability: Floats  # (q,) of the best candidate, 0 without one
    best: StrArray  # (q,) the best candidate's individual, None without one
    rank: Floats  # (q,) place of the true individual among the candidates' individuals; infinity where absent
    outcome: StrArray  # (q,) one of OUTCOMES

    def __len__(self) -> int:
        return len(self.image_id)

    @property
    def datasets(self) -> list[str]:
        """Data set names, sorted."""
        return sorted(set(self.dataset))

    def of(self, dataset: str) -> Answers:
        """The queries of one data set."""
        rows = self.dataset == dataset
        return replace(self, **{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})

    def sweep(self, threshold: float) -> Sweep:
        """The score of every threshold, had it been applied to these queries; the one named is among them."""
        right = self.known & np.array([one == who for one, who in zip(self.best, self.truth, strict=True)], dtype=bool)
        value = np.where([who is None for who in self.best], -np.inf, self.probability)
        splits = OpenSetSplits(self.image_id, self.truth, self.known[None, :], ~self.known[None, :])
        return sweep_thresholds(value, right, value, splits, threshold)


def sweep_thresholds(
    known: Floats, right: NDArray[np.bool_], unknown: Floats, splits: OpenSetSplits, also: float = 0.0
) -> Sweep:
    """Score thresholds half-way between neighbouring values, 0 and 1, and the one that is `also` asked for.

    Per query `known` is the value of its best candidate with its individual in the gallery, `right` whether that names
    it, `unknown` the value without; minus infinity is no candidate. Of one split of real queries both are the same.
    """
    values = np.unique(np.concatenate([known, unknown, [0.0, 1.0]]))
    values = values[np.isfinite(values)]
    threshold = np.unique(np.concatenate([[0.0, also, 1.0], (values[1:] + values[:-1]) / 2]))
    alone = np.full(len(known), np.inf)
    return sweep(BestValues(known, right, unknown, alone, alone), Roles.of(splits), threshold)


def judge(truth: Truth, images: ImageTable, ranked: RankedCandidates, predictions: Predictions) -> Answers:
    """Compare every answer with the truth; queries that the truth does not name are left out."""
    row_of = {image_id: row for row, image_id in enumerate(predictions.image_id)}
    kept = np.array([image_id in row_of for image_id in truth.image_id], dtype=bool)
    rows = np.array([row_of[image_id] for image_id in truth.image_id[kept]], dtype=np.int64)
    candidates: dict[str, list[str]] = defaultdict(list)
    for query_id, identity in zip(ranked.query_id, ranked.identity, strict=True):
        candidates[query_id].append(identity)
    listed = [candidates.get(image_id, []) for image_id in truth.image_id[kept]]
    identity, known = truth.identity[kept], truth.known[kept]
    ranks = [identity_rank(np.array(names, dtype=object), who) for names, who in zip(listed, identity, strict=True)]
    answer = predictions.identity[rows]
    return Answers(
        image_id=truth.image_id[kept],
        dataset=truth.dataset[kept],
        truth=identity,
        known=known,
        answer=answer,
        probability=predictions.probability[rows],
        best=_objects([names[0] if names else None for names in listed]),
        rank=np.array(ranks, dtype=np.float64),
        outcome=_objects([_outcome(*one) for one in zip(identity, known, answer, strict=True)]),
    )


def _outcome(identity: str, known: bool, answer: str | None) -> Outcome:
    if known:
        return "false new" if answer is None else "right" if answer == identity else "wrong known"
    return "right" if answer is None else "missed new"


def score_intervals(answers: Answers, draws: int = 1000, seed: int = 0) -> dict[str | None, Interval]:
    """The official score per data set, and of all under `None`, with the 95 % bootstrap interval over individuals.

    Known and unknown individuals are drawn apart, each as many as there are.
    """
    rng = np.random.default_rng([seed, 6])
    points, drawn = [], []
    for name in answers.datasets:
        part = answers.of(name)
        sides = [_share_right(part, part.known), _share_right(part, ~part.known)]
        points.append(np.sqrt(np.prod([side.mean() if len(side) else 0.0 for side in sides])))
        samples = [
            rng.choice(side, (draws, len(side))).mean(axis=1) if len(side) else np.zeros(draws) for side in sides
        ]
        drawn.append(np.sqrt(samples[0] * samples[1]))
    intervals: dict[str | None, Interval] = {
        name: _interval(*one) for name, *one in zip(answers.datasets, points, drawn, strict=True)
    }
    if points:
        intervals[None] = _interval(np.mean(points), np.mean(drawn, axis=0))
    return intervals


def _share_right(answers: Answers, rows: NDArray[np.bool_]) -> Floats:
    """Of every individual among some queries, the share that was answered right."""
    hits: dict[str, list[bool]] = defaultdict(list)
    for who, outcome in zip(answers.truth[rows], answers.outcome[rows], strict=True):
        hits[who].append(outcome == "right")
    return np.array([np.mean(hits[who]) for who in sorted(hits)], dtype=np.float64)


def _interval(point: float, drawn: Floats) -> Interval:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(point), float(low), float(high))


@dataclass(frozen=True)
class Confused:
    """One individual's wrongly answered queries, and the names they were given; `None` is a new individual."""

    dataset: str
    identity: str
    known: bool
    queries: int
    right: int
    answers: list[tuple[str | None, int]]  # wrong answers, the most frequent first


def most_confused(answers: Answers, most: int = 15) -> list[Confused]:
    """The individuals with the most wrongly answered queries."""
    groups: dict[tuple[str, str, bool], list[int]] = defaultdict(list)
    for row, group in enumerate(zip(answers.dataset, answers.truth, answers.known.tolist(), strict=True)):
        groups[group].append(row)
    found = []
    for (dataset, identity, known), rows in groups.items():
        wrong: Counter[str | None] = Counter(answers.answer[row] for row in rows if answers.outcome[row] != "right")
        given = sorted(wrong.items(), key=lambda item: (-item[1], item[0] or ""))
        if given:
            found.append(Confused(dataset, identity, known, len(rows), len(rows) - wrong.total(), given))
    found.sort(key=lambda one: (one.right - one.queries, one.right / one.queries, one.dataset, one.identity))
    return found[:most]


def misses_by(answers: Answers, value_of: Mapping[str, str]) -> list[tuple[str, int, int]]:
    """Per value of something known of the photographs: how many queries, and how many were answered right."""
    groups: dict[str, list[bool]] = defaultdict(list)
    for image_id, outcome in zip(answers.image_id, answers.outcome, strict=True):
        groups[value_of.get(image_id, "")].append(outcome == "right")
    return [(value, len(hits), sum(hits)) for value, hits in sorted(groups.items())]


def _objects(values: list[str | None] | list[str] | list[Outcome]) -> StrArray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
