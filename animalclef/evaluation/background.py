"""How much of a match lies beside the animals: what masks would have kept out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from animalclef.artefacts import Correspondences, FloatArray, ImageTable, LocalFeatures
from animalclef.data.masks import find_masks, inside, read_mask
from animalclef.errors import DataError

__all__ = ["BackgroundShare", "background_of_run", "share_outside"]

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class BackgroundShare:
    """Of the best candidates of one data set: the mean share of matches, and of inliers, outside a mask."""

    dataset: str
    pairs: int  # best candidates with a match and both masks
    matches: float
    inliers: float


def share_outside(
    matched: Correspondences,
    query_mask: BoolArray,
    gallery_mask: BoolArray,
    query_size_wh: tuple[int, int],
    gallery_size_wh: tuple[int, int],
    *,
    inliers_only: bool = False,
) -> float:
    """The share of matches with an end outside its image's mask, NaN without matches; masks may be of any scale."""
    on_both = inside(query_mask, matched.query_xy, query_size_wh)
    on_both &= inside(gallery_mask, matched.gallery_xy, gallery_size_wh)
    counted = on_both[matched.is_inlier] if inliers_only else on_both
    return float(1 - counted.mean()) if len(counted) else float("nan")


def background_of_run(
    run: Path,
    images: ImageTable,
    folder: Path | None,
    read: Callable[[str], LocalFeatures],
    correspond: Callable[[LocalFeatures, LocalFeatures], Correspondences],
) -> list[BackgroundShare]:
    """Of every query's best candidate, what lay beside the animals by the masks of `folder` or of the table.

    `read` gives the unmasked local features of an image_id.

    Raises:
        DataError: there are no masks, or one is not right.
    """
    masks = find_masks(images, folder)
    if masks is None:
        raise DataError(f"{images.root}: no masks in the table; give --masks the folder that `animalclef mask` made.")
    text = dict.fromkeys(("query_id", "gallery_id", "dataset"), str)
    candidates = pd.read_csv(run / "candidates.csv", dtype=text, keep_default_na=False)
    best = candidates.drop_duplicates("query_id")
    row_of = images.row_of
    rows = []
    for query_id, gallery_id, dataset in zip(best["query_id"], best["gallery_id"], best["dataset"], strict=True):
        pair = (row_of.get(query_id), row_of.get(gallery_id))
        if pair[0] is None or pair[1] is None or not (masks.source[pair[0]] and masks.source[pair[1]]):
            continue
        query, candidate = read(query_id), read(gallery_id)
        sizes = (query.image_size_wh, candidate.image_size_wh)
        both = [read_mask(images, row, masks.source[row], size) for row, size in zip(pair, sizes, strict=True)]
        matched = correspond(query, candidate)
        shares = [share_outside(matched, *both, *sizes, inliers_only=only) for only in (False, True)]
        rows.append((dataset, *shares))
    table = pd.DataFrame(rows, columns=["dataset", "matches", "inliers"]).dropna(subset=["matches"])
    return [
        BackgroundShare(str(name), len(part), _mean(part["matches"].to_numpy()), _mean(part["inliers"].to_numpy()))
        for name, part in table.groupby("dataset", sort=True)
    ]


def _mean(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
