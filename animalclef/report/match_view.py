"""Match the stored keypoints of a pair of photographs again, to draw them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from animalclef.config import Config
from animalclef.data.masks import find_masks, inside, read_mask
from animalclef.errors import ConfigError, DataError, WeightsError
from animalclef.features.local.entries import features_from_entry
from animalclef.pipeline.models import AnyMatcher, open_matcher
from animalclef.runtime.remote_files import store_failure
from animalclef.store.finished_run import FinishedRun
from animalclef.store.shard_store import ShardStore
from animalclef.structures import Correspondences, FloatArray, LocalFeatures
from animalclef.structures.arrays import BoolArray

__all__ = ["Matches", "matcher_of", "store_with"]

logger = logging.getLogger(__name__)


def matcher_of(config: Config, weights: Path | None = None) -> AnyMatcher | None:
    """Open the matcher of a run; return `None` if it matched nothing, or its weights or package are missing now.

    Published weights are searched for in the folder `weights` first.
    """
    try:
        return open_matcher(config, "cpu", weights)
    except (ConfigError, WeightsError) as error:
        logger.warning("Matches cannot be drawn: %s", error)
        return None


class Matches:
    """Matches of a run's pairs, found again from its stored keypoints.

    A run with masks matched only keypoints on them, and so does this. Matches with an end outside the given folder of
    `masks` are marked. Published weights of the matcher are searched for in the folder `weights` first.

    Raises:
        DataError: the folder of masks is missing, or holds none for any photograph.
    """

    def __init__(self, run: FinishedRun, masks: Path | None = None, weights: Path | None = None) -> None:
        self._matcher = matcher_of(run.config, weights)
        self._keypoints = run.config.keypoints
        own = self._keypoints.masks
        self._drops = own is not None or run.images.mask is not None
        self._images, self._masks = run.images, None
        try:
            self._masks = find_masks(run.images, masks if own is None else Path(own))
        except (ConfigError, DataError):  # masks beside photographs in a bucket that gives no answer
            if not store_failure(run.images.root / path for path in run.images.path):
                raise
            self._matcher = None
        self._row_of_key = {key: row for row, key in reversed(list(enumerate(run.images.key)))}
        self._row_of = run.images.row_of
        self._stores: Mapping[str, ShardStore] = {} if self._matcher is None else _keypoint_stores(run)  # by data set

    @property
    def are_there(self) -> bool:
        """The run matched pairs and still has its keypoints."""
        return bool(self._stores)

    def features(self, image_id: str) -> LocalFeatures | None:
        """Return the keypoints of a photograph, or `None` if the run has none of it."""
        row = self._row_of.get(image_id)
        store = None if row is None else self._stores.get(self._images.dataset[row])
        key = "" if row is None else self._images.key[row]
        if store is None or key not in store:
            return None
        try:
            found = features_from_entry(key, store.get(key), self._keypoints.extractor)
        except KeyError:
            return None
        on_animal = self._on_animal(found, found.keypoints_xy) if self._drops else None
        kept = found if on_animal is None else found.select(on_animal)
        return kept.select(np.arange(len(kept))[: self._keypoints.matched])

    def of(self, query_id: str, gallery_id: str) -> Correspondences | None:
        """Return the matches of a pair, or `None` if its keypoints are missing."""
        return self.between(self.features(query_id), self.features(gallery_id))

    def between(self, query: LocalFeatures | None, candidate: LocalFeatures | None) -> Correspondences | None:
        """Match the keypoints of two photographs."""
        if self._matcher is None or query is None or candidate is None:
            return None
        found = self._matcher.correspondences(query, candidate)
        ends = [self._on_animal(query, found.query_xy), self._on_animal(candidate, found.gallery_xy)]
        known = [one for one in ends if one is not None]
        return replace(found, is_outside=~np.logical_and.reduce(known)) if known and not self._drops else found

    def _on_animal(self, features: LocalFeatures, points_xy: FloatArray) -> BoolArray | None:
        """Return which points of a photograph lie on its mask, or `None` if it has no mask."""
        row = self._row_of_key.get(features.key)
        source = "" if self._masks is None or row is None else self._masks.source[row]
        if not source or row is None:
            return None
        mask = read_mask(self._images, row, source, features.image_size_wh)
        return None if mask is None else inside(mask, points_xy, features.image_size_wh)


def _keypoint_stores(run: FinishedRun) -> Mapping[str, ShardStore]:
    """Open the store of each data set that the run noted; for a run of an earlier version, the one with all."""
    if "keypoints" not in run.settings:
        store = store_with(run.path / "keypoints", [key for key in run.images.key if key])
        return {} if store is None else dict.fromkeys(run.images.datasets, store)
    return run.keypoint_stores


def store_with(folder: Path, keys: Sequence[str]) -> ShardStore | None:
    """Open the store of a folder that holds the most of these entries."""
    made_by = "{0.name}" if folder.name == "keypoints" else ""  # only these name their maker in every file
    stores = [ShardStore(path, made_by.format(path)) for path in sorted(folder.glob("*")) if path.is_dir()]
    held = [store for store in stores if len(store.missing(keys)) < len(set(keys))]
    return min(held, key=lambda store: len(store.missing(keys)), default=None)
