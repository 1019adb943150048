"""Measure the share of matches that lie outside the animals' masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from animalclef.data.masks import find_masks, inside, read_mask
from animalclef.errors import DataError
from animalclef.features.local.entries import features_from_entry
from animalclef.store.finished_run import FinishedRun
from animalclef.structures import Correspondences, ImageTable, LocalFeatures
from animalclef.structures.arrays import BoolArray

__all__ = ["BackgroundShare", "background_of_run", "share_outside"]


@dataclass(frozen=True)
class BackgroundShare:
    """The mean share of matches, and of inliers, outside a mask for the best candidates of one data set."""

    dataset: str
    pairs: int  # best candidates with a match and both masks
    matches: float
    inliers: float


def share_outside(
    matched: Correspondences,
    masks: tuple[BoolArray, BoolArray],
    sizes_wh: tuple[tuple[int, int], tuple[int, int]],
    *,
    inliers_only: bool = False,
) -> float:
    """Return the share of matches with an end outside its image's mask, NaN without matches.

    `masks` (of any scale) and `sizes_wh` are those of the query and of the gallery image.
    """
    on_both = inside(masks[0], matched.query_xy, sizes_wh[0]) & inside(masks[1], matched.gallery_xy, sizes_wh[1])
    counted = on_both[matched.is_inlier] if inliers_only else on_both
    return float(1 - counted.mean()) if len(counted) else float("nan")


def background_of_run(
    run: FinishedRun,
    images: ImageTable,
    folder: Path | None,
    correspond: Callable[[LocalFeatures, LocalFeatures], Correspondences],
) -> list[BackgroundShare]:
    """Measure the matches of every query's best candidate against the masks of `folder` or of the table.

    All keypoints of the run are matched again by `correspond`, also those that the run's own masks dropped.

    Raises:
        DataError: there are no masks, one is not right, or the run keeps no local features.
    """
    masks = find_masks(images, folder)
    if masks is None:
        raise DataError(f"{images.root}: no masks in the table; give --masks the folder that `animalclef mask` made.")
    features, ranked = _run_features(run), run.ranked
    row_of, rows = images.row_of, []
    for query_id, own in run.rows_of.items():
        gallery_id, dataset = ranked.gallery_id[own.start], ranked.dataset[own.start]
        first, second = row_of.get(query_id), row_of.get(gallery_id)
        if first is None or second is None or not (masks.source[first] and masks.source[second]):
            continue
        query, candidate = features(query_id), features(gallery_id)
        sizes = (query.image_size_wh, candidate.image_size_wh)
        mask = read_mask(images, first, masks.source[first], sizes[0])
        other = read_mask(images, second, masks.source[second], sizes[1])
        if mask is None or other is None:
            continue
        both = (mask, other)
        matched = correspond(query, candidate)
        rows.append((dataset, *(share_outside(matched, both, sizes, inliers_only=only) for only in (False, True))))
    table = pd.DataFrame(rows, columns=["dataset", "matches", "inliers"]).dropna(subset=["matches"])
    return [
        BackgroundShare(str(name), len(part), _mean(part["matches"].to_numpy()), _mean(part["inliers"].to_numpy()))
        for name, part in table.groupby("dataset", sort=True)
    ]


def _run_features(run: FinishedRun) -> Callable[[str], LocalFeatures]:
    """Return a reader of the unmasked local features of an image_id."""
    images, row_of = run.images, run.images.row_of
    if not run.keypoint_stores:
        raise DataError(f"{run.path}: the run has no local features. Run predict with a matcher first.")

    def read(image_id: str) -> LocalFeatures:
        row = row_of[image_id]
        return features_from_entry(images.key[row], run.keypoint_stores[images.dataset[row]].get(images.key[row]))

    return read


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
