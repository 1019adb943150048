"""Local features as the matcher sees them: masked, away from the border, from every view."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from animalclef.config import KeypointConfig
from animalclef.data.hashing import derived_key
from animalclef.data.masks import Masks, find_masks, inside, read_mask
from animalclef.features.local.entries import features_from_entry
from animalclef.features.local.query_views import upright_xy, view_key
from animalclef.runtime.progress import Progress
from animalclef.runtime.threads import worker_threads
from animalclef.store.shard_store import ShardStore
from animalclef.structures import ContentKey, ImageTable, LocalFeatures, MatchKey
from animalclef.structures.arrays import BoolArray

__all__ = ["FeatureReader", "Wanted", "apply_masks", "matching_keys", "store_name"]


@dataclass(frozen=True)
class Wanted:
    """What stands behind a matching key."""

    content_key: ContentKey
    view: str  # "" for the photograph as it is
    masked: bool
    upright: bool  # keypoints are described without a turn


@dataclass(frozen=True, eq=False)
class FeatureReader:
    """Local features by matching key: a photograph's content key, or one derived from it by mask and view."""

    extractor: str
    stores: Mapping[str, ShardStore]  # by `store_name`
    kept: ShardStore  # which keypoints lie inside the mask, by matching key
    border: float
    wanted: Mapping[MatchKey, Wanted]
    most: int | None = None  # of the keypoints that are kept, the strongest

    def __call__(self, key: MatchKey) -> LocalFeatures:
        """Return the features to match.

        Raises:
            KeyError: nothing is known of the key.
            StaleArtefactError: the features were made by another extractor.
        """
        one = self.wanted[key]
        features = self.whole(key)
        keep = _away_from_border(features, self.border)
        if one.masked:
            keep &= self.kept.get(key)["inside"].astype(bool)
        if self.most is not None and keep.sum() > self.most:
            keep[np.flatnonzero(keep)[self.most :]] = False
        return features if keep.all() else features.select(keep)

    @property
    def made_by(self) -> str:
        """Return a name that changes with whatever shapes the features that are matched."""
        name = self.stores[""].folder.name
        return name if self.most is None else f"{name}-{self.most}"

    def whole(self, key: MatchKey) -> LocalFeatures:
        """Return the features with the keypoints that a mask or the border drops."""
        one = self.wanted[key]
        store = self.stores[store_name(one.view, upright=one.upright)]
        return features_from_entry(key, store.get(one.content_key), self.extractor)


def store_name(view: str, *, upright: bool) -> str:
    """Return the name of a store of local features.

    >>> store_name("", upright=False), store_name("", upright=True), store_name("rot90", upright=True)
    ('', 'upright', 'rot90-upright')
    """
    return "-".join(part for part in (view, "upright" if upright else "") if part)


def matching_keys(
    images: ImageTable, config: KeypointConfig
) -> tuple[ImageTable, dict[MatchKey, Wanted], Masks | None]:
    """Return the table with matching keys for content keys, what each stands for, and the masks.

    A mask's content is part of the key, and so is whether keypoints are upright: no pair matched under another mask, or
    with other orientations, is ever taken for this one.

    Raises:
        DataError: a mask is named that is not there.
    """
    masks = find_masks(images, None if config.masks is None else Path(config.masks), report=False)
    digests = [""] * len(images) if masks is None else masks.digest
    upright = {name for name in images.datasets if config.is_upright(name)}
    keys: list[MatchKey] = []
    wanted: dict[MatchKey, Wanted] = {}
    for content_key, digest, dataset in zip(images.key, digests, images.dataset, strict=True):
        key = MatchKey(derived_key(content_key, "mask", digest) if digest else content_key)
        key = MatchKey(derived_key(key, "upright")) if dataset in upright else key
        keys.append(key)
        plain = Wanted(content_key, "", bool(digest), dataset in upright)
        wanted[key] = plain
        for view in config.views.get(dataset, ()):
            wanted[view_key(key, view)] = replace(plain, view=view)
    return images.with_columns(key=np.array(keys, dtype=object)), wanted, masks


def apply_masks(
    reader: FeatureReader, images: ImageTable, masks: Masks, views: Mapping[str, tuple[str, ...]], workers: int,
    progress: Progress, warn: Callable[[str], None],
) -> None:  # fmt: skip
    """Note for every masked photograph and each of its views which keypoints lie inside; `images` has matching keys.

    `warn` gets a sentence about photographs of which no keypoint is left.

    Raises:
        DataError: a mask cannot be read, or has not the photograph's shape.
    """
    keys_of = {
        row: {"": key, **{view: view_key(key, view) for view in views.get(dataset, ())}}
        for row, (key, dataset, source) in enumerate(zip(images.key, images.dataset, masks.source, strict=True))
        if source
    }
    absent = set(reader.kept.verify(key for keys in keys_of.values() for key in keys.values()))
    rows = [row for row, keys in keys_of.items() if absent & set(keys.values())]

    def inside_mask(row: int) -> list[tuple[MatchKey, BoolArray]]:
        size_wh = reader.whole(keys_of[row][""]).image_size_wh
        mask = read_mask(images, row, masks.source[row], size_wh)
        found = []
        for view, key in keys_of[row].items():
            features = reader.whole(key)
            xy = upright_xy(features.keypoints_xy, features.image_size_wh, view)
            found.append((key, np.ones(len(xy), dtype=bool) if mask is None else inside(mask, xy, size_wh)))
        return found

    with worker_threads(workers) as pool, progress.task("applying masks", len(rows), "images") as advance:
        for start in range(0, len(rows), 64):
            some = rows[start : start + 64]
            found = {key: flags for one in pool.map(inside_mask, some) for key, flags in one if key in absent}
            reader.kept.put({key: {"inside": flags.astype(np.uint8)} for key, flags in found.items()})
            absent -= set(found)
            advance(len(some))
    flags = {row: reader.kept.get(keys[""])["inside"] for row, keys in keys_of.items()}
    bare = [row for row, inside_mask in flags.items() if len(inside_mask) and not inside_mask.any()]
    if bare:
        warn(
            f"{len(bare)} of {len(keys_of)} masks keep no keypoint of their photograph, so nothing of it is matched "
            f"(first: of {images.path[bare[0]]}). Look at the masks."
        )


def _away_from_border(features: LocalFeatures, border: float) -> BoolArray:
    """Return which keypoints, (m,), are further from every side than the share `border` of it."""
    if not border:
        return np.ones(len(features), dtype=bool)
    share = (features.keypoints_xy + 0.5) / np.array(features.image_size_wh, dtype=np.float32)
    return np.asarray(((share >= border) & (share <= 1 - border)).all(axis=1))
