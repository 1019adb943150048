"""Image tables without files, for tests of what comes after reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from animalclef.structures import Embeddings, ImageTable

__all__ = ["Row", "embeddings_of", "image_table", "strings"]


@dataclass(frozen=True)
class Row:
    """One photograph; a query where it has no identity."""

    image_id: str
    identity: str | None = None
    viewpoint: str = ""
    dataset: str = "lynx"


def strings(*values: str | None) -> NDArray[np.object_]:
    """An array of strings as artefacts hold them."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def image_table(rows: Sequence[Row]) -> ImageTable:
    """The rows as a table; content keys count from 1."""
    absent = strings(*[""] * len(rows))
    return ImageTable(
        root=Path(),
        image_id=strings(*[row.image_id for row in rows]),
        path=strings(*[f"{row.image_id}.jpg" for row in rows]),
        dataset=strings(*[row.dataset for row in rows]),
        is_query=np.array([row.identity is None for row in rows], dtype=bool),
        identity=strings(*[row.identity for row in rows]),
        date=absent, viewpoint=strings(*[row.viewpoint for row in rows]), species=absent, encounter=absent,
        bbox_xywhr=np.full((len(rows), 5), np.nan, dtype=np.float32),
        key=strings(*[f"{number + 1:016x}{0:016x}" for number in range(len(rows))]),
    )  # fmt: skip


def embeddings_of(images: ImageTable, values: Sequence[Sequence[float]]) -> Embeddings:
    """The given vectors, as they are."""
    return Embeddings("test", images.image_id, np.array(values, dtype=np.float32).reshape(len(images), -1))
