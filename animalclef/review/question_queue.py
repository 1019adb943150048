"""Order the questions to a reviewer by how much their answers are expected to change the submitted names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from animalclef.decision.reviewed_answers import ReviewedAnimals, apply_reviewed, identity_options
from animalclef.store.finished_run import FinishedRun
from animalclef.structures import Predictions, ReviewedPairs

__all__ = ["Question", "QuestionQueue"]

_LEAST = 0.01  # expected changes below this are not worth a question


@dataclass(frozen=True)
class Question:
    """Whether a query shows the same animal as a database photograph.

    `change` is the expected number of submitted names that the answer changes: with probability p that both are the
    same, p where the query has another name now (or is new), and 1 - p where it has this one.
    """

    query_id: str
    gallery_id: str
    name: str  # of the individual in the database photograph
    submitted: str | None  # the query's name now; None: a new individual
    probability: float
    change: float


class QuestionQueue:
    """The questions that a finished run leaves open."""

    def __init__(self, run: FinishedRun) -> None:
        self._run = run
        self._options = identity_options(run.ranked)
        self._photograph: dict[tuple[str, str], str] = {}
        for query, gallery, name in zip(run.ranked.query_id, run.ranked.gallery_id, run.ranked.identity, strict=True):
            self._photograph.setdefault((query, name), gallery)  # the best of the individual comes first

    def open(self, reviewed: ReviewedPairs, unsure: Iterable[tuple[str, str]] = ()) -> list[Question]:
        """Return for each query its most useful question, the most useful one first.

        Pairs of an `unsure` answer are not asked about again, nor is another photograph of that individual.
        """
        images = self._run.images
        animals = ReviewedAnimals(reviewed, images)
        names = dict(zip(images.image_id, images.identity, strict=True))
        passed = {(a, names.get(b)) for pair in unsure for a, b in (pair, pair[::-1])}
        now = self.submitted(reviewed)
        questions = []
        for query, submitted in zip(now.image_id, now.identity, strict=True):
            if animals.name(query) is not None:
                continue
            beliefs = _beliefs(self._options.get(query, {}), animals.barred(query))
            asked = [(name, p) for name, p in beliefs.items() if (query, name) not in passed]
            best = max(
                (self._question(query, name, submitted, p) for name, p in asked),
                key=lambda one: one.change,
                default=None,
            )
            if best is not None and best.change >= _LEAST:
                questions.append(best)
        return sorted(questions, key=lambda one: -one.change)

    def submitted(self, reviewed: ReviewedPairs) -> Predictions:
        """Return the names as they are after these answers."""
        run = self._run
        return apply_reviewed(run.predictions, run.ranked, run.images, run.decision, reviewed)

    def probability(self, query: str, name: str | None) -> float | None:
        """Return the run's probability that a query shows an individual; `None` where it was no candidate."""
        return None if name is None else self._options.get(query, {}).get(name)

    def _question(self, query: str, name: str, submitted: str | None, probability: float) -> Question:
        change = 1 - probability if name == submitted else probability
        return Question(query, self._photograph[query, name], name, submitted, probability, change)


def _beliefs(options: dict[str, float], barred: frozenset[str]) -> dict[str, float]:
    """Return the probability of each individual that is left, given that the query shows none of the others.

    >>> _beliefs({"Luna": 0.5, "Tara": 0.3}, frozenset({"Luna"}))
    {'Tara': 0.6}
    """
    total = max(1.0, sum(options.values()))
    left = 1 - sum(options.get(name, 0.0) for name in barred) / total
    kept = {name: value / total for name, value in options.items() if name not in barred}
    return {name: min(1.0, value / left) if left > 1e-9 else 0.0 for name, value in kept.items()}
