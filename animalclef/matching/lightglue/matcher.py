"""Match jobs with LightGlue in batches of pairs; the images' states are kept on the device."""

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
from animalclef.matching.lightglue.batched import MATCH_LEVELS, PairMatches
from animalclef.matching.nearest_neighbour import agreeing
from animalclef.runtime.devices import is_out_of_memory, release_memory
from animalclef.runtime.threads import one_thread_each, worker_threads
from animalclef.structures import Correspondences, FloatArray, LocalFeatures, MatchKey

__all__ = ["DeviceWorker", "Engine", "LightGlueMatcher"]

logger = logging.getLogger(__name__)

_COUNTS = ("matches", "confidence_sum", *(f"matches_{level}" for level in MATCH_LEVELS))
_WINDOW = 24  # batches that are gathered before they are cut by length


class Engine(Protocol):
    """A network on one device."""

    def prepare(self, features: LocalFeatures) -> Any:
        """Return what depends on this image alone; its `nbytes` are what it takes on the device."""
        ...

    def match(self, pairs: Sequence[tuple[Any, Any]], *, counts_only: bool = False) -> list[PairMatches]:
        """Return the matches of every pair; every image needs a keypoint."""
        ...


@dataclass(frozen=True, eq=False)
class _Image:
    state: Any  # of the engine; None where there is no keypoint
    keypoints_xy: FloatArray
    long_side: int

    def __len__(self) -> int:
        return len(self.keypoints_xy)

    @property
    def nbytes(self) -> int:
        return self.keypoints_xy.nbytes + (0 if self.state is None else int(self.state.nbytes))


class DeviceWorker:
    """One engine with the images it has on its device; those that were not asked for longest go first.

    A device that runs out of memory gets half as many keypoints at a time from then on. Where it has no room for a
    single pair half of its images go, and it keeps fewer from then on: half of what it might at the least.
    """

    def __init__(self, engine: Engine, cache_bytes: int, tokens: int, kind: str = "cpu") -> None:
        self.engine, self.cache_bytes, self.tokens, self.kind = engine, cache_bytes, tokens, kind
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
        image = self._fitting(read(key) if features is None else features)
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
        """Matches of every pair, in portions that the device has room for.

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
                    self.tokens = sum(len(one) + len(other) for one, other in portion) // 2
                    release_memory()
                else:
                    self._make_room(error, f"one pair of {len(portion[0][0])} and {len(portion[0][1])} keypoints")
        return found

    def _fitting(self, features: LocalFeatures) -> _Image:
        """Return the image; where the device has no room for it, others are dropped."""
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
        """Drop the images that were not asked for longest."""
        for _ in range(count):
            self._bytes -= self._images.popitem(last=False)[1].nbytes

    def _portion(self, pairs: Sequence[tuple[_Image, _Image]]) -> list[tuple[_Image, _Image]]:
        sizes = np.cumsum([len(one) + len(other) for one, other in pairs])
        return list(pairs[: max(1, int(np.searchsorted(sizes, self.tokens, side="right")))])


class LightGlueMatcher:
    """Scores of a pair: matches, the sum of their confidences, matches over some confidences, verified inliers.

    The longer image of a pair is the left one, of two alike the one with the lower content key: (a, b) and (b, a) are
    one computation.
    """

    def __init__(self, config: RerankConfig, lanes: Sequence[DeviceWorker], made_by: Sequence[object] = ()) -> None:
        self.config, self.lanes = config, lanes
        self.made_by = tuple(made_by)  # what shapes a score beside the settings: weights, versions, precision, device
        self.columns = (*_COUNTS, "inliers", "inlier_ratio") if config.verify else _COUNTS

    def __getstate__(self) -> dict[str, Any]:
        """Take one device to another process: a worker of a cluster has one GPU."""
        return {**self.__dict__, "lanes": self.lanes[:1]}

    @property
    def pairs_a_shard(self) -> int:
        """Return the least number of pairs in a window."""
        return _WINDOW * self.config.batch_size

    def match(self, query: LocalFeatures, candidates: Sequence[LocalFeatures]) -> FloatArray:
        """Score one image against several, (candidates, columns)."""
        images = {features.key: self.lanes[0].prepare(features) for features in (query, *candidates)}
        length = {key: len(image) for key, image in images.items()}
        pairs = [_left_first((query.key, candidate.key), length) for candidate in candidates]
        with one_thread_each(), worker_threads(1) as pool:
            return self._scores(self.lanes[0], pairs, images, pool)

    def at_once(self, workers: int) -> int:
        """Return the number of devices at work; the network's threads do not depend on the number of workers."""
        return len(self.lanes)

    def correspondences(self, query: LocalFeatures, candidate: LocalFeatures) -> Correspondences:
        """Return the matches that the scores of the pair are counted from."""
        images = {features.key: self.lanes[0].prepare(features) for features in (query, candidate)}
        pair = _left_first((query.key, candidate.key), {key: len(image) for key, image in images.items()})
        left, right = (images[key] for key in pair)
        found = self._found(self.lanes[0], [(left, right)], counts_only=False)[0]
        ends = [left.keypoints_xy[found.first], right.keypoints_xy[found.second]]
        inlier = self._agreeing((left, right), found)
        first, second = ends if pair[0] == query.key else reversed(ends)
        return Correspondences(first, second, found.confidence, inlier)

    def match_jobs(self, jobs: Sequence[Job], is_done: IsDone, read: FeatureReader, workers: int) -> Iterator[Matched]:
        """Yield batches of pairs of like lengths, cut within windows of whole jobs.

        Windows go to the devices in turn.
        """
        todo = [pairs for pairs in windows(jobs, self.pairs_a_shard) if not all(map(is_done, pairs))]
        with one_thread_each(), worker_threads(workers) as pool:
            if len(self.lanes) == 1:
                for window in todo:
                    yield from self._window(self.lanes[0], window, is_done, read, pool)
                return
            with ThreadPoolExecutor(len(self.lanes)) as drivers:
                for start in range(0, len(todo), len(self.lanes)):
                    turn = zip(self.lanes, todo[start:], strict=False)
                    begun = [drivers.submit(lambda *of: list(self._window(*of)), lane, window, is_done, read, pool)
                             for lane, window in turn]  # fmt: skip
                    for one in begun:
                        yield from one.result()

    def _window(
        self, lane: DeviceWorker, window: Sequence[Pair], is_done: IsDone, read: FeatureReader, pool: Executor
    ) -> Iterator[Matched]:
        keys = list(dict.fromkeys(key for pair in window for key in pair))
        absent = [key for key in keys if key not in lane]
        features = dict(zip(absent, pool.map(read, absent), strict=True))
        length = {key: len(features[key]) if key in features else len(lane.image(key, None, read)) for key in keys}
        ordered = sorted(
            (_left_first(pair, length) for pair in window),
            key=lambda pair: (length[pair[0]], length[pair[1]], pair),
        )
        for start in range(0, len(ordered), self.config.batch_size):
            batch = ordered[start : start + self.config.batch_size]
            if not all(map(is_done, batch)):
                needed = dict.fromkeys(key for pair in batch for key in pair)
                images = {key: lane.image(key, features.pop(key, None), read) for key in needed}
                yield Matched(batch, self._scores(lane, batch, images, pool))

    def _scores(
        self, lane: DeviceWorker, pairs: Sequence[Pair], images: dict[MatchKey, _Image], pool: Executor
    ) -> FloatArray:
        sides = [(images[left], images[right]) for left, right in pairs]
        found = self._found(lane, sides, counts_only=not self.config.verify)
        scores = np.array([one.counts for one in found], dtype=np.float32).reshape(len(pairs), len(_COUNTS))
        if not self.config.verify:
            return scores
        inliers = np.array([agrees.sum() for agrees in pool.map(self._agreeing, sides, found)], dtype=np.float32)
        ratio = inliers / np.maximum(scores[:, 0], 1)
        return np.column_stack([scores, inliers, ratio]).astype(np.float32)

    def _found(
        self, lane: DeviceWorker, sides: Sequence[tuple[_Image, _Image]], *, counts_only: bool
    ) -> list[PairMatches]:
        """Return a pair's matches; an image without keypoints has none."""
        none = np.zeros(0, np.int64)
        nothing = PairMatches(np.zeros(len(_COUNTS), np.float32), none, none, np.zeros(0, np.float32))
        filled = [place for place, (left, right) in enumerate(sides) if len(left) and len(right)]
        found = [nothing] * len(sides)
        for place, one in zip(filled, lane.match([sides[at] for at in filled], counts_only=counts_only), strict=True):
            found[place] = one
        return found

    def _agreeing(self, sides: tuple[_Image, _Image], found: PairMatches) -> NDArray[np.bool_]:
        left, right = sides
        from_xy, to_xy = left.keypoints_xy[found.first], right.keypoints_xy[found.second]
        return agreeing(from_xy, to_xy, self.config.geometry, self.config.tolerance * right.long_side)


def _left_first(pair: Pair, length: Mapping[MatchKey, int]) -> Pair:
    left, right = sorted(pair, key=lambda key: (-length[key], key))
    return left, right
