"""Stage two: match every pair of a shortlist once, and remember it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np

from animalclef.artefacts import FloatArray, ImageTable, LocalFeatures, PairScores, Shortlist
from animalclef.progress import Progress
from animalclef.store.pairs import PairLog
from animalclef.threads import one_thread_each, worker_threads

__all__ = ["Matcher", "rerank", "scores_without_matching"]

FeatureReader = Callable[[str], LocalFeatures]


class Matcher(Protocol):
    """Scores one image against several."""

    @property
    def columns(self) -> Sequence[str]:
        """Names of the scores."""
        ...

    def match(self, query: LocalFeatures, candidates: Sequence[LocalFeatures]) -> FloatArray:
        """(candidates, columns); the same for (a, b) and (b, a)."""
        ...


def _pairs_to_match(shortlist: Shortlist, images: ImageTable, log: PairLog) -> list[tuple[str, list[str]]]:
    """Per query its content key and the keys it has not been matched with; a pair stands in the list once."""
    key_of = dict(zip(images.image_id, images.key, strict=True))
    gallery_key = np.array([key_of[image_id] for image_id in shortlist.gallery_id], dtype=object)
    planned: set[frozenset[str]] = set()
    jobs = []
    for query_id, index in zip(shortlist.query_id, shortlist.index, strict=True):
        query_key = key_of[query_id]
        fresh = []
        for key in gallery_key[index[index >= 0]]:
            pair = frozenset((query_key, key))
            if pair not in planned and (query_key, key) not in log:
                planned.add(pair)
                fresh.append(key)
        if fresh:
            jobs.append((query_key, fresh))
    return jobs


def rerank(
    shortlist: Shortlist,
    images: ImageTable,
    read: FeatureReader,
    matcher: Matcher,
    log: PairLog,
    workers: int,
    progress: Progress,
) -> PairScores:
    """Raw scores of every pair of the shortlist, in its order: the log's columns and the stage-one `similarity`.

    Pairs already in the log are not matched again; each query's pairs are logged as soon as they are matched.
    """
    jobs = _pairs_to_match(shortlist, images, log)
    total = sum(len(keys) for _, keys in jobs)
    with progress.task("matching pairs", total, "pairs") as advance:
        for query_key, keys, scores in _matched(jobs, read, matcher, workers):
            log.append([query_key] * len(keys), keys, scores)
            advance(len(keys))
    return _collect(shortlist, images, log)


def _matched(
    jobs: list[tuple[str, list[str]]], read: FeatureReader, matcher: Matcher, workers: int
) -> Iterator[tuple[str, list[str], FloatArray]]:
    def work(job: tuple[str, list[str]]) -> tuple[str, list[str], FloatArray]:
        query_key, keys = job
        return query_key, keys, matcher.match(read(query_key), [read(key) for key in keys])

    with one_thread_each(), worker_threads(workers) as pool:
        for start in range(0, len(jobs), 8 * workers):
            yield from pool.map(work, jobs[start : start + 8 * workers])


def scores_without_matching(shortlist: Shortlist) -> PairScores:
    """The stage-one `similarity` of every pair of the shortlist, in its order."""
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
