"""Order the questions to a reviewer by how many photographs' individuals their answers are expected to put right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from animalclef.decision.reviewed_answers import ReviewedAnimals, answered, decided
from animalclef.store.finished_run import FinishedRun
from animalclef.structures import Predictions, ReviewedPairs
from animalclef.structures.clusters import Clusters

__all__ = ["OpenQuestions", "Question", "QuestionQueue"]

_LEAST = 0.01  # a question that puts fewer photographs right on average is not asked


@dataclass(frozen=True)
class Question:
    """Whether a query shows the same animal as a database photograph, or as another query that is answered as new.

    `gain` is the expected number of photographs whose individual the answer puts right. A yes about a database
    photograph makes the name right; a no leaves the name that is decided without this individual. A yes about two
    groups of new ones joins the smaller one to the other; a no takes one photograph out of its group. `change` is the
    probability that the answer changes anything.
    """

    query_id: str
    gallery_id: str
    name: str | None  # of the individual in the database photograph; None: the other one is a query, too
    submitted: str | None  # the query's name now; None: a new individual
    probability: float
    change: float
    gain: float
    together: bool = False  # two queries that are grouped as one animal


@dataclass(frozen=True, eq=False)
class OpenQuestions:
    """What is left to ask after some answers, the most useful question first, and the names after these answers."""

    questions: list[Question]
    submitted: Predictions
    animals: ReviewedAnimals


class QuestionQueue:
    """The questions that a finished run leaves open; `clusters` say who its new ones are to each other."""

    def __init__(self, run: FinishedRun, clusters: Clusters | None = None) -> None:
        self._run, images = run, run.images
        self._options = run.ranked.individuals
        self._dataset = dict(zip(images.image_id, images.dataset, strict=True))
        self._name = dict(zip(images.image_id, images.identity, strict=True))
        self._photograph: dict[tuple[str, str], str] = {}
        for query, gallery, name in zip(run.ranked.query_id, run.ranked.gallery_id, run.ranked.identity, strict=True):
            self._photograph.setdefault((query, name), gallery)  # the best of the individual comes first
        self._label: dict[str, str] = {}  # the group of each query
        self._link: dict[tuple[str, str], float] = {}
        if clusters is not None:
            labels, new = zip(clusters.image_id, clusters.label, strict=True), clusters.new_names
            self._label = {one: label for one, label in labels if one in new}
            links = clusters.links
            pairs = zip(links.first, links.second, links.probability.tolist(), strict=True)
            self._link = {(one, other): probability for one, other, probability in pairs}

    def open(self, reviewed: ReviewedPairs, unsure: Iterable[tuple[str, str]] = ()) -> OpenQuestions:
        """Return for each query its most useful question, the most useful one first.

        Pairs of an `unsure` answer are not asked about again, nor is another photograph of that individual.
        """
        animals = ReviewedAnimals(reviewed, self._run.images)
        now = answered(self._run.predictions, self._options, animals, self._dataset, self._run.decision)
        passed = {one for pair in unsure for one in (pair, pair[::-1])}
        best: dict[str, Question] = {}
        for one in (*self._about_known(now, animals, passed), *self._about_new(now, animals, passed)):
            before = best.get(one.query_id)
            if before is None or (round(one.gain, 9), one.probability) > (round(before.gain, 9), before.probability):
                best[one.query_id] = one
        questions = [best[query] for query in now.image_id if query in best and best[query].gain >= _LEAST]
        return OpenQuestions(sorted(questions, key=lambda one: -one.gain), now, animals)

    def probability(self, one: str, other: str) -> float | None:
        """Return the run's probability that a query shows the animal of another photograph; `None` for no candidate."""
        name = self._name[other]
        if name is None:
            return self._link.get((one, other), self._link.get((other, one)))
        return self._options.get(one, {}).get(name)

    def group(self, image_id: str) -> list[str]:
        """Return the queries that the run grouped with this one."""
        label = self._label.get(image_id)
        return [one for one, other in self._label.items() if other == label] if label is not None else [image_id]

    def _about_known(
        self, now: Predictions, animals: ReviewedAnimals, passed: set[tuple[str, str]]
    ) -> Iterator[Question]:
        named = {(query, self._name.get(other)) for query, other in passed}
        for query, submitted in zip(now.image_id, now.identity, strict=True):
            if animals.name(query) is not None:
                continue
            barred = animals.barred(query)
            beliefs = _beliefs(self._options.get(query, {}), barred)
            for name, belief in beliefs.items():
                if (name == submitted or belief >= _LEAST) and (query, name) not in named:
                    yield self._question(query, name, submitted, beliefs, barred)

    def _about_new(
        self, now: Predictions, animals: ReviewedAnimals, passed: set[tuple[str, str]]
    ) -> Iterator[Question]:
        """Yield pairs of queries that are both new by now; a yes joins their groups, a no parts them."""
        new = {one for one, who in zip(now.image_id, now.identity, strict=True) if who is None}
        same = [(one, other) for query in new for one, other in [(query, animals.group(query)[0])] if one != other]
        first: dict[str, str] = {}
        grouped = [(one, first.setdefault(self._label.get(one, one), one)) for one in now.image_id if one in new]
        groups = ReviewedAnimals(ReviewedPairs(same=(*grouped, *same)), self._run.images)
        root = {one: groups.group(one)[0] for one in new}
        size = Counter(root.values())
        for (one, other), probability in self._link.items():
            if one not in new or other not in new or (one, other) in passed:
                continue
            if other in animals.group(one) or other in animals.told_apart(one):
                continue
            together = root[one] == root[other]
            change = 1 - probability if together else probability
            gain = change if together else change * min(size[root[one]], size[root[other]])
            yield Question(one, other, None, None, probability, change, gain, together)

    def _question(
        self, query: str, name: str, submitted: str | None, beliefs: Mapping[str, float], barred: frozenset[str]
    ) -> Question:
        probability, gallery = beliefs[name], self._photograph[query, name]
        if name != submitted:  # a no changes nothing
            return Question(query, gallery, name, submitted, probability, probability, probability)
        options = {who: p for who, p in self._options[query].items() if who != name and who not in barred}
        after, _ = decided(options, self._run.decision.of(self._dataset[query]))
        gain = 1 - sum(beliefs.values()) if after is None else beliefs[after]
        return Question(query, gallery, name, submitted, probability, 1 - probability, gain)


def _beliefs(options: dict[str, float], barred: frozenset[str]) -> dict[str, float]:
    """Return the probability of each individual that is left: its own, times that of all better ones being wrong.

    The best individual keeps the probability that the answers file gives it.

    >>> _beliefs({"Luna": 0.5, "Tara": 0.4, "Mia": 0.5}, frozenset({"Mia"}))
    {'Luna': 0.5, 'Tara': 0.2}
    """
    beliefs, left = {}, 1.0
    for name, probability in sorted(options.items(), key=lambda option: -option[1]):
        if name not in barred:
            beliefs[name] = left * probability
            left *= 1 - probability
    return beliefs
