"""Measure how well a matcher finds the true partners of keypoints on held-out views."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from kornia.feature.lightglue import filter_matches
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import nn

from animalclef.config.training import TrainMatcherConfig
from animalclef.features.local.unit_descriptors import root_sift
from animalclef.matching.nearest_neighbour import mutual_matches
from animalclef.training.matcher.assignment import IGNORED
from animalclef.training.matcher.lightglue_training import forward
from animalclef.training.matcher.photograph_views import LONG_SIDE_PX
from animalclef.training.matcher.view_batches import Pair, collate

__all__ = ["Matches", "measure", "nearest_neighbours", "network_matches"]

_LEAST_CONFIDENCE = 0.1

Matches = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]
"""Rows of the first view, rows of the second, and a confidence each."""


def network_matches(network: nn.Module, config: TrainMatcherConfig) -> Callable[[Pair], Matches]:
    """Return a function that matches one pair with a network."""
    device = next(network.parameters()).device

    def match(pair: Pair) -> Matches:
        with torch.inference_mode():
            scores = forward(network, collate([pair], config).to(device), last_only=True).log_assignments[-1]
            of_first, _, confidence, _ = filter_matches(scores, _LEAST_CONFIDENCE)
        partner = of_first[0].cpu().numpy()[: len(pair.first)]
        rows = np.flatnonzero((partner >= 0) & (partner < len(pair.second)))
        return rows, partner[rows], confidence[0].cpu().numpy()[rows]

    return match


def nearest_neighbours(ratio: float) -> Callable[[Pair], Matches]:
    """Return a function that matches one pair by mutual nearest neighbours with a ratio test."""

    def match(pair: Pair) -> Matches:
        if not len(pair.first) or not len(pair.second):
            none = np.zeros(0, dtype=np.int64)
            return none, none, np.zeros(0, dtype=np.float32)
        first, second = (root_sift(view.descriptors) for view in (pair.first, pair.second))
        rows, columns, found_ratio = mutual_matches(first @ second.T, ratio)
        return rows, columns, 1 - found_ratio

    return match


def measure(match: Callable[[Pair], Matches], pairs: Sequence[Pair], right_px: float) -> dict[str, float]:
    """Match every pair and compare with the truth; return means over pairs, NaN where nothing could be counted.

    - precision: share of correct matches (within `right_px`) between views of one subject.
    - recall: share of the true matches that were found.
    - auc_5px, auc_10px: area under the curve of the homography's corner error up to that many px (long side 512).
    - separation: chance that a pair of one subject has more confidence than a pair of two.
    - false_matches: matches in a pair of two subjects.
    """
    precision, recall, errors, weight, false = [], [], [], [], []
    for pair in pairs:
        rows, columns, confidence = match(pair)
        weight.append(float(confidence.sum()))
        if not pair.same_subject:
            false.append(len(rows))
            continue
        error = pair.truth.error_px[rows, columns]
        counted = (pair.truth.first[rows] != IGNORED) | (pair.truth.second[columns] != IGNORED) | (error <= right_px)
        if counted.any():
            precision.append(float((error[counted] <= right_px).mean()))
        wanted = np.flatnonzero(pair.truth.first >= 0)
        if len(wanted):
            recall.append(float(np.isin(wanted, rows[error <= right_px]).mean()))
        corner = _corner_error(pair, rows, columns)
        if corner is not None:
            errors.append(corner)
    same = [pair.same_subject for pair in pairs]
    figures = {
        "pairs": len(pairs),
        "precision": _mean(precision),
        "recall": _mean(recall),
        "auc_5px": _area(errors, 5.0),
        "auc_10px": _area(errors, 10.0),
        "separation": roc_auc_score(same, weight) if len(set(same)) == 2 else float("nan"),
        "false_matches": _mean(false),
    }
    return {name: round(float(value), 4) for name, value in figures.items()}


def _corner_error(pair: Pair, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> float | None:
    """Return the mean corner error of the homography of the matches, px of a long side of 512.

    `None` where the two views are not those of one photograph, or one is bent.
    """
    if not pair.same_photo or not pair.first.to_source.any() or not pair.second.to_source.any():
        return None
    if len(rows) < 4:
        return float("inf")
    truth = np.linalg.inv(pair.second.to_source) @ pair.first.to_source
    found, _ = cv2.findHomography(
        pair.first.keypoints_xy[rows], pair.second.keypoints_xy[columns], cv2.USAC_MAGSAC, 3.0, maxIters=2000
    )
    if found is None:
        return float("inf")
    width, height = (float(side) for side in pair.first.size_wh)
    corners = np.array([[[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]], dtype=np.float64)
    gap = cv2.perspectiveTransform(corners, found) - cv2.perspectiveTransform(corners, truth)
    return float(np.linalg.norm(gap[0], axis=1).mean() * LONG_SIDE_PX / max(pair.second.size_wh))


def _area(errors: Sequence[float], most: float) -> float:
    """Return the area under the share of errors below each threshold up to `most`, as a share of the whole.

    >>> _area([0.0, 2.5, 9.0], 5.0)
    0.5
    """
    if not errors:
        return float("nan")
    return float(np.clip(1 - np.array(errors) / most, 0, 1).mean())


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
