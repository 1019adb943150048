"""Answer queries as people did where they answered, and decide the rest of their queries again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from scipy.special import logit

from animalclef.decision.decision_model import DatasetDecision, Decision
from animalclef.structures import ImageTable, Predictions, RankedCandidates, ReviewedPairs

__all__ = ["ReviewedAnimals", "answered", "apply_reviewed", "decided", "with_reviewed_names"]

Options = Mapping[str, float]


class ReviewedAnimals:
    """What people's answers say about each photograph: which ones show one animal, its name, and which names it is not.

    Photographs that were called the same, directly or through others, share everything that is known of them.
    """

    def __init__(self, reviewed: ReviewedPairs, images: ImageTable) -> None:
        self._up: dict[str, str] = {}
        names = dict(zip(images.image_id, images.identity, strict=True))
        for first, second in reviewed.same:
            self._up[self._root(first)] = self._root(second)
        self._members: dict[str, list[str]] = defaultdict(list)
        self._barred: dict[str, set[str]] = defaultdict(set)
        self._apart: dict[str, list[str]] = defaultdict(list)
        self._name: dict[str, str] = {}
        for one in dict.fromkeys(image for pair in reviewed.same for image in pair):
            self._members[self._root(one)].append(one)
            if names.get(one) is not None:
                self._name[self._root(one)] = names[one]
        for pair in reviewed.different:
            for one, other in (pair, pair[::-1]):
                name = names.get(other) or self._name.get(self._root(other))
                self._apart[self._root(one)].append(other)
                if name is not None:
                    self._barred[self._root(one)].add(name)

    def group(self, image_id: str) -> list[str]:
        """Return the photographs that people called the same animal as this one, with it."""
        return self._members.get(self._root(image_id), [image_id])

    def told_apart(self, image_id: str) -> frozenset[str]:
        """Return photographs that people said show another animal than this one."""
        others = self._apart.get(self._root(image_id), ())
        return frozenset(one for other in others for one in self.group(other))

    def name(self, image_id: str) -> str | None:
        """Return the individual that people said this photograph shows; `None` where they did not."""
        return self._name.get(self._root(image_id))

    def barred(self, image_id: str) -> frozenset[str]:
        """Return the individuals that people said this photograph does not show."""
        return frozenset(self._barred.get(self._root(image_id), ()))

    def _root(self, one: str) -> str:
        while (above := self._up.get(one, one)) != one:
            one = above
        return one


def apply_reviewed(
    predictions: Predictions, ranked: RankedCandidates, images: ImageTable, decision: Decision, reviewed: ReviewedPairs
) -> Predictions:
    """Return the predictions with people's answers in place of the program's.

    A query that was called the same as a photograph of a named individual gets its name, with probability 1. An
    individual that it was called different from is no answer any more, and the query is decided among the others.
    Queries that were called the same get one answer, from the best probability of each individual among them. The
    column `reviewed` of the result says which of these it was: "named", "excluded" or "grouped".
    """
    if reviewed.is_empty:
        return predictions
    animals, dataset = ReviewedAnimals(reviewed, images), dict(zip(images.image_id, images.dataset, strict=True))
    return answered(predictions, ranked.individuals, animals, dataset, decision)


def answered(
    predictions: Predictions, options: Mapping[str, Options], animals: ReviewedAnimals, dataset: Mapping[str, str],
    decision: Decision,
) -> Predictions:  # fmt: skip
    """Return the same for answers and candidates that are at hand; `dataset` is that of each image_id."""
    identity, probability = predictions.identity.copy(), predictions.probability.copy()
    said = ["" for _ in identity]
    for row, image_id in enumerate(predictions.image_id):
        group, barred, name = animals.group(image_id), animals.barred(image_id), animals.name(image_id)
        if name is not None:
            identity[row], probability[row], said[row] = name, 1.0, "named"
        elif barred or len(group) > 1:
            left: dict[str, float] = {}
            for one in group:
                for who, value in options.get(one, {}).items():
                    if who not in barred:
                        left[who] = max(value, left.get(who, 0.0))
            identity[row], probability[row] = decided(left, decision.of(dataset[image_id]))
            said[row] = "excluded" if barred else "grouped"
    return Predictions(predictions.image_id, identity, probability, np.array(said, dtype=object))


def with_reviewed_names(images: ImageTable, reviewed: ReviewedPairs) -> ImageTable:
    """Return the table with photographs that people named as named database photographs.

    A photograph that was called the same as one of a named individual gets its name; two or more without a name that
    were called the same are a new individual, `reviewed_` with the first one's image_id.
    """
    animals, identity = ReviewedAnimals(reviewed, images), images.identity.copy()
    taken = {who for who in images.identity if who is not None}
    new: dict[str, str] = {}
    for row, image_id in enumerate(images.image_id):
        if identity[row] is not None:
            continue
        identity[row], group = animals.name(image_id), animals.group(image_id)
        if identity[row] is None and len(group) > 1:
            if group[0] not in new:
                name = f"reviewed_{image_id}"
                while name in taken:
                    name += "_"
                taken.add(name)
                new[group[0]] = name
            identity[row] = new[group[0]]
    unnamed = np.array([who is None for who in identity], dtype=bool)
    return images.with_columns(identity=identity, is_query=images.is_query & unnamed)


def decided(options: Options, rule: DatasetDecision) -> tuple[str | None, float]:
    """Return the best individual, or `None` below the threshold or the margin, and its probability."""
    best = sorted(options.items(), key=lambda pair: -pair[1])
    if not best:
        return None, 0.0
    name, probability = best[0]
    second = best[1][1] if len(best) > 1 else 0.0
    slope = 1.0 if rule.answer_curve is None else rule.answer_curve.slope
    with np.errstate(invalid="ignore", divide="ignore"):
        lead = (logit(probability) - logit(second)) / slope  # the margin is in log-odds before that curve
    return (name if probability >= rule.threshold and (rule.margin <= 0 or lead >= rule.margin) else None), probability
