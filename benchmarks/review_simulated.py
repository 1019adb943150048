"""Simulate a reviewer of a finished run: how the partition of its queries improves with the number of answers.

    python benchmarks/review_simulated.py RUN TRUTH.csv [--answers 0 50 100 200 400] [--right 0.98] [--unsure 0.1]

The reviewer answers "same" or "different" rightly with probability 0.98, and "can't tell" to one question in ten. Three
queues are compared: the program's own (expected number of names put right), the most probable open pair first, and
a random one of a query's best five individuals. Answers are counted for each data set. Told is the adjusted Rand index
of each data set's queries, grouped by submitted name; a new individual is a group of its own, or of the run's clusters.
The truth is the reviewer's knowledge, and nothing else sees it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from animalclef.data.csv_text import read_table
from animalclef.data.review_conflicts import consistent_pairs
from animalclef.decision.reviewed_answers import ReviewedAnimals, identity_options
from animalclef.metrics.clustering_metrics import score_datasets
from animalclef.review.question_queue import QuestionQueue
from animalclef.store.cluster_file import read_clusters
from animalclef.store.finished_run import FinishedRun, load_run
from animalclef.structures import ReviewedPairs

Pair = tuple[str, str]
Queue = Callable[["Review", str], Pair | None]


class Review:
    """The answers so far, and what follows from them."""

    def __init__(self, run: FinishedRun, right: float, unsure: float, seed: int, truth: dict[str, str]) -> None:
        self.run, self.truth, self.right, self.unsure_rate = run, truth, right, unsure
        self.rng = np.random.default_rng(seed)
        self.queue, self.options = QuestionQueue(run), identity_options(run.ranked)
        images = run.images
        self.dataset = dict(zip(images.image_id, images.dataset, strict=True))
        self.name = dict(zip(images.image_id, images.identity, strict=True))
        self.names = {one: (self.dataset[one], who) for one, who in self.name.items() if who is not None}
        self.best: dict[Pair, str] = {}
        for query, gallery, who in zip(run.ranked.query_id, run.ranked.gallery_id, run.ranked.identity, strict=True):
            self.best.setdefault((query, who), gallery)
        self.same: list[Pair] = []
        self.different: list[Pair] = []
        self.unsure: list[Pair] = []

    def ask(self, pair: Pair) -> None:
        """Let the simulated reviewer answer."""
        query, gallery = pair
        if self.rng.random() < self.unsure_rate:
            self.unsure.append(pair)
            return
        is_same = self.truth[query] == self.name[gallery]
        (self.same if is_same == (self.rng.random() < self.right) else self.different).append(pair)

    @property
    def reviewed(self) -> ReviewedPairs:
        """The answers without contradictions."""
        return consistent_pairs(self.same, self.different, self.names)

    def open_options(self, dataset: str) -> Iterator[tuple[float, Pair]]:
        """Yield probability and pair of every individual that a query of the data set may still show."""
        animals = ReviewedAnimals(self.reviewed, self.run.images)
        passed = {(query, self.name[gallery]) for query, gallery in self.unsure}
        for query, options in self.options.items():
            if self.dataset[query] != dataset or animals.name(query) is not None:
                continue
            barred = animals.barred(query)
            for who, probability in list(options.items())[:5]:
                if who not in barred and (query, who) not in passed:
                    yield probability, (query, self.best[query, who])

    def scores(self, groups: dict[str, str]) -> dict[str, float]:
        """Return the adjusted Rand index of every data set's queries."""
        now = self.queue.submitted(self.reviewed)
        label = [
            who if who is not None else groups.get(one, one)
            for one, who in zip(now.image_id, now.identity, strict=True)
        ]
        ids = [one for one in now.image_id if one in self.truth]
        of = dict(zip(now.image_id, label, strict=True))
        arrays = [np.array([table[one] for one in ids], dtype=object) for table in (self.truth, of, self.dataset)]
        return {name: one.ari for name, one in score_datasets(*arrays).datasets.items()}


def ours(review: Review, dataset: str) -> Pair | None:
    """The question whose answer is expected to put most names right."""
    asked = review.queue.open(review.reviewed, review.unsure)
    return next(((one.query_id, one.gallery_id) for one in asked if review.dataset[one.query_id] == dataset), None)


def probable(review: Review, dataset: str) -> Pair | None:
    """The most probable open pair."""
    return max(review.open_options(dataset), key=lambda one: one[0], default=(0.0, None))[1]


def anything(review: Review, dataset: str) -> Pair | None:
    """Any open pair."""
    pairs = [pair for _, pair in review.open_options(dataset)]
    return pairs[review.rng.integers(len(pairs))] if pairs else None


def main() -> None:
    """Simulate each queue, and print the scores after each number of answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--answers", type=int, nargs="+", default=[0, 50, 100, 200, 400])
    parser.add_argument("--right", type=float, default=0.98)
    parser.add_argument("--unsure", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    run = load_run(given.run)
    truth = {row["image_id"]: row["identity"] for row in read_table(given.truth).rows}
    clusters = read_clusters(run)
    groups = {} if clusters is None else dict(zip(clusters.image_id, clusters.label, strict=True))
    queues: dict[str, Queue] = {"expected gain": ours, "probability": probable, "random": anything}
    for name, queue in queues.items():
        review = Review(run, given.right, given.unsure, given.seed, truth)
        done = 0
        for goal in given.answers:
            for dataset in run.images.queries.datasets:
                for _ in range(goal - done):
                    pair = queue(review, dataset)
                    if pair is None:
                        break
                    review.ask(pair)
            done = goal
            scores = review.scores(groups)
            told = ", ".join(f"{dataset} {value:.3f}" for dataset, value in scores.items())
            print(f"{name}, {goal} answers: mean {np.mean(list(scores.values())):.3f} ({told})", flush=True)


if __name__ == "__main__":
    main()
