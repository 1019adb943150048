"""Simulate a reviewer of a finished run: how the partition of its queries improves with the number of answers.

    python benchmarks/review_simulated.py RUN TRUTH.csv [--answers 0 50 100 200 400] [--right 0.98] [--unsure 0.1]

The reviewer answers "same" or "different" rightly with probability 0.98, and "can't tell" to one question in ten. Three
queues are compared: the program's own (expected number of photographs put right), the most probable open pair first,
and a random pair. The last two ask about a query's best five individuals and, where it is answered as new, its best
five links to other new ones. Answers are counted for each data set. Told is the adjusted Rand index of each data set's
queries, grouped by name; new ones are grouped as `cluster --reviewed` does, by the run's links, rule and the answers.
The truth is the reviewer's knowledge, and nothing else sees it.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from animalclef.clustering.constraints import Constraints, constrained
from animalclef.clustering.partition import Partitioner
from animalclef.data.review_conflicts import consistent_pairs
from animalclef.data.table_file import read_table
from animalclef.metrics.clustering_metrics import score_clusters
from animalclef.review.question_queue import QuestionQueue
from animalclef.store.cluster_file import read_clusters
from animalclef.store.finished_run import FinishedRun, load_run
from animalclef.structures import Predictions, RankedCandidates, ReviewedPairs
from animalclef.structures.clusters import Clusters, Links

Pair = tuple[str, str]
Queue = Callable[["Review"], Pair | None]
_BEST = 5


class Review:
    """The answers about one data set so far, and what follows from them."""

    def __init__(
        self, run: FinishedRun, clusters: Clusters | None, right: float, unsure: float, seed: int, truth: dict[str, str]
    ) -> None:
        self.run, self.truth, self.right, self.unsure_rate = run, truth, right, unsure
        self.rng = np.random.default_rng(seed)
        self.queue, self.options = QuestionQueue(run, clusters), run.ranked.individuals
        images = run.images
        self.name = dict(zip(images.image_id, images.identity, strict=True))
        self.names = {one: who for one, who in self.name.items() if who is not None}
        self.best: dict[Pair, str] = {}
        for query, gallery, who in zip(run.ranked.query_id, run.ranked.gallery_id, run.ranked.identity, strict=True):
            self.best.setdefault((query, who), gallery)
        links = Links() if clusters is None else clusters.links
        self.links = list(zip(links.probability.tolist(), links.first, links.second, strict=True))
        self.same: list[Pair] = []
        self.different: list[Pair] = []
        self.unsure: list[Pair] = []

    def ask(self, pair: Pair) -> None:
        """Let the simulated reviewer answer."""
        if self.rng.random() < self.unsure_rate:
            self.unsure.append(pair)
            return
        one, other = (self.name[image] or self.truth[image] for image in pair)
        is_same = one == other
        (self.same if is_same == (self.rng.random() < self.right) else self.different).append(pair)

    @property
    def reviewed(self) -> ReviewedPairs:
        """The answers without contradictions."""
        return consistent_pairs(self.same, self.different, self.names)

    def open_options(self) -> Iterator[tuple[float, Pair]]:
        """Yield probability and pair of every individual, and new one, that a query may still show."""
        left = self.queue.open(self.reviewed, self.unsure)
        animals, passed = left.animals, {one for pair in self.unsure for one in (pair, pair[::-1])}
        named = {(query, self.name[other]) for query, other in passed}
        for query, options in self.options.items():
            if animals.name(query) is not None:
                continue
            barred = animals.barred(query)
            for who, probability in list(options.items())[:_BEST]:
                if who not in barred and (query, who) not in named:
                    yield probability, (query, self.best[query, who])
        new = {one for one, who in zip(left.submitted.image_id, left.submitted.identity, strict=True) if who is None}
        count: dict[str, int] = defaultdict(int)
        for probability, one, other in sorted(self.links, reverse=True):
            settled = other in animals.group(one) or other in animals.told_apart(one) or (one, other) in passed
            if new.issuperset((one, other)) and not settled and min(count[one], count[other]) < _BEST:
                count[one] += 1
                count[other] += 1
                yield probability, (one, other)

    def score(self, cut: float) -> float:
        """Return the adjusted Rand index of the queries."""
        reviewed = self.reviewed
        now = self.queue.open(reviewed).submitted
        label = {one: who or "" for one, who in zip(now.image_id, now.identity, strict=True)}
        new = [one for one, who in label.items() if not who]
        row = {one: number for number, one in enumerate(new)}
        kept = [(row[a], row[b], p) for p, a, b in self.links if a in row and b in row]
        pairs = [tuple(sorted(one[:2])) for one in kept]
        first, second = (np.array([one[side] for one in pairs], dtype=np.int64) for side in (0, 1))
        same, different = (
            [one for one in said if set(one) <= row.keys()] for said in (reviewed.same, reviewed.different)
        )
        forest = constrained(new, Constraints(same, different), {})
        parts = Partitioner(forest, first, second, np.array([p for *_, p in kept]))
        numbers = parts.at(cut).tolist() if new else []
        label |= {one: f"new {number}" for one, number in zip(new, numbers, strict=True)}
        ids = [one for one in label if one in self.truth]
        told, true = (np.array([table[one] for one in ids], dtype=object) for table in (label, self.truth))
        return score_clusters(true, told).ari


def part_of(run: FinishedRun, clusters: Clusters | None, dataset: str) -> tuple[FinishedRun, Clusters | None]:
    """Return what a run and its clusters say of one data set."""
    images = run.images.select(run.images.dataset == dataset)
    mine = run.ranked.dataset == dataset
    columns = {name: getattr(run.ranked, name)[mine] for name in (
        "query_id", "gallery_id", "identity", "dataset", "probability", "identity_probability", "lead")}  # fmt: skip
    asked = np.isin(run.predictions.image_id, images.image_id)
    predictions = Predictions(
        *(getattr(run.predictions, name)[asked] for name in ("image_id", "identity", "probability"))
    )
    part = replace(run, images=images, ranked=RankedCandidates(**columns), predictions=predictions)
    if clusters is None:
        return part, None
    rows, links = clusters.dataset == dataset, clusters.links
    kept = np.isin(links.first, images.image_id)
    links = Links(links.first[kept], links.second[kept], links.probability[kept])
    columns = {name: getattr(clusters, name)[rows] for name in ("image_id", "dataset", "number", "individual")}
    return part, Clusters(**columns, counts=clusters.counts, links=links)


def ours(review: Review) -> Pair | None:
    """The question whose answer is expected to put most photographs right."""
    asked = review.queue.open(review.reviewed, review.unsure).questions
    return (asked[0].query_id, asked[0].gallery_id) if asked else None


def probable(review: Review) -> Pair | None:
    """The most probable open pair."""
    return max(review.open_options(), key=lambda one: one[0], default=(0.0, None))[1]


def anything(review: Review) -> Pair | None:
    """Any open pair."""
    pairs = [pair for _, pair in review.open_options()]
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
    counts = {} if clusters is None else clusters.counts
    queues: dict[str, Queue] = {"expected gain": ours, "probability": probable, "random": anything}
    for dataset in run.images.queries.datasets:
        cut = float(counts[dataset].rule["cut"]) if dataset in counts else 1.0
        for name, queue in queues.items():
            review = Review(*part_of(run, clusters, dataset), given.right, given.unsure, given.seed, truth)
            scores, done = [], 0
            for goal in given.answers:
                for _ in range(goal - done):
                    pair = queue(review)
                    if pair is None:
                        break
                    review.ask(pair)
                done = goal
                scores.append(f"{review.score(cut):.3f} after {len(review.same + review.different + review.unsure)}")
            print(f"{dataset}, {name}: {', '.join(scores)}", flush=True)


if __name__ == "__main__":
    main()
