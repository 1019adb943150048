"""Order the questions to a reviewer by how many submitted names their answers are expected to put right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from animalclef.decision.reviewed_answers import ReviewedAnimals, apply_reviewed, decided, identity_options
from animalclef.store.finished_run import FinishedRun
from animalclef.structures import Predictions, ReviewedPairs

__all__ = ["Question", "QuestionQueue"]

_LEAST = 0.01  # a question that puts fewer names right on average is not asked


@dataclass(frozen=True)
class Question:
    """Whether a query shows the same animal as a database photograph.

    `gain` is the expected number of names that the answer puts right. A yes makes the name right; a no leaves the name
    that is decided without this individual. `change` is the probability that the answer changes the name at all.
    """

    query_id: str
    gallery_id: str
    name: str  # of the individual in the database photograph
    submitted: str | None  # the query's name now; None: a new individual
    probability: float
    change: float
    gain: float


class QuestionQueue:
    """The questions that a finished run leaves open."""

    def __init__(self, run: FinishedRun) -> None:
        self._run = run
        self._options = identity_options(run.ranked)
        self._dataset = dict(zip(run.images.image_id, run.images.dataset, strict=True))
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
            barred = animals.barred(query)
            beliefs = _beliefs(self._options.get(query, {}), barred)
            asked = [name for name in beliefs if (query, name) not in passed]
            offered = (self._question(query, name, submitted, beliefs, barred) for name in asked)
            best = max(offered, key=lambda one: (round(one.gain, 9), one.probability), default=None)
            if best is not None and best.gain >= _LEAST:
                questions.append(best)
        return sorted(questions, key=lambda one: -one.gain)

    def submitted(self, reviewed: ReviewedPairs) -> Predictions:
        """Return the names as they are after these answers."""
        run = self._run
        return apply_reviewed(run.predictions, run.ranked, run.images, run.decision, reviewed)

    def probability(self, query: str, name: str | None) -> float | None:
        """Return the run's probability that a query shows an individual; `None` where it was no candidate."""
        return None if name is None else self._options.get(query, {}).get(name)

    def _question(
        self, query: str, name: str, submitted: str | None, beliefs: Mapping[str, float], barred: frozenset[str]
    ) -> Question:
        probability, new = beliefs[name], 1 - sum(beliefs.values())
        if name != submitted:  # a no changes nothing
            return Question(
                query, self._photograph[query, name], name, submitted, probability, probability, probability
            )
        options = {who: p for who, p in self._options[query].items() if who != name and who not in barred}
        after, _ = decided(options, self._run.decision.of(self._dataset[query]))
        gain = new if after is None else beliefs[after]
        return Question(query, self._photograph[query, name], name, submitted, probability, 1 - probability, gain)


def _beliefs(options: dict[str, float], barred: frozenset[str]) -> dict[str, float]:
    """Return the probability of each individual that is left, given that the query shows none of the others.

    >>> _beliefs({"Luna": 0.5, "Tara": 0.3}, frozenset({"Luna"}))
    {'Tara': 0.6}
    """
    total = max(1.0, sum(options.values()))
    left = 1 - sum(options.get(name, 0.0) for name in barred) / total
    kept = {name: value / total for name, value in options.items() if name not in barred}
    return {name: min(1.0, value / left) if left > 1e-9 else 0.0 for name, value in kept.items()}
