"""Further views of a query, turned or mirrored: each is matched like a photograph, and the best one counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import fields
from types import MappingProxyType

import numpy as np

from animalclef.data.hashing import derived_key
from animalclef.features.local.entries import LocalExtractor
from animalclef.store.shard_store import Entry
from animalclef.structures import DecodedImage, FloatArray, ImageTable, MatchKey, PairScores, Shortlist
from animalclef.structures.arrays import Pixels

__all__ = ["ViewExtractor", "best_of_views", "upright_xy", "view_key", "with_views"]


_TURNS: Mapping[str, Callable[[Pixels], Pixels]] = MappingProxyType(
    {
        "rot90": lambda pixels: np.rot90(pixels, k=-1),  # clockwise
        "rot180": lambda pixels: np.rot90(pixels, k=2),
        "rot270": lambda pixels: np.rot90(pixels, k=1),
        "flip": lambda pixels: pixels[:, ::-1],
    }
)

_BETWEEN = "\x1f"  # stands between an image_id and its view; no table has it in a cell


class ViewExtractor:
    """Local features of a view; keypoints in pixels of the view, as a matcher wants them."""

    decodes_fully = False

    def __init__(self, extractor: LocalExtractor, view: str) -> None:
        self.extractor, self.view, self.in_batches = extractor, view, extractor.in_batches

    def extract_features(self, images: Sequence[DecodedImage], pool: Executor) -> list[Entry]:
        """Return the extractor's entries of the turned images."""
        return self.extractor.extract_features([_turned(image, self.view) for image in images], pool)


def view_key(key: MatchKey, view: str) -> MatchKey:
    """Return the key that the features of a view are matched under."""
    return MatchKey(derived_key(key, "view", view))


def upright_xy(keypoints_xy: FloatArray, view_size_wh: tuple[int, int], view: str) -> FloatArray:
    """Return where keypoints of a view, which is `view_size_wh` pixels large, lie in the photograph, (m, 2)."""
    x, y = keypoints_xy.T
    right, bottom = view_size_wh[0] - 1, view_size_wh[1] - 1
    places = {
        "": (x, y),
        "rot90": (y, right - x),
        "rot180": (right - x, bottom - y),
        "rot270": (bottom - y, x),
        "flip": (right - x, y),
    }
    return np.stack(places[view], axis=1).astype(np.float32)


def with_views(
    shortlist: Shortlist, images: ImageTable, views: Mapping[str, Sequence[str]]
) -> tuple[Shortlist, ImageTable]:
    """Return every view of a query as a query of its own, with the same candidates; `views` are by data set."""
    if not views:
        return shortlist, images
    row_of, queries = images.row_of, range(len(shortlist.query_id))
    dataset = [images.dataset[row_of[image_id]] for image_id in shortlist.query_id]
    added = [(row, view) for row in queries for view in views.get(dataset[row], ())]
    rows = np.array([*queries, *(row for row, _ in added)], dtype=np.int64)
    owner = np.array([row_of[shortlist.query_id[row]] for row, _ in added], dtype=np.int64)
    ids = [f"{shortlist.query_id[row]}{_BETWEEN}{view}" for row, view in added]
    keys = [view_key(images.key[row], view) for row, (_, view) in zip(owner, added, strict=True)]
    of_views = {"image_id": np.array(ids, dtype=object), "key": np.array(keys, dtype=object)}
    both = {
        field.name: np.concatenate([column, of_views.get(field.name, column[owner])])
        for field in fields(images)
        if isinstance(column := getattr(images, field.name), np.ndarray)
    }
    query_id = np.array([*shortlist.query_id, *ids], dtype=object)
    return Shortlist(
        query_id, shortlist.gallery_id, shortlist.index[rows], shortlist.similarity[rows]
    ), images.with_columns(**both)


def best_of_views(scores: PairScores, main: str) -> PairScores:
    """Return one row per pair, in the order of the photographs as they are: of the view with the best `main` score.

    All columns come from that view; the photograph as it is wins ties, then the view named first.
    """
    owner = np.array([str(image_id).partition(_BETWEEN)[0] for image_id in scores.query_id], dtype=object)
    best: dict[tuple[str, str], int] = {}
    values = np.nan_to_num(scores.columns[main], nan=-np.inf)
    for row, pair in enumerate(zip(owner, scores.gallery_id, strict=True)):
        held = best.setdefault(pair, row)
        if values[row] > values[held]:
            best[pair] = row
    rows = np.array(list(best.values()), dtype=np.int64)
    return PairScores(owner[rows], scores.gallery_id[rows], {name: one[rows] for name, one in scores.columns.items()})


def _turned(image: DecodedImage, view: str) -> DecodedImage:
    turn = _TURNS[view]
    width, height = image.original_size_wh
    size_wh = (height, width) if view in ("rot90", "rot270") else (width, height)
    alpha = None if image.alpha is None else np.ascontiguousarray(turn(image.alpha))
    return DecodedImage(np.ascontiguousarray(turn(image.pixels)), alpha, size_wh)
