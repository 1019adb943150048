"""Estimate what a run will cost, measured on a few of its own photographs before it starts."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from animalclef.config import DataConfig, VoteConfig
from animalclef.data.decode import UnreadableImageError, read_image
from animalclef.errors import DataError
from animalclef.features.extract import ExtractionJob
from animalclef.features.local.entries import LocalExtractor, features_from_entry
from animalclef.pipeline.keypoint_budget import count_pairs_left
from animalclef.pipeline.models import AnyMatcher
from animalclef.pipeline.run_context import Plan, RunContext
from animalclef.prepare.segmenters import Segmenter, with_workers
from animalclef.runtime.threads import one_thread_each, worker_threads
from animalclef.runtime.wording import counted, duration, machine_time
from animalclef.store.shard_store import Entry
from animalclef.structures import DecodedImage, ImageTable

__all__ = ["estimate", "finding_sentence"]

_FEW = 100  # photographs: their animals are found within a minute
# Nominal seconds of one core.
_EXACT_VOTE_S, _VOTE_S = 0.10, 0.02  # LNBNN scores of a photograph: exact search at its largest size, inverted file
_TUNE_S = 1.0  # the decision of a data set


def estimate(
    images: ImageTable,
    jobs: Mapping[str, Sequence[ExtractionJob]],
    context: RunContext,
    keyed: ImageTable | None = None,
) -> Plan:
    """Extract features of a few photographs and match them, with a clock; nothing is kept.

    The first use of a model is not timed. LNBNN scores and the tuning count with nominal times.

    `jobs` are those of each data set; `keyed` is the table with matching keys, where they are not the content keys.
    Pairs in a matcher's log are done; pairs of pseudo-queries count where the run tunes a decision.
    """
    config = context.config
    to_do = sum(
        len({key for job in jobs[name] for key in job.store.missing(images.key[images.dataset == name])})
        for name in jobs
    )
    most = math.inf if config.budget.pairs is None else config.budget.pairs
    how = {"tunes": context.given is None, "groups_all": context.groups_all, "groups_nobody": context.groups_nobody}
    asked = images if keyed is None else keyed
    left = [(int(min(most, count_pairs_left(asked, config, one.log, **how))), one.models) for one in context.matchers]
    pairs = sum(count for count, _ in left)
    views = max((1 + len(config.keypoints.views.get(name, ())) for name in images.datasets), default=1)
    if not len(images):
        return Plan(0, to_do, pairs, 0.0, 0.0, views, budget=config.budget.text)
    sample = sorted({int(row) for row in np.linspace(0, len(images) - 1, 6)})
    per_image, good, entries = _describe(images, sample, jobs[images.dataset[0]], context)
    bytes_per_image = sum(array.nbytes for entry in entries for array in entry.values()) / len(sample)
    network = context.models.network
    lanes = context.workers if network is None or network.device == "cpu" else 1
    further = _further_seconds(images, context)
    seconds, of_lanes = to_do * per_image + further / context.workers, to_do * per_image * lanes + further
    megabytes = (to_do * bytes_per_image + pairs * 28) / 1e6
    for count, models in left:
        if good and models.extractor is not None and models.matcher is not None:
            matching = count * _pair_seconds(good, models.extractor, models.matcher, config.keypoints.matched)
            here = matching / models.matcher.at_once(context.workers)
            seconds, of_lanes = seconds + min(here, 60 * (config.budget.minutes or math.inf)), of_lanes + matching
    plan = Plan(len(images), to_do, pairs, seconds, megabytes, views, budget=config.budget.text)
    return _on_cluster(plan, of_lanes, images, sample, bytes_per_image, context)


def _on_cluster(
    plan: Plan, of_lanes: float, images: ImageTable, sample: Sequence[int], bytes_per_image: float, context: RunContext
) -> Plan:
    """Return the plan with the hours of the engine's cluster, and what its machines read and write over the network.

    `of_lanes` are the seconds that one core, or one GPU, would take alone. A machine reads the file of each photograph
    that it describes, and at most the features of each candidate.
    """
    capacity = context.engine.capacity
    if capacity is None:
        return plan
    there = [path for path in (images.root / images.path[row] for row in sample) if path.is_file()]
    size = sum(path.stat().st_size for path in there) / max(1, len(there))  # a copy from a bucket may be gone again
    moved = plan.images_to_describe * size + plan.pairs * (bytes_per_image + 28)
    return replace(
        plan, machines=capacity.machines, seconds=of_lanes / max(1, capacity.lanes),
        network_megabytes=plan.megabytes + moved / 1e6,
    )  # fmt: skip


def finding_sentence(images: ImageTable, absent: int, segmenter: Segmenter, context: RunContext) -> str | None:
    """Say how long it takes to find the animals on `absent` photographs, by the clock on three of them.

    `None` for what takes less than a minute on this machine.
    """
    if absent < _FEW:
        return None
    rows = np.unique(np.linspace(0, len(images) - 1, 3).astype(np.int64)).tolist()
    segmenter, start = with_workers(segmenter, 1), time.perf_counter()
    with one_thread_each():
        for row in rows:
            image = _read(images, row, context.config.data)
            if image is not None:
                segmenter.segment([image.pixels])
    seconds, capacity = absent * (time.perf_counter() - start) / len(rows), context.engine.capacity
    to_do = f"{absent:,} photographs to find animals on"
    if capacity is None:
        seconds /= max(1, context.workers)
        return None if seconds < 60 else f"{to_do}: about {duration(seconds)}. --no-auto uses photographs whole."
    seconds /= max(1, capacity.lanes)
    taken = machine_time(capacity.machines, seconds)
    return f"{to_do}, on {counted(capacity.machines, 'machine')}: about {duration(seconds)} ({taken})."


def _read(images: ImageTable, row: int, config: DataConfig) -> DecodedImage | None:
    try:
        return read_image(images, row, config)
    except (UnreadableImageError, DataError):  # what the run needs of it is said when it is needed
        return None


def _describe(
    images: ImageTable, sample: Sequence[int], jobs: Sequence[ExtractionJob], context: RunContext
) -> tuple[float, list[DecodedImage], list[Entry]]:
    """Return the seconds that one photograph of the sample takes, those that can be decoded, and their entries."""

    def described(rows: Sequence[int]) -> tuple[list[DecodedImage], list[Entry]]:
        decoded = list(pool.map(lambda row: _read(images, row, context.config.data), rows))
        good = [image for image in decoded if image is not None]
        return good, [entry for job in jobs for entry in job.extractor.extract_features(good, pool)]

    with one_thread_each(), worker_threads(context.workers) as pool:
        described(sample[:1])
        start = time.perf_counter()
        good, entries = described(sample)
    return (time.perf_counter() - start) / len(sample), good, entries


def _further_seconds(images: ImageTable, context: RunContext) -> float:
    """Return nominal seconds of one core for LNBNN scores and for tuning the decision."""
    config, tunes = context.config, context.given is None
    seconds = len(images.datasets) * _TUNE_S if tunes else 0.0
    for name in images.datasets if "vote" in config.retrieve.sources else ():
        mine = images.dataset == name
        queries, gallery = int((mine & images.is_query).sum()), int((mine & ~images.is_query).sum())
        pseudo = min(gallery, config.decide.of("pseudo_queries", name)) if tunes else 0
        seconds += (queries + pseudo) * _vote_seconds(gallery, config.vote)
        if config.cluster.new_ones and config.budget.spend is None and not context.groups_nobody:
            tested = min(gallery, config.cluster.photographs)
            seconds += queries * _vote_seconds(queries, config.vote) + tested * _vote_seconds(tested, config.vote)
    return seconds


def _vote_seconds(gallery: int, config: VoteConfig) -> float:
    """Return nominal seconds of one core for the LNBNN scores of one photograph among so many others."""
    share = gallery * config.max_keypoints / max(1, config.exact_descriptors)
    return share * _EXACT_VOTE_S if share <= 1 else _VOTE_S


def _pair_seconds(
    good: Sequence[DecodedImage], extractor: LocalExtractor, matcher: AnyMatcher, most: int | None
) -> float:
    """Time pairs of different images for about a second, with `most` of their keypoints; the first one warms up.

    The median over the images leaves out one that was interrupted.
    """
    with one_thread_each(), worker_threads(1) as pool:
        entries = extractor.extract_features(good, pool)
        features = [features_from_entry(str(place), entry) for place, entry in enumerate(entries)]
        features = [one.select(np.arange(min(len(one), most or len(one)))) for one in features]
        matcher.match(features[0], features[:1])
        start, seconds = time.perf_counter(), []
        for place, one in enumerate(features):
            others = features[:place] + features[place + 1 :] or features  # of one image alone: with itself
            before = time.perf_counter()
            matcher.match(one, others)
            seconds.append((time.perf_counter() - before) / len(others))
            if time.perf_counter() - start > 1:
                break
    return float(np.median(seconds))
