"""Explain the similarity of two photographs: a relevance map over each, and corresponding places.

After PAIR-X (Shrack et al. 2025, arXiv 2503.22881, Pairwise Matching of Intermediate Representations for Fine-grained
Explainability): relevance of the pair's similarity, propagated to an intermediate layer, weighs the matches between the
two photographs' activations there. `pairx_network` and `pairx_vlad` name their differences from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.structures import FloatArray

__all__ = ["Agreement", "agreeing_cells", "cell_centres", "heat_at", "heat_of", "scaled"]


@dataclass(frozen=True, eq=False)
class Agreement:
    """Relevance maps over whole photographs, and corresponding places as shares of width and height."""

    cosine: float
    query_map: FloatArray  # (h, w) in [0, 1], divided by its largest value
    gallery_map: FloatArray  # (h, w) in [0, 1]
    query_xy: FloatArray  # (n, 2)
    gallery_xy: FloatArray  # (n, 2)
    weight: FloatArray  # (n,) in (0, 1], falling
    note: str = ""  # if the cosine is not the one that the run ranks by

    def __post_init__(self) -> None:
        count = len(self.weight)
        if self.query_xy.shape != (count, 2) or self.gallery_xy.shape != (count, 2):
            shapes = f"{self.query_xy.shape} and {self.gallery_xy.shape}"
            raise ValueError(f"{count} weights need as many places in both photographs, got {shapes}.")
        if self.query_map.ndim != 2 or self.gallery_map.ndim != 2:
            raise ValueError(f"expected two maps, got {self.query_map.shape} and {self.gallery_map.shape}.")


def scaled(values: NDArray[np.floating]) -> FloatArray:
    """Return the positive part divided by its largest value; zeros where nothing is positive."""
    positive = np.maximum(values, 0)
    highest = float(positive.max(initial=0))
    return np.asarray(positive / highest if highest > 0 else positive, dtype=np.float32)


def heat_of(cells: FloatArray, size_wh: tuple[int, int]) -> FloatArray:
    """Return a map at the size of a photograph, (H, W): linear between the centres of its cells."""
    return np.asarray(cv2.resize(cells, size_wh, interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def heat_at(cells: FloatArray, places_xy: FloatArray) -> FloatArray:
    """Return the values of the cells that places lie in, (n,)."""
    size_wh = np.array(cells.shape[::-1])
    at = np.clip((places_xy * size_wh).astype(np.int64), 0, size_wh - 1)
    return np.asarray(cells[at[:, 1], at[:, 0]])


def cell_centres(cells: NDArray[np.int64], grid_hw: tuple[int, ...]) -> FloatArray:
    """Return the centres of cells, counted along rows, as shares of width and height, (n, 2)."""
    rows, columns = np.divmod(cells, grid_hw[1])
    centres = np.stack([(columns + 0.5) / grid_hw[1], (rows + 0.5) / grid_hw[0]], axis=-1)
    return np.asarray(centres.reshape(-1, 2), dtype=np.float32)


def agreeing_cells(
    query: FloatArray, gallery: FloatArray, query_map: FloatArray, gallery_map: FloatArray, most: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the `most` pairs of cells of highest weight: places in both photographs and weights, for `Agreement`.

    `query` and `gallery` are activations, (h, w, c). Two cells match if each is the other's nearest by cosine; their
    weight is the cosine times both relevances.
    """
    first, second = (_unit_rows(one) for one in (query, gallery))
    likeness = first @ second.T
    towards, back = likeness.argmax(axis=1), likeness.argmax(axis=0)
    cells = np.flatnonzero(back[towards] == np.arange(len(first)))
    weight = likeness[cells, towards[cells]] * query_map.ravel()[cells] * gallery_map.ravel()[towards[cells]]
    order = np.argsort(-weight, kind="stable")[:most]
    order = order[weight[order] > 0]
    places = cell_centres(cells[order], query.shape[:2]), cell_centres(towards[cells[order]], gallery.shape[:2])
    return *places, scaled(weight[order])


def _unit_rows(values: FloatArray) -> NDArray[np.float64]:
    rows = values.reshape(-1, values.shape[-1]).astype(np.float64)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))
