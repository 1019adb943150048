"""What a run will cost, measured on a few of its own photographs before it starts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from animalclef.artefacts import DecodedImage, ImageTable
from animalclef.config import Config
from animalclef.data.decode import UnreadableImageError, read_image
from animalclef.models.mutual_nearest import MutualNearest
from animalclef.stages.describe import Look
from animalclef.stages.keypoints import SiftExtractor, features_from_entry
from animalclef.threads import one_thread_each, worker_threads

__all__ = ["Plan", "estimate"]


@dataclass(frozen=True)
class Plan:
    """Upper figures; `pairs` are those that an earlier run has not matched."""

    images: int
    images_to_describe: int
    pairs: int
    seconds: float
    megabytes: float


def estimate(
    images: ImageTable,
    looks: Mapping[str, Sequence[Look]],
    config: Config,
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
    if not sample:
        return Plan(len(images), to_do, pairs, 0.0, 0.0)
    some_looks = looks[images.dataset[0]]
    start = time.perf_counter()
    with one_thread_each(), worker_threads(workers) as pool:
        decoded = list(pool.map(lambda row: _read(images, row, config), sample))
        good = [image for image in decoded if image is not None]
        entries = [entry for look in some_looks for entry in look.extractor.describe(good, pool)]
    per_image = (time.perf_counter() - start) / len(sample)
    bytes_per_image = sum(array.nbytes for entry in entries for array in entry.values()) / len(sample)
    per_pair = 0.0 if config.rerank.matcher == "none" or not good else _pair_seconds(good, config) / workers
    seconds = to_do * per_image + pairs * per_pair
    return Plan(len(images), to_do, pairs, seconds, (to_do * bytes_per_image + pairs * 28) / 1e6)


def _count_pairs(images: ImageTable, config: Config, *, tunes: bool) -> int:
    if config.rerank.matcher == "none":
        return 0
    pairs = 0
    for name in images.datasets:
        mine = images.dataset == name
        queries, gallery = int((mine & images.is_query).sum()), int((mine & ~images.is_query).sum())
        pseudo = min(gallery, config.decide.of("pseudo_queries", name)) if tunes else 0
        pairs += (queries + pseudo) * min(config.retrieve.top_k, gallery)
    return pairs


def _sample(images: ImageTable, config: Config, count: int = 6) -> list[int]:
    return sorted({int(row) for row in np.linspace(0, len(images) - 1, count)}) if len(images) else []


def _read(images: ImageTable, row: int, config: Config) -> DecodedImage | None:
    try:
        return read_image(images, row, config.data)
    except UnreadableImageError:
        return None


def _pair_seconds(good: Sequence[DecodedImage], config: Config) -> float:
    matcher = MutualNearest(config.rerank)
    with one_thread_each(), worker_threads(1) as pool:
        entries = SiftExtractor(config.keypoints).describe(good, pool)
    features = [features_from_entry(str(place), entry) for place, entry in enumerate(entries)]
    start = time.perf_counter()
    for one in features:
        matcher.match(one, features)
    return (time.perf_counter() - start) / len(features) ** 2
