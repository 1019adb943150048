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

from animalclef.config import EmbedConfig
from animalclef.features.embedding.vlad import Codebook, residuals_of, vlad_of
from animalclef.structures import DecodedImage, FloatArray

__all__ = [
    "Agreement",
    "Parts",
    "agreeing_cells",
    "agreement_of_vlad",
    "cell_centres",
    "contributions",
    "heat_of",
    "parts_of",
    "scaled",
]

_APART = 0.06  # of a side: closer places are shown once, as descriptors of several sizes overlap


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


def _heat_at(cells: FloatArray, places_xy: FloatArray) -> FloatArray:
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


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of one VLAD vector; the sum over a word's rows is the word's part of the vector."""

    shares: FloatArray  # (m, d), each with the sign of the vector's entry or zero
    word: NDArray[np.int64]  # (m,)
    places_xy: FloatArray  # (m, 2) shares of width and height
    vector: FloatArray  # (k, d), as a whole of length 1


def agreement_of_vlad(
    query: DecodedImage, gallery: DecodedImage, codebook: Codebook, config: EmbedConfig, most: int = 12
) -> Agreement:
    """Return maps of the descriptors' contributions to the inner product, and the `most` largest pairs."""
    first, second = parts_of(query, codebook, config), parts_of(gallery, codebook, config)
    maps = (
        _spread(contributions(first, second), first.places_xy, query, config),
        _spread(contributions(second, first), second.places_xy, gallery, config),
    )
    cosine = float((first.vector * second.vector).sum())
    return Agreement(cosine, *maps, *_agreeing(first, second, maps, most), note="before PCA")


def parts_of(image: DecodedImage, codebook: Codebook, config: EmbedConfig) -> Parts:
    """Return the photograph's VLAD vector in parts."""
    residuals, word, places = residuals_of(image, codebook, config)
    sums, same_sign = np.zeros_like(codebook.words), np.zeros_like(codebook.words)
    np.add.at(sums, word, residuals)
    alike = np.where(np.sign(residuals) == np.sign(sums)[word], np.abs(residuals), 0)
    np.add.at(same_sign, word, alike)
    vector = vlad_of(sums).reshape(sums.shape)
    shares = vector[word] * alike / np.maximum(same_sign[word], 1e-20)
    return Parts(shares.astype(np.float32), word, places + np.float32(0.5), vector)


def contributions(own: Parts, other: Parts) -> FloatArray:
    """Return each descriptor's share of the inner product of the two vectors, (m,)."""
    return np.asarray((own.shares * other.vector[own.word]).sum(axis=1), dtype=np.float32)


def _spread(values: FloatArray, places_xy: FloatArray, image: DecodedImage, config: EmbedConfig) -> FloatArray:
    """Return a map with a cell for each step of the dense grid, blurred by the width of a descriptor's bins."""
    height, width = image.pixels.shape[:2]
    cells = config.long_side / config.step / max(height, width)
    grid_wh = np.array([max(1, round(side * cells)) for side in (width, height)])
    net = np.zeros((grid_wh[1], grid_wh[0]), np.float32)
    at = np.clip((places_xy * grid_wh).astype(np.int64), 0, grid_wh - 1)
    np.add.at(net, (at[:, 1], at[:, 0]), values)
    sigma = max(0.5, float(np.mean(config.bin_sizes)) / config.step)
    return scaled(np.asarray(cv2.GaussianBlur(net, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)))


def _agreeing(
    first: Parts, second: Parts, maps: tuple[FloatArray, FloatArray], most: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return pairs of descriptors, each the one with which the other contributes most.

    Their weight is the contribution times both maps; the largest are kept, apart from each other.
    """
    heat = _heat_at(maps[0], first.places_xy), _heat_at(maps[1], second.places_xy)
    found: list[tuple[float, int, int]] = []
    for word in np.intersect1d(first.word, second.word):
        rows, columns = np.flatnonzero(first.word == word), np.flatnonzero(second.word == word)
        together = first.shares[rows] @ second.shares[columns].T
        towards, back = together.argmax(axis=1), together.argmax(axis=0)
        for row in np.flatnonzero(back[towards] == np.arange(len(rows))):
            one, other = int(rows[row]), int(columns[towards[row]])
            weight = float(together[row, towards[row]] * heat[0][one] * heat[1][other])
            if weight > 0:
                found.append((-weight, one, other))
    return _apart(sorted(found), first.places_xy, second.places_xy, most)


def _apart(
    found: list[tuple[float, int, int]], query_xy: FloatArray, gallery_xy: FloatArray, most: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return lines in their order, without those that have a kept one close by at both ends."""
    weights: list[float] = []
    ends = np.zeros((0, 4), np.float32)
    for negative, one, other in found:
        if len(weights) == most:
            break
        pair = np.concatenate([query_xy[one], gallery_xy[other]])
        if not (np.abs(ends - pair).max(axis=1) < _APART).any():
            ends, weights = np.vstack([ends, pair]), [*weights, -negative]
    return ends[:, :2], ends[:, 2:], scaled(np.array(weights, dtype=np.float32))
