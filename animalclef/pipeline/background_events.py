"""Link database photographs of one individual whose backgrounds match: they show one place at one hour.

Only keypoints off the animal are compared. Pairs of different individuals, drawn at random, show how often backgrounds
match by themselves: at a feeding rack with a fixed camera they always do, and then nothing is linked.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.config import KeypointConfig, RerankConfig, fingerprint
from animalclef.data.dates import day_of
from animalclef.data.decode import decoding_of
from animalclef.data.encounters import linked_rows
from animalclef.data.masks import inside
from animalclef.features.extract import ExtractionJob
from animalclef.features.local.entries import features_from_entry
from animalclef.features.local.sift import SiftExtractor, no_features
from animalclef.matching.nearest_neighbour import MutualNearest
from animalclef.pipeline.run_context import RunContext
from animalclef.runtime.regular_files import is_gone
from animalclef.runtime.threads import one_thread_each, worker_threads
from animalclef.runtime.wording import counted
from animalclef.store.shard_store import ShardStore
from animalclef.structures import ImageTable, LocalFeatures, MatchKey, StrArray
from animalclef.structures.arrays import BoolArray

__all__ = ["BackgroundLinks", "leave_enough", "link_by_background", "linking_threshold"]

_LEAST_INLIERS = 12  # verified matches off the animal that link two photographs
_USUAL = 0.99  # quantile of the verified matches of random pairs of different individuals; a link needs more
_FIXED = 0.9  # quantile of the same: where it reaches the least inliers, the background is always the same
_PAIRS_EACH, _CONTROLS = 30, 400  # pairs of one individual, and random pairs of different ones, at most
_KEYPOINTS = KeypointConfig(long_side=512, max_keypoints=640, contrast_threshold=0.02)

Mask = Callable[[str], BoolArray | None]
Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class BackgroundLinks:
    """Pairs of photographs that were linked, by data set."""

    pairs: dict[str, tuple[tuple[str, str, int], ...]]  # image_id, image_id, verified matches off the animal

    def sentences(self) -> list[str]:
        """Return a sentence for each data set in which photographs were linked."""
        return [
            f"{name}: {counted(len(pairs), 'pair')} of database photographs with matching backgrounds, each counted as "
            "one encounter. An encounter column would say more."
            for name, pairs in sorted(self.pairs.items())
            if pairs
        ]

    def all(self) -> tuple[tuple[str, str, int], ...]:
        """Return the links of all data sets."""
        return tuple(pair for name in sorted(self.pairs) for pair in self.pairs[name])


def link_by_background(gallery: ImageTable, mask_of: Mask, context: RunContext) -> BackgroundLinks:
    """Compare the backgrounds of database photographs that have neither an encounter nor a day.

    `mask_of` gives the animal's mask by content key; a photograph without one is left out. Keys are those of whole
    photographs.
    """
    undated = (gallery.encounter == "") & np.array([day_of(date) is None for date in gallery.date], dtype=bool)
    masked = np.array([mask_of(key) is not None for key in gallery.key], dtype=bool)
    usable = gallery.select(undated & masked)
    plan = {name: _pairs_of(usable, name, context.config.seed) for name in usable.datasets}
    every = [pair for same, other in plan.values() for pair in [*same, *other]]
    if not every:
        return BackgroundLinks({})
    store, gone = _described(usable, np.unique(np.array(every, dtype=np.int64)), context)
    scores = _matched([pair for pair in every if gone.isdisjoint(pair)], usable, mask_of, store, context)
    links = {}
    for name, (same, other) in plan.items():
        least = linking_threshold([scores[pair] for pair in other if pair in scores])
        found = [pair for pair in same if least is not None and scores.get(pair, 0) >= least]
        if not leave_enough(found, usable.identity[usable.dataset == name].tolist(), usable.identity):
            found = []
        links[name] = tuple((str(usable.image_id[a]), str(usable.image_id[b]), scores[a, b]) for a, b in found)
    return BackgroundLinks(links)


def linking_threshold(controls: Sequence[int]) -> int | None:
    """Return the verified matches that link two photographs; `None` where the background is always the same.

    `controls` are those of random pairs of different individuals; 12 are needed, and more than 99% of these have.

    >>> linking_threshold([0, 1, 0, 2]), linking_threshold([0] * 95 + [30] * 5), linking_threshold([20, 25, 30])
    (12, 31, None)
    """
    if not controls:
        return _LEAST_INLIERS
    usual, fixed = np.quantile(np.asarray(controls), [_USUAL, _FIXED], method="inverted_cdf").tolist()
    return None if fixed >= _LEAST_INLIERS else max(_LEAST_INLIERS, int(usual) + 1)


def leave_enough(links: Sequence[Pair], individuals: Sequence[str], identity: StrArray) -> bool:
    """Return whether most individuals with several photographs still have several encounters once these are linked.

    Where they have not, what matched is no event: a mask that leaves out part of the animal, or a place that is always
    the same. `identity` names the individual of every row that a link speaks of.
    """
    photographs, joined = Counter(individuals), linked_rows(len(identity), links) != np.arange(len(identity))
    several = [who for who, count in photographs.items() if count > 1]
    merged = Counter(identity[joined].tolist())
    return 2 * sum(photographs[who] - merged[who] > 1 for who in several) >= len(several)


def _pairs_of(images: ImageTable, dataset: str, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Return pairs of rows of one individual each, and as many random ones of different individuals."""
    rng = np.random.default_rng([seed, 13])
    rows = np.flatnonzero(images.dataset == dataset)
    by_identity: dict[str, list[int]] = defaultdict(list)
    for row in rows.tolist():
        by_identity[images.identity[row]].append(row)
    same: list[Pair] = []
    for mine in by_identity.values():
        pairs = [(one, two) for place, one in enumerate(mine) for two in mine[place + 1 :]]
        if len(pairs) > _PAIRS_EACH:
            pairs = [pairs[place] for place in np.sort(rng.permutation(len(pairs))[:_PAIRS_EACH])]
        same += pairs
    drawn = rng.choice(rows, size=(min(2 * len(same), _CONTROLS), 2)) if len(rows) else np.zeros((0, 2), int)
    other = [(min(pair), max(pair)) for pair in drawn.tolist() if images.identity[pair[0]] != images.identity[pair[1]]]
    return (same, list(dict.fromkeys(other))) if same else ([], [])


def _described(images: ImageTable, wanted: NDArray[np.int64], context: RunContext) -> tuple[ShardStore, set[int]]:
    """Describe the backgrounds of the wanted rows; return the store, and the rows that are gone and not in it."""
    run, extractor, decoding = context.folder, SiftExtractor(_KEYPOINTS), decoding_of(context.config.data)
    store = ShardStore(run.store("backgrounds", fingerprint(1, extractor.fingerprint, decoding)))
    unreadable = ShardStore(run.store("unreadable", fingerprint(1, decoding, "backgrounds")))
    gone = {row for row in wanted.tolist() if images.key[row] not in store and is_gone(images.root / images.path[row])}
    context.extract(images.select(np.setdiff1d(wanted, list(gone))), [ExtractionJob(extractor, store)], unreadable)
    return store, gone


def _matched(
    pairs: Sequence[Pair], images: ImageTable, mask_of: Mask, store: ShardStore, context: RunContext
) -> dict[Pair, int]:
    matcher = MutualNearest(RerankConfig())
    features = {row: _off_animal(images.key[row], mask_of, store) for row in {row for pair in pairs for row in pair}}
    by_first: dict[int, list[int]] = defaultdict(list)
    for one, two in dict.fromkeys(pairs):
        by_first[one].append(two)

    def match(one: int) -> list[tuple[Pair, int]]:
        scores = matcher.match(features[one], [features[two] for two in by_first[one]])
        column = matcher.columns.index("inliers")
        return [((one, two), int(row[column])) for two, row in zip(by_first[one], scores, strict=True)]

    found: dict[Pair, int] = {}
    with (
        one_thread_each(),
        worker_threads(context.workers) as pool,
        context.progress.task("comparing backgrounds", len(by_first), "images") as advance,
    ):
        for part in pool.map(match, by_first):
            found.update(part)
            advance(1)
    return found


def _off_animal(key: str, mask_of: Mask, store: ShardStore) -> LocalFeatures:
    if store.missing([key]):
        return no_features((1, 1), _KEYPOINTS, MatchKey(key))
    features = features_from_entry(key, store.get(key))
    mask = mask_of(key)
    if mask is None:
        return features.select(np.zeros(len(features), dtype=bool))
    kernel = np.ones((2 * max(1, round(0.02 * max(mask.shape))) + 1,) * 2, np.uint8)
    wide = cv2.dilate(mask.astype(np.uint8), kernel) > 0
    return features.select(~inside(np.asarray(wide), features.keypoints_xy, features.image_size_wh))
