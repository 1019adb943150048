"""Write photographs as a plain table, as `predict` reads it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from animalclef.runtime.atomic_files import write_csv
from animalclef.structures import ImageTable

__all__ = ["write_plain_table"]

_COLUMNS = (
    "image_id", "identity", "path", "date", "orientation", "species", "split", "dataset", "encounter", "bbox",
    "segmentation",
)  # fmt: skip


def write_plain_table(images: ImageTable, out: Path) -> None:
    """Write the columns of the competition's table, with encounters, boxes in pixels and segmentations.

    Raises:
        OutputError: the file cannot be written.
    """
    mask = [""] * len(images) if images.mask is None else images.mask.tolist()
    cells = zip(
        images.image_id, [who or "" for who in images.identity], images.path, images.date, images.viewpoint,
        images.species, ["query" if query else "database" for query in images.is_query], images.dataset,
        images.encounter, map(_box, images.bbox_xywhr), mask, strict=True,
    )  # fmt: skip
    write_csv(out, _COLUMNS, list(cells))


def _box(box: np.ndarray[tuple[int], np.dtype[np.float32]]) -> str:
    return json.dumps([float(str(side)) for side in box]) if np.isfinite(box).all() else ""
