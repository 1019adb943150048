"""The jobs that a matcher takes, and the finished batches that it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from animalclef.runtime.threads import one_thread_each, worker_threads
from animalclef.structures import FloatArray, LocalFeatures, MatchKey

__all__ = ["FeatureReader", "IsDone", "Job", "Matched", "Pair", "by_query", "whole_jobs", "windows"]

FeatureReader = Callable[[MatchKey], LocalFeatures]
Pair = tuple[MatchKey, MatchKey]
IsDone = Callable[[Pair], bool]  # the pair is in the log


@dataclass(frozen=True)
class Job:
    """One image and what it is to be matched with, by match key."""

    query: MatchKey
    candidates: tuple[MatchKey, ...]

    @property
    def pairs(self) -> list[Pair]:
        """Return each pair as (query, candidate)."""
        return [(self.query, candidate) for candidate in self.candidates]


@dataclass(frozen=True, eq=False)
class Matched:
    """One finished batch of pairs."""

    pairs: Sequence[Pair]
    scores: FloatArray  # (pairs, columns)


def by_query(
    match: Callable[[LocalFeatures, Sequence[LocalFeatures]], FloatArray],
    jobs: Sequence[Job],
    is_done: IsDone,
    read: FeatureReader,
    workers: int,
) -> Iterator[Matched]:
    """Yield a batch per query, in order; for matchers that score a pair the same whatever is matched beside it."""

    def work(job: Job) -> Matched:
        return Matched(job.pairs, match(read(job.query), [read(key) for key in job.candidates]))

    left = [Job(job.query, tuple(pair[1] for pair in job.pairs if not is_done(pair))) for job in jobs]
    left = [job for job in left if job.candidates]
    with one_thread_each(), worker_threads(workers) as pool:
        for start in range(0, len(left), 8 * workers):
            yield from pool.map(work, left[start : start + 8 * workers])


def whole_jobs(jobs: Iterable[Job], pairs: int) -> Iterator[list[Job]]:
    """Yield whole jobs together, at least `pairs` pairs at a time."""
    gathered: list[Job] = []
    count = 0
    for job in jobs:
        gathered.append(job)
        count += len(job.candidates)
        if count >= pairs:
            yield gathered
            gathered, count = [], 0
    if count:
        yield gathered


def windows(jobs: Sequence[Job], pairs: int) -> Iterator[list[Pair]]:
    """Yield the pairs of whole jobs together, at least `pairs` at a time; each pair has its lower match key first.

    What lies in a window depends on the jobs alone, never on what is done already.
    """
    for some in whole_jobs(jobs, pairs):
        yield [(min(pair), max(pair)) for job in some for pair in job.pairs]
