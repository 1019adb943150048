"""What a run will cost, measured on a few of its own photographs before it starts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from animalclef.config import Config
from animalclef.data.decode import UnreadableImageError, read_image
from animalclef.features.extract import ExtractionJob
from animalclef.features.local.entries import LocalExtractor, features_from_entry
from animalclef.runtime.threads import one_thread_each, worker_threads
from animalclef.structures import DecodedImage, FloatArray, ImageTable, LocalFeatures

__all__ = ["Plan", "Scorer", "estimate"]


class Scorer(Protocol):
    """The part of a matcher that the stop-watch needs."""

    def match(self, query: LocalFeatures, candidates: Sequence[LocalFeatures]) -> FloatArray:
        """Scores of one image against several."""
        ...

    def at_once(self, workers: int) -> int:
        """How many times faster it is in a run than here."""
        ...


@dataclass(frozen=True)
class Plan:
    """Upper figures; `pairs` are those that an earlier run has not matched, every view of a query counted."""

    images: int
    images_to_describe: int
    pairs: int
    seconds: float
    megabytes: float
    views: int = 1  # of a query, where it has most


def estimate(
    images: ImageTable,
    looks: Mapping[str, Sequence[ExtractionJob]],
    config: Config,
    extractor: LocalExtractor | None,
    matcher: Scorer | None,
    workers: int,
    matched: int,
    *,
    tunes: bool,
) -> Plan:
    """Describe and match a few photographs for the stop-watch; nothing is kept.

    `matched` pairs are done already; pairs of pseudo-queries count where the run `tunes` a decision.
    """
    to_do = sum(
        len({key for look in looks[name] for key in look.store.missing(images.key[images.dataset == name])})
        for name in looks
    )
    pairs = max(0, _count_pairs(images, config, tunes=tunes) - matched)
    sample = _sample(images, config)
    views = max((_views(name, config) for name in images.datasets), default=1)
    if not sample:
        return Plan(len(images), to_do, pairs, 0.0, 0.0, views)
    some_looks = looks[images.dataset[0]]
    start = time.perf_counter()
    with one_thread_each(), worker_threads(workers) as pool:
        decoded = list(pool.map(lambda row: _read(images, row, config), sample))
        good = [image for image in decoded if image is not None]
        entries = [entry for look in some_looks for entry in look.extractor.extract_features(good, pool)]
    per_image = (time.perf_counter() - start) / len(sample)
    bytes_per_image = sum(array.nbytes for entry in entries for array in entry.values()) / len(sample)
    per_pair = 0.0
    if good and extractor is not None and matcher is not None:
        per_pair = _pair_seconds(good, extractor, matcher) / matcher.at_once(workers)
    seconds = to_do * per_image + pairs * per_pair
    return Plan(len(images), to_do, pairs, seconds, (to_do * bytes_per_image + pairs * 28) / 1e6, views)


def _views(dataset: str, config: Config) -> int:
    return 1 + len(config.keypoints.views.get(dataset, ()))


def _count_pairs(images: ImageTable, config: Config, *, tunes: bool) -> int:
    if config.rerank.matcher == "none":
        return 0
    pairs = 0
    for name in images.datasets:
        mine = images.dataset == name
        queries, gallery = int((mine & images.is_query).sum()), int((mine & ~images.is_query).sum())
        pseudo = min(gallery, config.decide.of("pseudo_queries", name)) if tunes else 0
        pairs += (queries + pseudo) * min(config.retrieve.top_k, gallery) * _views(name, config)
    return pairs if config.budget.pairs is None else min(pairs, config.budget.pairs)


def _sample(images: ImageTable, config: Config, count: int = 6) -> list[int]:
    return sorted({int(row) for row in np.linspace(0, len(images) - 1, count)}) if len(images) else []


def _read(images: ImageTable, row: int, config: Config) -> DecodedImage | None:
    try:
        return read_image(images, row, config.data)
    except UnreadableImageError:
        return None


def _pair_seconds(good: Sequence[DecodedImage], extractor: LocalExtractor, matcher: Scorer) -> float:
    """One image warms up what needs it, the others are timed for about a second."""
    with one_thread_each(), worker_threads(1) as pool:
        entries = extractor.extract_features(good, pool)
    features = [features_from_entry(str(place), entry) for place, entry in enumerate(entries)]
    matcher.match(features[0], features[:1])
    start, matched = time.perf_counter(), 0
    for one in features:
        matcher.match(one, features)
        matched += len(features)
        if time.perf_counter() - start > 1:
            break
    return (time.perf_counter() - start) / matched
