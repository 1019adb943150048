"""Estimate what a run will cost, measured on a few of its own photographs before it starts."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from animalclef.config import DataConfig, VoteConfig
from animalclef.data.decode import UnreadableImageError, read_image
from animalclef.engine.work import Capacity
from animalclef.errors import DataError
from animalclef.features.extract import IMAGES_A_TASK, ExtractionJob
from animalclef.features.local.entries import LocalExtractor, features_from_entry
from animalclef.pipeline.keypoint_budget import count_pairs_left
from animalclef.pipeline.models import AnyMatcher
from animalclef.pipeline.run_context import Plan, RunContext
from animalclef.prepare.segmenters import Segmenter, with_workers
from animalclef.runtime.remote_files import marker_text
from animalclef.runtime.threads import one_thread_each, worker_threads
from animalclef.runtime.wording import counted, duration, machine_time
from animalclef.store.shard_store import Entry
from animalclef.structures import DecodedImage, ImageTable

__all__ = ["estimate", "finding_sentence"]

_QUERIES_A_TASK = 32  # of LNBNN
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
    parts = [_Part(to_do * per_image * lanes, lanes, math.ceil(to_do / IMAGES_A_TASK)), *_further(images, context)]
    megabytes = (to_do * bytes_per_image + pairs * 28) / 1e6
    for count, models in left:
        if good and models.extractor is not None and models.matcher is not None:
            alone = count * _pair_seconds(good, models.extractor, models.matcher, config.keypoints.matched)
            at_once, tasks = models.matcher.at_once(context.workers), math.ceil(count / models.matcher.pairs_a_shard)
            parts.append(_Part(alone, at_once, tasks, 60 * (config.budget.minutes or math.inf)))
    capacity = context.engine.capacity
    read = _megabytes_read(images, sample, to_do, jobs, context)
    seconds = sum(one.seconds(capacity) for one in parts)
    plan = Plan(len(images), to_do, pairs, seconds, megabytes, views, None, read, config.budget.text)
    if capacity is None:
        return plan
    moved = megabytes + read + pairs * (bytes_per_image + 28) / 1e6  # a machine reads the features of each candidate
    return replace(plan, machines=capacity.machines, network_megabytes=moved)


@dataclass(frozen=True)
class _Part:
    """What a stage costs."""

    alone: float  # seconds of one core, or one GPU
    lanes: int  # of these on this machine
    tasks: int  # on a cluster
    most: float = math.inf  # seconds of the clock

    def seconds(self, capacity: Capacity | None) -> float:
        """Return the seconds of the clock on this machine (`None`), or on a cluster."""
        here = self.alone / self.lanes if capacity is None else capacity.seconds(self.alone, self.tasks)
        return min(here, self.most)


def _megabytes_read(
    images: ImageTable,
    sample: Sequence[int],
    to_do: int,
    jobs: Mapping[str, Sequence[ExtractionJob]],
    context: RunContext,
) -> float:
    """Return how much of the photographs is read over the network while they are described.

    Each pass reads them all from a cluster's disk, or from a bucket whose photographs `data.cache_gb` does not hold.
    Where it does, a machine reads a photograph once; this machine has it already.
    """
    found = [path for path in (images.root / images.path[row] for row in sample) if path.is_file()]
    size: float = sum(path.stat().st_size for path in found) / max(1, len(found)) / 1e6
    passes = max((len({job.extractor.decodes_fully for job in mine}) for mine in jobs.values()), default=0)
    capacity, in_bucket = context.engine.capacity, marker_text(images.root) is not None
    if in_bucket and len(images) * size <= context.config.data.cache_gb * 1000:
        passes = 0 if capacity is None else min(passes, capacity.machines)
    elif not in_bucket and capacity is None:
        passes = 0
    return to_do * passes * size


def finding_sentence(
    images: ImageTable, absent: int, a_task: int, segmenter: Segmenter, context: RunContext
) -> str | None:
    """Say how long it takes to find the animals on `absent` photographs, by the clock on three of them.

    A task of a cluster has `a_task` photographs. `None` for what takes less than a minute on this machine.
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
    seconds = capacity.seconds(seconds, math.ceil(absent / a_task))
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


def _further(images: ImageTable, context: RunContext) -> list[_Part]:
    """Return the nominal cost of LNBNN scores and of tuning the decision."""
    config, tunes = context.config, context.given is None
    tuning, asked, seconds = len(images.datasets) if tunes else 0, 0, 0.0
    for name in images.datasets if "vote" in config.retrieve.sources else ():
        mine = images.dataset == name
        queries, gallery = int((mine & images.is_query).sum()), int((mine & ~images.is_query).sum())
        pseudo = min(gallery, config.decide.of("pseudo_queries", name)) if tunes else 0
        asked += queries + pseudo
        seconds += (queries + pseudo) * _vote_seconds(gallery, config.vote)
        if config.cluster.new_ones and config.budget.spend is None and not context.groups_nobody:
            tested = min(gallery, config.cluster.photographs)
            asked += queries + tested
            seconds += queries * _vote_seconds(queries, config.vote) + tested * _vote_seconds(tested, config.vote)
    workers = context.workers
    return [
        _Part(tuning * _TUNE_S, workers, tuning),
        _Part(seconds, workers, math.ceil(asked / _QUERIES_A_TASK)),
    ]


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
