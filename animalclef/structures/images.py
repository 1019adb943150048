"""Photographs: the table of them, their pixels, and what was skipped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from animalclef.runtime.wording import counted
from animalclef.structures.arrays import (
    BoolArray,
    FloatArray,
    Pixels,
    StrArray,
    check_rows,
    check_shape,
    select_rows,
    text_array,
)

__all__ = ["WHOLE_XYWHR", "DecodedImage", "ImageTable", "Skipped", "box_text", "boxes_of_texts"]

WHOLE_XYWHR: FloatArray = np.full(5, np.nan, dtype=np.float32)
"""The box of a whole photograph."""
WHOLE_XYWHR.flags.writeable = False

_TEXTS = ("path", "dataset", "identity", "date", "viewpoint", "species", "encounter", "key")
_COLUMNS = (*_TEXTS, "is_query", "mask", "extra")


@dataclass(frozen=True, eq=False)
class ImageTable:
    """One row per photograph (or per box in a photograph).

    `bbox_xywhr` holds x, y, width, height in pixels of the upright photograph and a clockwise rotation in radians
    about the box's centre; a row of NaN means the whole photograph. `key` is the content key of the row's pixels
    (file bytes and box), empty until the files have been read.
    """

    root: Path
    image_id: StrArray  # (n,) str, unique
    path: StrArray  # (n,) str, relative to root
    dataset: StrArray  # (n,) str
    is_query: BoolArray  # (n,)
    identity: StrArray  # (n,) str, or None: every query, and gallery rows without a name
    date: StrArray  # (n,) str YYYY-MM-DD..., "" where absent
    viewpoint: StrArray  # (n,) str, "" where absent
    species: StrArray  # (n,) str, "" where absent
    encounter: StrArray  # (n,) str, "" where absent
    bbox_xywhr: FloatArray  # (n, 5)
    key: StrArray  # (n,) str
    mask: StrArray | None = None  # (n,) path of a mask relative to root, or a segmentation as JSON; "" where absent
    extra: StrArray | None = None  # (n,) JSON: cells of the table's further columns by name; "" where absent

    def __post_init__(self) -> None:
        n = len(self.image_id)
        check_rows(self, n, *_COLUMNS)
        check_shape("bbox_xywhr", self.bbox_xywhr, (n, 5))
        if len(set(self.image_id)) != n:
            raise ValueError("image_id: expected unique values.")
        if any(name is not None for name in self.identity[self.is_query]):
            raise ValueError("identity: a query's identity must be None; it is never read.")

    @classmethod
    def of_lists(
        cls,
        root: Path,
        is_query: Sequence[bool],
        bbox_xywhr: FloatArray | None = None,
        mask: Sequence[str] | None = None,
        **texts: Sequence[str | None],
    ) -> ImageTable:
        """Build a table of texts by column; a column that is absent is empty, without boxes photographs are whole."""
        n = len(is_query)
        columns = {name: text_array(values) for name, values in (dict.fromkeys(_TEXTS, [""] * n) | texts).items()}
        boxes = np.tile(WHOLE_XYWHR, (n, 1)) if bbox_xywhr is None else bbox_xywhr
        masks = None if mask is None else text_array(mask)
        return cls(root=root, is_query=np.array(is_query, dtype=bool), bbox_xywhr=boxes, mask=masks, **columns)

    def __len__(self) -> int:
        return len(self.image_id)

    def __repr__(self) -> str:
        queries = counted(int(self.is_query.sum()), "query")
        return f"ImageTable({counted(len(self), 'photograph')}, {queries}, of {', '.join(self.datasets)})"

    @property
    def datasets(self) -> list[str]:
        """Data set names, sorted."""
        return sorted(set(self.dataset))

    @property
    def row_of(self) -> dict[str, int]:
        """Row number of each image_id."""
        return {image_id: row for row, image_id in enumerate(self.image_id)}

    def select(self, rows: NDArray[np.generic]) -> ImageTable:
        """Return the given rows (indices or a mask), in that order."""
        return select_rows(self, rows, "image_id", "bbox_xywhr", *_COLUMNS)

    def viewpoints_agree(self, query_id: StrArray, gallery_id: StrArray) -> BoolArray:
        """Return which pairs share their viewpoint; one that is not known agrees with all."""
        viewpoint = dict(zip(self.image_id, self.viewpoint, strict=True))
        one, other = (text_array([viewpoint[image_id] for image_id in ids]) for ids in (query_id, gallery_id))
        return np.asarray((one == other) | (one == "") | (other == ""), dtype=bool)

    def skipped(self, row: int, reason: str) -> Skipped:
        """Return a row as a photograph that could not be used, and why."""
        return Skipped(self.image_id[row], self.path[row], "query" if self.is_query[row] else "gallery", reason)

    def with_columns(self, **columns: NDArray[np.generic]) -> ImageTable:
        """Return a copy with some columns replaced."""
        return replace(self, **columns)  # type: ignore[arg-type]

    @property
    def queries(self) -> ImageTable:
        """The rows to be answered."""
        return self.select(self.is_query)

    @property
    def is_named(self) -> BoolArray:
        """Which rows have a name, (n,); a query has none."""
        return np.array([identity is not None for identity in self.identity], dtype=bool)

    @property
    def gallery(self) -> ImageTable:
        """The rows that can be answers: not a query, and with a name."""
        return self.select(self.is_named)


def box_text(box_xywhr: FloatArray) -> str:
    """Return a box as runs and catalogues hold it: JSON, "" for the whole photograph."""
    return json.dumps(box_xywhr.tolist()) if np.isfinite(box_xywhr).all() else ""


def boxes_of_texts(texts: Iterable[str | None]) -> FloatArray:
    """Return (n, 5) boxes of what `box_text` wrote."""
    rows = [json.loads(text) if text else WHOLE_XYWHR for text in texts]
    return np.array(rows, dtype=np.float32).reshape(-1, 5)


@dataclass(frozen=True)
class Skipped:
    """A photograph that could not be used, and why."""

    image_id: str
    path: str
    split: str
    reason: str


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """Pixels of one row, upright, cropped to its box."""

    pixels: Pixels  # (H, W, 3) RGB
    alpha: Pixels | None  # (H, W), None where the file has no transparency
    original_size_wh: tuple[int, int]  # before any reduction, after cropping

    def __post_init__(self) -> None:
        check_shape("pixels", self.pixels, (None, None, 3))
        if self.alpha is not None:
            check_shape("alpha", self.alpha, self.pixels.shape[:2])

    @property
    def opaque(self) -> BoolArray | None:
        """(H, W), true where the image is opaque; `None` where it is opaque everywhere."""
        return None if self.alpha is None or self.alpha.min() > 127 else np.asarray(self.alpha > 127)
