"""Stage two: match every pair of a shortlist once, and keep its scores in the pair log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from animalclef.matching.jobs import FeatureReader, IsDone, Job, Matched
from animalclef.runtime.progress import Progress
from animalclef.store.pair_log import PairLog
from animalclef.structures import ImageTable, PairScores, Shortlist

__all__ = ["Matcher", "rerank", "scores_without_matching"]


class Matcher(Protocol):
    """Scores pairs of images; the same for (a, b) and (b, a)."""

    @property
    def columns(self) -> Sequence[str]:
        """Return the names of the scores."""
        ...

    def match_jobs(self, jobs: Sequence[Job], is_done: IsDone, read: FeatureReader, workers: int) -> Iterator[Matched]:
        """Yield batches as they are finished, always in the same order.

        Where a pair's last bits depend on what is matched beside it, the batches are a function of the whole plan: a
        batch that is done in part is matched whole again. One that is done is left out.
        """
        ...


def _plan(shortlist: Shortlist, images: ImageTable) -> list[Job]:
    """Return every pair of the shortlist once, by content key, whether it has been matched or not."""
    key_of = dict(zip(images.image_id, images.key, strict=True))
    gallery_key = np.array([key_of[image_id] for image_id in shortlist.gallery_id], dtype=object)
    planned: set[frozenset[str]] = set()
    jobs = []
    for query_id, index in zip(shortlist.query_id, shortlist.index, strict=True):
        query_key = key_of[query_id]
        fresh = []
        for key in gallery_key[index[index >= 0]]:
            pair = frozenset((query_key, key))
            if pair not in planned:
                planned.add(pair)
                fresh.append(key)
        if fresh:
            jobs.append(Job(query_key, tuple(fresh)))
    return jobs


def _fresh(jobs: Sequence[Job], log: PairLog) -> list[Job]:
    """Return the jobs without the pairs of earlier plans; the same when an interrupted plan is resumed."""
    earlier = log.earlier([pair for job in jobs for pair in job.pairs])
    fresh = [Job(job.query, tuple(pair[1] for pair in job.pairs if pair not in earlier)) for job in jobs]
    return [job for job in fresh if job.candidates]


def rerank(
    shortlist: Shortlist,
    images: ImageTable,
    read: FeatureReader,
    matcher: Matcher,
    log: PairLog,
    workers: int,
    progress: Progress,
) -> PairScores:
    """Return raw scores of every pair of the shortlist, in order: the log's columns and stage one's `similarity`.

    Each batch is logged as soon as it is matched; what the log holds already is neither matched nor written again.
    """
    jobs = _plan(shortlist, images)
    total = sum(pair not in log for job in jobs for pair in job.pairs)
    with progress.task("matching pairs", total, "pairs") as advance:
        if total:
            for matched in matcher.match_jobs(_fresh(jobs, log), log.__contains__, read, workers):
                before = len(log)
                log.append([one for one, _ in matched.pairs], [other for _, other in matched.pairs], matched.scores)
                advance(len(log) - before)
    return _collect(shortlist, images, log)


def scores_without_matching(shortlist: Shortlist) -> PairScores:
    """Return the stage-one `similarity` of every pair of the shortlist, in its order."""
    rows, slots = np.nonzero(shortlist.index >= 0)
    gallery_id = shortlist.gallery_id[shortlist.index[rows, slots]]
    return PairScores(shortlist.query_id[rows], gallery_id, {"similarity": shortlist.similarity[rows, slots]})


def _collect(shortlist: Shortlist, images: ImageTable, log: PairLog) -> PairScores:
    plain = scores_without_matching(shortlist)
    query_id, gallery_id = plain.query_id, plain.gallery_id
    key_of = dict(zip(images.image_id, images.key, strict=True))
    scores = log.lookup(
        np.array([key_of[image_id] for image_id in query_id], dtype=object),
        np.array([key_of[image_id] for image_id in gallery_id], dtype=object),
    )
    columns = {name: scores[:, place] for place, name in enumerate(log.columns)}
    return PairScores(query_id, gallery_id, {**plain.columns, **columns})
