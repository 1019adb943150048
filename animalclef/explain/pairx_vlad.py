"""Explain the similarity of two photographs to the weight-free embedding.

The inner product of two VLAD vectors, before PCA, is distributed over the local descriptors they are summed from, word
by word and coordinate by coordinate. It is exact: the shares of all descriptors of a photograph, and of all pairs of
descriptors, add up to the inner product. An entry of the vector is assigned to the descriptors whose
residuals have its sign, in proportion to them, with the signed roots and the lengths taken as they are (the z+ rule of
layer-wise relevance propagation, Montavon et al. 2017; in proportion to all residuals, shares would be unbounded where
they cancel). A run ranks by the vectors after PCA, which are no sum over places of one photograph.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.config import EmbedConfig
from animalclef.explain.pairx import Agreement, heat_at, scaled
from animalclef.features.embedding.vlad import Codebook, residuals_of, vlad_of
from animalclef.structures import DecodedImage, FloatArray

__all__ = ["Parts", "agreement_of_vlad", "contributions", "parts_of"]

_APART = 0.06  # of a side: closer places are shown once, as descriptors of several sizes overlap


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
    heat = heat_at(maps[0], first.places_xy), heat_at(maps[1], second.places_xy)
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
