"""Estimate what a run will cost, measured on a few of its own photographs before it starts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from animalclef.config import Config
from animalclef.data.decode import UnreadableImageError, read_image
from animalclef.features.extract import ExtractionJob
from animalclef.features.local.entries import LocalExtractor, features_from_entry
from animalclef.pipeline.keypoint_budget import count_pairs
from animalclef.pipeline.models import AnyMatcher
from animalclef.pipeline.run_context import Plan, RunContext
from animalclef.runtime.threads import one_thread_each, worker_threads
from animalclef.structures import DecodedImage, ImageTable

__all__ = ["Plan", "estimate"]


def estimate(images: ImageTable, jobs: Mapping[str, Sequence[ExtractionJob]], context: RunContext) -> Plan:
    """Extract features of a few photographs and match them, with a clock; nothing is kept.

    `jobs` are those of each data set. Pairs in a matcher's log are done; pairs of pseudo-queries count where the run
    tunes a decision.
    """
    config = context.config
    to_do = sum(
        len({key for job in jobs[name] for key in job.store.missing(images.key[images.dataset == name])})
        for name in jobs
    )
    each = count_pairs(images, config, tunes=context.given is None, groups_all=context.groups_all)
    left = [(max(0, each - len(one.log or ())), one.models) for one in context.matchers]
    pairs = sum(count for count, _ in left)
    views = max((_views(name, config) for name in images.datasets), default=1)
    if not len(images):
        return Plan(0, to_do, pairs, 0.0, 0.0, views)
    sample = sorted({int(row) for row in np.linspace(0, len(images) - 1, 6)})
    start = time.perf_counter()
    with one_thread_each(), worker_threads(context.workers) as pool:
        decoded = list(pool.map(lambda row: _read(images, row, config), sample))
        good = [image for image in decoded if image is not None]
        entries = [entry for job in jobs[images.dataset[0]] for entry in job.extractor.extract_features(good, pool)]
    per_image = (time.perf_counter() - start) / len(sample)
    bytes_per_image = sum(array.nbytes for entry in entries for array in entry.values()) / len(sample)
    seconds = to_do * per_image
    for count, models in left:
        if good and models.extractor is not None and models.matcher is not None:
            per_pair = _pair_seconds(good, models.extractor, models.matcher) / models.matcher.at_once(context.workers)
            seconds += count * per_pair
    return Plan(len(images), to_do, pairs, seconds, (to_do * bytes_per_image + pairs * 28) / 1e6, views)


def _views(dataset: str, config: Config) -> int:
    return 1 + len(config.keypoints.views.get(dataset, ()))


def _read(images: ImageTable, row: int, config: Config) -> DecodedImage | None:
    try:
        return read_image(images, row, config.data)
    except UnreadableImageError:
        return None


def _pair_seconds(good: Sequence[DecodedImage], extractor: LocalExtractor, matcher: AnyMatcher) -> float:
    """Time all pairs of some images for about a second; the first match warms up what needs it."""
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
