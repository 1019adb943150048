"""Compare a run's answers with the truth: outcomes, the score with its interval, threshold sweeps, confusions."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from animalclef.data.pseudo_query import OpenSetSplits
from animalclef.data.submission import Truth
from animalclef.evaluation.evaluate import Interval
from animalclef.metrics.competition import identity_rank
from animalclef.metrics.threshold_sweep import Answers as BestValues
from animalclef.metrics.threshold_sweep import Roles, Sweep, sweep
from animalclef.structures import ImageTable, Predictions, RankedCandidates, StrArray
from animalclef.structures.arrays import Floats, text_array

__all__ = [
    "OUTCOMES",
    "Answers",
    "Confused",
    "judge",
    "most_confused",
    "score_intervals",
    "sweep_thresholds",
]

Outcome = Literal["right", "misidentification", "false acceptance", "false rejection"]
OUTCOMES: tuple[Outcome, ...] = ("right", "misidentification", "false acceptance", "false rejection")


@dataclass(frozen=True, eq=False)
class Answers:
    """The queries of a truth file, each with its answer.

    Outcomes: `right`; `misidentification`, a known individual given another's name; `false acceptance`, an unknown
    individual given a name; `false rejection`, a known individual answered as new.
    """

    image_id: StrArray  # (q,)
    dataset: StrArray  # (q,)
    truth: StrArray  # (q,) the individual
    known: NDArray[np.bool_]  # (q,) the individual is in the gallery
    answer: StrArray  # (q,) str or None
    probability: Floats  # (q,) of the best individual, 0 without candidates
    best: StrArray  # (q,) the best individual, None without candidates
    rank: Floats  # (q,) rank of the true individual among the candidates' individuals; infinity where absent
    outcome: StrArray  # (q,) one of OUTCOMES

    def __len__(self) -> int:
        return len(self.image_id)

    @property
    def datasets(self) -> list[str]:
        """Data set names, sorted."""
        return sorted(set(self.dataset))

    def of(self, dataset: str) -> Answers:
        """Return the queries of one data set."""
        rows = self.dataset == dataset
        return replace(self, **{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})

    def sweep(self, threshold: float) -> Sweep:
        """Return the score that every threshold, `threshold` among them, would have had on these queries."""
        right = self.known & np.array([one == who for one, who in zip(self.best, self.truth, strict=True)], dtype=bool)
        value = np.where([who is None for who in self.best], -np.inf, self.probability)
        splits = OpenSetSplits(self.image_id, self.truth, self.known[None, :], ~self.known[None, :])
        return sweep_thresholds(value, right, value, splits, threshold)


def sweep_thresholds(
    known: Floats, right: NDArray[np.bool_], unknown: Floats, splits: OpenSetSplits, also: float = 0.0
) -> Sweep:
    """Score the thresholds half-way between neighbouring values, 0, 1 and `also`.

    Per query `known` is the value of its best candidate with its individual in the gallery, `right` marks that this
    candidate is the individual, and `unknown` is the value without the individual; minus infinity is no candidate. For
    real queries `known` and `unknown` are the same.
    """
    values = np.unique(np.concatenate([known, unknown, [0.0, 1.0]]))
    values = values[np.isfinite(values)]
    threshold = np.unique(np.concatenate([[0.0, also, 1.0], (values[1:] + values[:-1]) / 2]))
    return sweep(BestValues(known, right, unknown), Roles.of(splits), threshold)


def judge(truth: Truth, images: ImageTable, ranked: RankedCandidates, predictions: Predictions) -> Answers:
    """Compare every answer with the truth; queries that are not in the truth file are left out."""
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
        best=text_array([names[0] if names else None for names in listed]),
        rank=np.array(ranks, dtype=np.float64),
        outcome=text_array([_outcome(*one) for one in zip(identity, known, answer, strict=True)]),
    )


def _outcome(identity: str, known: bool, answer: str | None) -> Outcome:
    if known:
        return "false rejection" if answer is None else "right" if answer == identity else "misidentification"
    return "right" if answer is None else "false acceptance"


def score_intervals(answers: Answers, draws: int = 1000, seed: int = 0) -> dict[str | None, Interval]:
    """Return the official score per data set, and their mean under `None`, with 95% bootstrap intervals.

    Individuals are drawn with replacement, known and unknown ones separately.
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
    """Return the share of right answers of every individual among some queries."""
    hits: dict[str, list[bool]] = defaultdict(list)
    for who, outcome in zip(answers.truth[rows], answers.outcome[rows], strict=True):
        hits[who].append(outcome == "right")
    return np.array([np.mean(hits[who]) for who in sorted(hits)], dtype=np.float64)


def _interval(point: float, drawn: Floats) -> Interval:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(point), float(low), float(high))


@dataclass(frozen=True)
class Confused:
    """One individual's wrong answers; `None` is a new individual."""

    dataset: str
    identity: str
    known: bool
    queries: int
    right: int
    answers: list[tuple[str | None, int]]  # wrong answers, the most frequent first


def most_confused(answers: Answers, most: int = 15) -> list[Confused]:
    """Return the individuals with the most wrong answers, the worst first."""
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
