"""Match pairs of images with a network (LightGlue or SuperGlue) on one or more devices, in batches of pairs.

What the network computes of each image alone is kept on the device, as far as its memory goes.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from animalclef.config import RerankConfig
from animalclef.errors import ConfigError
from animalclef.matching.jobs import FeatureReader, IsDone, Job, Matched, Pair, windows
from animalclef.matching.nearest_neighbour import agreeing
from animalclef.matching.pair_matches import COUNT_COLUMNS, PairMatches
from animalclef.runtime.devices import is_out_of_memory, release_memory
from animalclef.runtime.threads import one_thread_each, worker_threads
from animalclef.structures import Correspondences, FloatArray, LocalFeatures, MatchKey

__all__ = ["DeviceWorker", "Engine", "LightGlueMatcher"]

logger = logging.getLogger(__name__)

_WINDOW = 24  # batches of pairs that are gathered, sorted by length and then cut


class Engine(Protocol):
    """A network on one device."""

    def prepare(self, features: LocalFeatures) -> Any:
        """Return what the network computes of this image alone; its `nbytes` are what it takes on the device."""
        ...

    def match(self, pairs: Sequence[tuple[Any, Any]], *, counts_only: bool = False) -> list[PairMatches]:
        """Return the matches of every pair; every image needs a keypoint."""
        ...


@dataclass(frozen=True, eq=False)
class _Image:
    """One image as a worker holds it."""

    state: Any  # what the engine prepared; None where there is no keypoint
    keypoints_xy: FloatArray
    long_side: int

    def __len__(self) -> int:
        return len(self.keypoints_xy)

    @property
    def nbytes(self) -> int:
        return self.keypoints_xy.nbytes + (0 if self.state is None else int(self.state.nbytes))


class DeviceWorker:
    """One engine, and the images that are kept on its device; the least recently used are dropped first.

    A device that runs out of memory gets half as many keypoints at a time from then on. If a single pair does not fit,
    half of the images are dropped, and at most as many are kept from then on, but never less than half of the limit.
    """

    def __init__(self, engine: Engine, cache_bytes: int, keypoints_at_once: int, kind: str = "cpu") -> None:
        self.engine, self.cache_bytes, self.keypoints_at_once, self.kind = engine, cache_bytes, keypoints_at_once, kind
        self._images: OrderedDict[MatchKey, _Image] = OrderedDict()
        self._bytes = 0

    def __getstate__(self) -> dict[str, Any]:
        """Leave the images behind where the worker goes to another process."""
        return {**self.__dict__, "_images": OrderedDict(), "_bytes": 0}

    def __contains__(self, key: MatchKey) -> bool:
        return key in self._images

    def image(self, key: MatchKey, features: LocalFeatures | None, read: FeatureReader) -> _Image:
        """Return the image from the device, or prepare it from its features, read where they are not given."""
        if key in self._images:
            self._images.move_to_end(key)
            return self._images[key]
        image = self._prepare_with_room(read(key) if features is None else features)
        self._images[key] = image
        self._bytes += image.nbytes
        while self._bytes > self.cache_bytes and len(self._images) > 1:
            self._forget(1)
        return image

    def prepare(self, features: LocalFeatures) -> _Image:
        """Return the image without keeping it."""
        state = self.engine.prepare(features) if len(features) else None
        return _Image(state, features.keypoints_xy, max(features.image_size_wh))

    def match(self, pairs: Sequence[tuple[_Image, _Image]], *, counts_only: bool) -> list[PairMatches]:
        """Return the matches of every pair, computed in portions that the device has room for.

        Raises:
            ConfigError: a single pair is too large for the device.
        """
        found: list[PairMatches] = []
        while len(found) < len(pairs):
            portion = self._portion(pairs[len(found) :])
            try:
                states = [(one.state, other.state) for one, other in portion]
                found += self.engine.match(states, counts_only=counts_only)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if len(portion) > 1:
                    self.keypoints_at_once = sum(len(one) + len(other) for one, other in portion) // 2
                    release_memory()
                else:
                    self._make_room(error, f"one pair of {len(portion[0][0])} and {len(portion[0][1])} keypoints")
        return found

    def _prepare_with_room(self, features: LocalFeatures) -> _Image:
        """Return the prepared image; where the device has no room for it, others are dropped."""
        while True:
            try:
                return self.prepare(features)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._make_room(error, f"one image of {len(features)} keypoints")

    def _make_room(self, error: BaseException, wanted: str) -> None:
        """Drop half of the images, and keep no more than that, or than half of the limit, from now on."""
        if not self._images:
            advice = "Lower keypoints.max_keypoints, or close what else takes its memory."
            if self.kind != "cpu":
                advice = "Lower keypoints.max_keypoints, close what else uses the GPU, or use the device cpu."
            device = "This machine's memory" if self.kind == "cpu" else "The GPU"
            raise ConfigError(f"{device} has no room for {wanted}. {advice}") from error
        self._forget((len(self._images) + 1) // 2)
        self.cache_bytes = max(self._bytes, self.cache_bytes // 2)
        logger.warning("Out of memory; going on with %d images on the device.", len(self._images))
        release_memory()

    def _forget(self, count: int) -> None:
        """Drop the least recently used images."""
        for _ in range(count):
            self._bytes -= self._images.popitem(last=False)[1].nbytes

    def _portion(self, pairs: Sequence[tuple[_Image, _Image]]) -> list[tuple[_Image, _Image]]:
        sizes = np.cumsum([len(one) + len(other) for one, other in pairs])
        return list(pairs[: max(1, int(np.searchsorted(sizes, self.keypoints_at_once, side="right")))])


class LightGlueMatcher:
    """Scores pairs by COUNT_COLUMNS and, where matches are verified, by inliers and their share.

    The image with more keypoints is the left one of a pair, of two alike the one with the lower match key: (a, b) and
    (b, a) are one computation.
    """

    def __init__(
        self, config: RerankConfig, device_workers: Sequence[DeviceWorker], made_by: Sequence[object] = ()
    ) -> None:
        self.config, self.device_workers = config, device_workers
        self.made_by = tuple(made_by)  # what shapes a score beside the settings: weights, versions, precision, device
        self.columns = (*COUNT_COLUMNS, "inliers", "inlier_ratio") if config.verify else COUNT_COLUMNS

    def __getstate__(self) -> dict[str, Any]:
        """Take one device to another process: a worker of a cluster has one GPU."""
        return {**self.__dict__, "device_workers": self.device_workers[:1]}

    @property
    def pairs_a_shard(self) -> int:
        """Return the least number of pairs in a window."""
        return _WINDOW * self.config.batch_size

    def match(self, query: LocalFeatures, candidates: Sequence[LocalFeatures]) -> FloatArray:
        """Return the scores, (candidates, columns), of one image against several."""
        images = {features.key: self.device_workers[0].prepare(features) for features in (query, *candidates)}
        length = {key: len(image) for key, image in images.items()}
        pairs = [_left_first((query.key, candidate.key), length) for candidate in candidates]
        with one_thread_each(), worker_threads(1) as pool:
            return self._scores(self.device_workers[0], pairs, images, pool)

    def at_once(self, workers: int) -> int:
        """Return the number of devices at work; the network's threads do not depend on the number of workers."""
        return len(self.device_workers)

    def correspondences(self, query: LocalFeatures, candidate: LocalFeatures) -> Correspondences:
        """Return the matches that the scores of the pair are counted from."""
        images = {features.key: self.device_workers[0].prepare(features) for features in (query, candidate)}
        pair = _left_first((query.key, candidate.key), {key: len(image) for key, image in images.items()})
        left, right = (images[key] for key in pair)
        found = self._matches(self.device_workers[0], [(left, right)], counts_only=False)[0]
        left_xy, right_xy = left.keypoints_xy[found.left], right.keypoints_xy[found.right]
        is_inlier = self._inliers((left, right), found)
        query_xy, gallery_xy = (left_xy, right_xy) if pair[0] == query.key else (right_xy, left_xy)
        return Correspondences(query_xy, gallery_xy, found.confidence, is_inlier)

    def match_jobs(self, jobs: Sequence[Job], is_done: IsDone, read: FeatureReader, workers: int) -> Iterator[Matched]:
        """Yield scored batches of pairs.

        The pairs of some whole jobs are a window. A window is sorted by the numbers of keypoints and cut into batches,
        so that a batch holds pairs of like lengths. Several devices work on a window each, and their batches are
        yielded in the order of the windows.
        """
        todo = [pairs for pairs in windows(jobs, self.pairs_a_shard) if not all(map(is_done, pairs))]
        devices = len(self.device_workers)
        with one_thread_each(), worker_threads(workers) as pool:
            if devices == 1:
                for window in todo:
                    yield from self._match_window(self.device_workers[0], window, is_done, read, pool)
                return

            def matched(worker: DeviceWorker, window: Sequence[Pair]) -> list[Matched]:
                return list(self._match_window(worker, window, is_done, read, pool))

            with ThreadPoolExecutor(devices) as drivers:
                for start in range(0, len(todo), devices):
                    for batches in drivers.map(matched, self.device_workers, todo[start : start + devices]):
                        yield from batches

    def _match_window(
        self, worker: DeviceWorker, window: Sequence[Pair], is_done: IsDone, read: FeatureReader, pool: Executor
    ) -> Iterator[Matched]:
        keys = list(dict.fromkeys(key for pair in window for key in pair))
        absent = [key for key in keys if key not in worker]
        features = dict(zip(absent, pool.map(read, absent), strict=True))
        length = {key: len(features[key]) if key in features else len(worker.image(key, None, read)) for key in keys}
        ordered = sorted(
            (_left_first(pair, length) for pair in window),
            key=lambda pair: (length[pair[0]], length[pair[1]], pair),
        )
        for start in range(0, len(ordered), self.config.batch_size):
            batch = ordered[start : start + self.config.batch_size]
            if not all(map(is_done, batch)):
                needed = dict.fromkeys(key for pair in batch for key in pair)
                images = {key: worker.image(key, features.pop(key, None), read) for key in needed}
                yield Matched(batch, self._scores(worker, batch, images, pool))

    def _scores(
        self, worker: DeviceWorker, pairs: Sequence[Pair], images: dict[MatchKey, _Image], pool: Executor
    ) -> FloatArray:
        sides = [(images[left], images[right]) for left, right in pairs]
        found = self._matches(worker, sides, counts_only=not self.config.verify)
        scores = np.array([one.counts for one in found], dtype=np.float32).reshape(len(pairs), len(COUNT_COLUMNS))
        if not self.config.verify:
            return scores
        inliers = np.array([are_inliers.sum() for are_inliers in pool.map(self._inliers, sides, found)], np.float32)
        ratio = inliers / np.maximum(scores[:, 0], 1)
        return np.column_stack([scores, inliers, ratio]).astype(np.float32)

    def _matches(
        self, worker: DeviceWorker, sides: Sequence[tuple[_Image, _Image]], *, counts_only: bool
    ) -> list[PairMatches]:
        """Return the matches of each pair; an image without keypoints has none."""
        filled = [row for row, (left, right) in enumerate(sides) if len(left) and len(right)]
        found = [PairMatches.none()] * len(sides)
        for row, one in zip(filled, worker.match([sides[row] for row in filled], counts_only=counts_only), strict=True):
            found[row] = one
        return found

    def _inliers(self, sides: tuple[_Image, _Image], found: PairMatches) -> NDArray[np.bool_]:
        """Return which matches, (n,), agree with the one transform that most of them share."""
        left, right = sides
        from_xy, to_xy = left.keypoints_xy[found.left], right.keypoints_xy[found.right]
        return agreeing(from_xy, to_xy, self.config.tolerance * right.long_side)


def _left_first(pair: Pair, length: Mapping[MatchKey, int]) -> Pair:
    """Return the pair with its left image first."""
    left, right = sorted(pair, key=lambda key: (-length[key], key))
    return left, right
