"""Stage two: match every pair of a shortlist once, and keep its scores in the pair log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from animalclef.engine.work import Engine, ThisMachine, ThreadedWork
from animalclef.matching.jobs import FeatureReader, IsDone, Job, Matched, Pair, whole_jobs
from animalclef.runtime.progress import Progress
from animalclef.store.pair_log import PairLog
from animalclef.structures import ImageTable, PairScores, Shortlist, StrArray
from animalclef.structures.arrays import BoolArray

__all__ = ["Matcher", "rerank", "scores_without_matching"]


class Matcher(Protocol):
    """Scores pairs of images; the same for (a, b) and (b, a)."""

    @property
    def columns(self) -> Sequence[str]:
        """Return the names of the scores."""
        ...

    @property
    def pairs_a_shard(self) -> int:
        """Return how many pairs, in whole jobs, may be matched apart from the rest of a plan."""
        ...

    def match_jobs(self, jobs: Sequence[Job], is_done: IsDone, read: FeatureReader, workers: int) -> Iterator[Matched]:
        """Yield batches as they are finished, always in the same order.

        Where a pair's last bits depend on what is matched beside it, the batches are a function of the whole plan: a
        batch that is done in part is matched whole again. One that is done is left out.
        """
        ...


@dataclass(frozen=True, eq=False)
class _Plan:
    """Pairs of a shortlist by match key, each once, in the shortlist's order."""

    row: NDArray[np.int64]  # (p,) of the shortlist, rising
    query: StrArray  # (p,)
    candidate: StrArray  # (p,)

    def __len__(self) -> int:
        return len(self.row)

    def select(self, kept: BoolArray) -> _Plan:
        """Return some of the pairs."""
        return _Plan(self.row[kept], self.query[kept], self.candidate[kept])

    def jobs(self) -> Iterator[Job]:
        """Yield the pairs of each row of the shortlist together."""
        starts = np.flatnonzero(np.diff(self.row, prepend=-1)).tolist()
        for start, end in pairwise([*starts, len(self)]):
            yield Job(self.query[start], tuple(self.candidate[start:end]))


def _plan(shortlist: Shortlist, images: ImageTable) -> _Plan:
    """Return every pair of the shortlist, whether it has been matched or not."""
    keys, number = np.unique(images.key.astype(str), return_inverse=True)
    number_of = dict(zip(images.image_id, number.tolist(), strict=True))
    row, slot = np.nonzero(shortlist.index >= 0)
    query = np.array([number_of[one] for one in shortlist.query_id], dtype=np.int64)[row]
    gallery = np.array([number_of[one] for one in shortlist.gallery_id], dtype=np.int64)
    candidate = gallery[shortlist.index[row, slot]]
    pair = np.minimum(query, candidate) * len(keys) + np.maximum(query, candidate)
    first = np.sort(np.unique(pair, return_index=True)[1])
    names = keys.astype(object)
    return _Plan(row[first], names[query[first]], names[candidate[first]])


def rerank(
    shortlist: Shortlist,
    images: ImageTable,
    read: FeatureReader,
    matcher: Matcher,
    log: PairLog,
    workers: int,
    progress: Progress,
    engine: Engine | None = None,
) -> PairScores:
    """Return raw scores of every pair of the shortlist, in order: the log's columns and stage one's `similarity`.

    Each batch is logged as soon as it is matched; what the log holds already is neither matched nor written again.
    """
    plan = _plan(shortlist, images)
    total = len(plan) - int(log.contains(plan.query, plan.candidate).sum())
    with progress.task("matching pairs", total, "pairs") as advance:
        if total:
            # pairs of earlier plans are left out: the same ones when an interrupted plan is resumed
            fresh = plan.select(~log.earlier(plan.query, plan.candidate)).jobs()
            shards = (_Shard(tuple(some), log) for some in whole_jobs(fresh, matcher.pairs_a_shard))
            for matched in (engine or ThisMachine()).ordered(_Matching(matcher, read, workers=workers), shards):
                before = len(log)
                log.append([one for one, _ in matched.pairs], [other for _, other in matched.pairs], matched.scores)
                advance(len(log) - before)
    return _collect(shortlist, images, log)


@dataclass(frozen=True, eq=False)
class _Shard:
    """Some jobs of a plan, and the pairs of them that are in the log."""

    jobs: tuple[Job, ...]
    log: PairLog | frozenset[Pair]

    def __reduce__(self) -> tuple[type[_Shard], tuple[tuple[Job, ...], frozenset[Pair]]]:
        """Send only the log's pairs of these jobs to another process, in both orders."""
        done = [pair for job in self.jobs for pair in job.pairs if pair in self.log]
        return _Shard, (self.jobs, frozenset([*done, *((two, one) for one, two in done)]))


@dataclass(frozen=True, eq=False)
class _Matching(ThreadedWork):
    """The work of matching shards of a plan."""

    matcher: Matcher
    read: FeatureReader
    title = "matching pairs"
    chunks_a_task = 1

    def run(self, chunks: Iterable[_Shard]) -> Iterator[Matched]:
        """Match shards as one plan."""
        shards = list(chunks)
        jobs = [job for shard in shards for job in shard.jobs]
        logs = list({id(shard.log): shard.log for shard in shards}.values())
        is_done: IsDone = lambda pair: any(pair in log for log in logs)  # noqa: E731
        yield from self.matcher.match_jobs(jobs, is_done, self.read, self.workers)

    def named(self, chunk: _Shard) -> str:
        """Return the first query of a shard."""
        return f"the pairs of photograph {chunk.jobs[0].query} and what follows it"


def scores_without_matching(shortlist: Shortlist) -> PairScores:
    """Return the stage-one `similarity` of every pair of the shortlist, in its order."""
    rows, slots = np.nonzero(shortlist.index >= 0)
    gallery_id = shortlist.gallery_id[shortlist.index[rows, slots]]
    return PairScores(shortlist.query_id[rows], gallery_id, {"similarity": shortlist.similarity[rows, slots]})


def _collect(shortlist: Shortlist, images: ImageTable, log: PairLog) -> PairScores:
    plain = scores_without_matching(shortlist)
    query_id, gallery_id = plain.query_id, plain.gallery_id
    key_of = dict(zip(images.image_id, images.key, strict=True))
    query_key, gallery_key = (
        np.array([key_of[image_id] for image_id in ids], dtype=object) for ids in (query_id, gallery_id)
    )
    scores = log.lookup(query_key, gallery_key)
    columns = {name: scores[:, place] for place, name in enumerate(log.columns)}
    return PairScores(query_id, gallery_id, {**plain.columns, **columns})
