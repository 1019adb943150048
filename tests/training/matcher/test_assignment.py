"""The true assignment of views written down by hand, and the loss worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from training_cases import view

from animalclef.config.training import MatcherLossConfig
from animalclef.training.matcher.assignment import (
    IGNORED,
    UNMATCHED,
    assignment_loss,
    confidence_loss,
    true_assignment,
)

LOSS = MatcherLossConfig(match_px=4, miss_px=8, most_turn_deg=45, most_scale_ratio=2)


def partners(first: object, second: object, *, same_subject: bool = True, same_photo: bool = False) -> list[list[int]]:
    truth = true_assignment(first, second, LOSS, same_subject=same_subject, same_photo=same_photo)  # type: ignore[arg-type]
    return [truth.first.tolist(), truth.second.tolist()]


def test_mutually_nearest_within_the_distance_are_matches() -> None:
    first = view([(10, 10), (13, 10), (100, 50), (200, 50), (300, 50)])
    second = view([(12, 10), (106, 50), (203, 50), (400, 90)])
    # 0 and 1 compete for the first: 1 is nearer, 0 has one within 8 px and is ignored. 100 and 106: between 4 and 8 px.
    assert partners(first, second) == [[IGNORED, 0, IGNORED, 2, UNMATCHED], [1, IGNORED, 3, UNMATCHED]]


def test_the_larger_of_the_two_reprojection_errors_counts() -> None:
    first, second = view([(10, 10)]), view([(12, 10)], px_per_unit=3)
    assert true_assignment(first, second, LOSS, same_subject=True, same_photo=False).error_px.tolist() == [[6.0]]
    assert partners(first, second) == [[IGNORED], [IGNORED]]


def test_another_orientation_or_scale_is_neither_match_nor_miss() -> None:
    place = [(50.0, 20.0)]
    assert partners(view(place, turn_rad=[3.1]), view(place, turn_rad=[-3.1])) == [[0], [0]]
    assert partners(view(place), view(place, turn_rad=[1.0])) == [[IGNORED], [IGNORED]]
    assert partners(view(place), view(place, scale=[1.9])) == [[0], [0]]
    assert partners(view(place), view(place, scale=[2.1])) == [[IGNORED], [IGNORED]]


def test_what_is_off_the_surface_has_no_match_and_background_of_one_photograph_is_ignored() -> None:
    first = view([(10, 10), (50, 50)], on_surface=[False, True], background=[True, False])
    second = view([(10, 10), (50, 50)], on_surface=[False, True], background=[True, False])
    assert partners(first, second) == [[UNMATCHED, 1], [UNMATCHED, 1]]
    assert partners(first, second, same_photo=True) == [[IGNORED, 1], [IGNORED, 1]]


def test_two_subjects_have_no_matches() -> None:
    place = [(10.0, 10.0), (60.0, 20.0)]
    assert partners(view(place), view(place), same_subject=False) == [[UNMATCHED] * 2] * 2


def test_no_keypoints() -> None:
    assert partners(view([]), view([(1, 1)])) == [[], [UNMATCHED]]
    assert partners(view([(1, 1)]), view([])) == [[UNMATCHED], []]
    assert partners(view([]), view([])) == [[], []]


def test_the_loss_of_two_by_two_by_hand() -> None:
    """Row 0 matches column 1 (probability 0.5), row 1 and column 0 have no match (0.8 and 0.1)."""
    probability = torch.tensor([[[0.1, 0.5, 0.4], [0.2, 0.3, 0.8], [0.1, 0.6, 1.0]]])
    first, second = torch.tensor([[1, UNMATCHED]]), torch.tensor([[UNMATCHED, 0]])
    loss = assignment_loss(probability.log(), first, second)
    assert loss.tolist() == pytest.approx([-math.log(0.5) - 0.5 * math.log(0.8) - 0.5 * math.log(0.1)], rel=1e-5)


def test_the_loss_takes_means_and_leaves_out_what_is_ignored() -> None:
    log = torch.full((2, 4, 3), -1.0)
    log[0, 0, 0], log[0, 1, 1] = -2.0, -4.0
    first = torch.tensor([[0, 1, IGNORED], [IGNORED] * 3])
    second = torch.tensor([[0, 1], [IGNORED] * 2])
    assert assignment_loss(log, first, second).tolist() == pytest.approx([3.0, 0.0])


def test_confidences_are_scored_against_agreement_with_the_last_layer() -> None:
    last = torch.log(torch.tensor([[[0.7, 0.1, 0.1], [0.1, 0.7, 0.1], [0.1, 0.1, 1.0]]]))
    early = torch.log(torch.tensor([[[0.7, 0.1, 0.1], [0.1, 0.2, 0.7], [0.1, 0.7, 1.0]]]))
    # Row 0 and column 0 agree; row 1 says "none" early, and so does column 1.
    logits = (torch.tensor([[2.0, 2.0]]), torch.tensor([[0.0, -3.0]]))
    masks = (torch.ones(1, 2, dtype=torch.bool), torch.ones(1, 2, dtype=torch.bool))

    def cost(logit: float, agrees: bool) -> float:
        return math.log1p(math.exp(-logit if agrees else logit))

    by_hand = 0.5 * np.mean([cost(2, True), cost(2, False)]) + 0.5 * np.mean([cost(0, True), cost(-3, False)])
    assert confidence_loss([logits], [early, last], masks).tolist() == pytest.approx([by_hand], rel=1e-5)
    assert confidence_loss([], [last], masks).tolist() == [0.0]
