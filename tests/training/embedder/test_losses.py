"""Losses beside numbers worked out by hand, and their gradients where the formulas have none."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from animalclef.config.embedder_training import LossConfig
from animalclef.training.embedder.losses import (
    arcface_losses,
    batch_hard_losses,
    build_loss,
    contrastive_losses,
    distillation_losses,
    dynamic_margins,
)

MARGIN = math.atan2(0.6, 0.8)  # cosine 0.8, sine 0.6
TWO = np.array([5, 5])


def arcface(centres: list[Any], **settings: Any) -> Any:
    """ArcFace of scale 10 with these centres, (c, d) or (c, k, d)."""
    values = torch.tensor(centres)
    settings = {"kind": "arcface", "scale": 10.0, "margin_rad": MARGIN, **settings}
    loss = build_loss(LossConfig(**settings), np.full(len(values), 5), values.shape[-1])
    with torch.no_grad():
        loss.centres.copy_(values if values.ndim == 3 else values[:, None])
    return loss


def test_dynamic_margins() -> None:
    # t = 1, 1/2, 1/3, so the shares are 1, (1/6) / (2/3) = 1/4 and 0
    assert dynamic_margins(np.array([1, 16, 81]), 0.2, 0.328) == pytest.approx([0.328, 0.232, 0.2])
    assert dynamic_margins(np.array([81, 1, 81]), 0.1, 0.5) == pytest.approx([0.1, 0.5, 0.1])


@pytest.mark.parametrize("counts", [[7], [3, 3, 3], [1, 1]])
def test_classes_of_equal_size_are_all_the_rarest(counts: list[int]) -> None:
    assert dynamic_margins(np.array(counts), 0.2, 0.328) == pytest.approx([0.328] * len(counts))


def test_margins_in_the_wrong_order() -> None:
    with pytest.raises(ValidationError, match="must not be below low_margin_rad"):
        LossConfig(margin_rad=0.1)
    assert LossConfig(margin_rad=0.1, dynamic_margins=False).margin_rad == 0.1
    assert LossConfig(kind="arcface", margin_rad=0.1).margin_rad == 0.1


def test_arcface_by_hand() -> None:
    loss = arcface([[2.0, 0.0], [0.0, 0.5]])  # lengths do not count
    # cosines 0.6 and 0.8. Own class 0: cos(angle + margin) = 0.6 * 0.8 - 0.8 * 0.6 = 0, logits 0 and 8.
    # Own class 1: 0.8 * 0.8 - 0.6 * 0.6 = 0.28, logits 6 and 2.8.
    losses = loss(torch.tensor([[0.6, 0.8], [3.0, 4.0]]), torch.tensor([0, 1]))
    assert losses.tolist() == pytest.approx([math.log1p(math.exp(8)), math.log1p(math.exp(3.2))], rel=1e-6)


def test_arcface_on_the_centre_and_opposite_to_it() -> None:
    loss = arcface([[1.0, 0.0], [0.0, 1.0]])
    embeddings = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    losses = loss(embeddings, torch.tensor([0, 0]))
    # On the centre the logits are 10 cos(margin) = 8 and 0; opposite 10 (-1 - margin sin(margin)) and 0.
    far = 10 * (1 + 0.6 * MARGIN)
    assert losses.tolist() == pytest.approx([math.log1p(math.exp(-8)), far + math.log1p(math.exp(-far))], abs=2e-6)
    losses.sum().backward()
    assert embeddings.grad is not None
    assert torch.isfinite(embeddings.grad).all()
    assert torch.isfinite(loss.centres.grad).all()


def test_the_nearest_sub_centre_counts_and_learns_alone() -> None:
    loss = arcface(
        [[[1.0, 0.0], [-1.0, 0.0]], [[0.0, 1.0], [0.0, -1.0]]],
        kind="sub-centre-arcface", sub_centres=2, dynamic_margins=False,
    )  # fmt: skip
    losses = loss(torch.tensor([[-0.6, 0.8]]), torch.tensor([0]))
    assert losses.tolist() == pytest.approx([math.log1p(math.exp(8))], rel=1e-6)
    losses.sum().backward()
    moved = loss.centres.grad.abs().sum(2) > 0
    assert moved.tolist() == [[False, True], [True, False]]


def test_the_rarest_class_has_the_largest_margin() -> None:
    loss = build_loss(LossConfig(), np.array([1, 16, 81]), 8)
    assert loss.margins_rad.tolist() == pytest.approx([0.328, 0.232, 0.2])
    assert loss.centres.shape == (3, 3, 8)
    plain = build_loss(LossConfig(kind="arcface"), np.array([1, 16, 81]), 8)
    assert plain.margins_rad.tolist() == pytest.approx([0.328] * 3)
    assert plain.centres.shape == (3, 1, 8)


@pytest.mark.parametrize("margin", [0.0, 0.328, 1.0, 1.5])
def test_a_larger_angle_never_costs_less(margin: float) -> None:
    angles = torch.linspace(0, math.pi, 2001, dtype=torch.float64)
    cosines = torch.stack([angles.cos(), torch.zeros_like(angles)], 1)
    own = torch.zeros(len(angles), dtype=torch.int64)
    losses = arcface_losses(cosines, own, torch.full_like(angles, margin), 5.0)
    assert (losses.diff() > 0).all()


def test_one_class_alone_costs_nothing() -> None:
    for kind in ("sub-centre-arcface", "arcface", "softmax", "triplet"):
        loss = build_loss(LossConfig(kind=kind), np.array([3]), 2)
        embeddings = torch.tensor([[1.0, 0.0], [0.3, 0.4], [0.0, 0.0]], requires_grad=True)
        losses = loss(embeddings, torch.zeros(3, dtype=torch.int64))
        assert losses.tolist() == [0, 0, 0]
        losses.sum().backward()
        assert embeddings.grad is not None
        assert embeddings.grad.abs().max() == 0


def test_the_gradient_of_arcface_is_the_slope_of_its_loss() -> None:
    generator = torch.Generator().manual_seed(1)
    cosines = (torch.rand(6, 4, generator=generator, dtype=torch.float64) * 1.9 - 0.95).requires_grad_()
    labels, margins = torch.tensor([0, 1, 2, 3, 0, 1]), torch.linspace(0.1, 1.4, 6, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda values: arcface_losses(values, labels, margins, 3.0), cosines)


def test_softmax_by_hand() -> None:
    loss = build_loss(LossConfig(kind="softmax"), TWO, 2)
    with torch.no_grad():
        loss.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        loss.bias.copy_(torch.tensor([0.5, 0.0]))
    losses = loss(torch.tensor([[3.0, 1.0], [3.0, 1.0]]), torch.tensor([0, 1]))  # logits 3.5 and 2
    assert losses.tolist() == pytest.approx([math.log1p(math.exp(-1.5)), math.log1p(math.exp(1.5))])


LINE = torch.tensor([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0], [3.5, 0.0], [10.0, 0.0]])
WHOSE = torch.tensor([0, 0, 1, 1, 2])


def test_batch_hard_by_hand() -> None:
    # Farthest of the same less nearest other: 1 - 3, 1 - 2, 0.5 - 2, 0.5 - 2.5; the last one has no other of its class.
    assert batch_hard_losses(LINE, WHOSE, 2.0).tolist() == pytest.approx([0, 1, 0.5, 0, 0])


def test_triplets_of_unit_length_and_as_they_are() -> None:
    embeddings, labels = torch.tensor([[3.0, 0.0], [0.0, 5.0], [-2.0, 0.0]]), torch.tensor([0, 0, 1])
    unit = build_loss(LossConfig(kind="triplet", triplet_margin=1.0), np.array([2, 1]), 2)
    # On the circle: sqrt(2) to the other of the class; the third is 2 and sqrt(2) away.
    assert unit(embeddings, labels).tolist() == pytest.approx([math.sqrt(2) - 1, 1, 0], rel=1e-6)
    whole = build_loss(LossConfig(kind="triplet", triplet_margin=1.0, triplet_unit_length=False), np.array([2, 1]), 2)
    # sqrt(34) to the other; the third is 5 and sqrt(29) away.
    expected = [math.sqrt(34) - 4, math.sqrt(34) - math.sqrt(29) + 1, 0]
    assert whole(embeddings, labels).tolist() == pytest.approx(expected, rel=1e-6)
    assert list(unit.parameters()) == []


def test_embeddings_that_coincide_have_a_finite_gradient() -> None:
    embeddings = torch.tensor([[1.0, 2.0]] * 4 + [[0.0, 0.0]], requires_grad=True)
    losses = batch_hard_losses(embeddings, torch.tensor([0, 0, 1, 1, 2]), 0.5)
    assert losses.tolist() == pytest.approx([0.5] * 4 + [0])
    losses.sum().backward()
    assert embeddings.grad is not None
    assert torch.isfinite(embeddings.grad).all()


def test_a_batch_without_positives_or_without_photographs() -> None:
    embeddings = LINE.clone().requires_grad_()
    losses = batch_hard_losses(embeddings, torch.arange(5), 1.0)
    losses.sum().backward()
    assert losses.tolist() == [0] * 5
    assert embeddings.grad is not None
    assert embeddings.grad.abs().max() == 0
    assert batch_hard_losses(LINE[:0], WHOSE[:0], 1.0).shape == (0,)


KINDS = st.sampled_from(["sub-centre-arcface", "arcface", "softmax", "triplet"])


@given(KINDS, st.integers(0, 1000))
def test_the_order_of_a_batch_does_not_matter(kind: Any, seed: int) -> None:
    loss = build_loss(LossConfig(kind=kind), np.array([1, 2, 9, 30]), 5, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(12, 5, generator=generator)
    labels = torch.randint(4, (12,), generator=generator)
    order = torch.randperm(12, generator=generator)
    losses = loss(embeddings, labels)
    assert torch.isfinite(losses).all()
    assert (losses >= 0).all()
    assert torch.allclose(loss(embeddings[order], labels[order]), losses[order], rtol=1e-4, atol=1e-5)


@given(
    st.sampled_from(["sub-centre-arcface", "arcface", "triplet", "contrastive"]),
    st.floats(0.01, 1000),
    st.integers(0, 100),
)
def test_the_length_of_an_embedding_does_not_matter(kind: Any, length: float, seed: int) -> None:
    loss = build_loss(LossConfig(kind=kind, scale=4.0), np.array([1, 2, 9]), 4, seed=seed)
    embeddings = torch.randn(8, 4, generator=torch.Generator().manual_seed(seed))
    labels = torch.arange(8) % 3
    assert torch.allclose(loss(embeddings * length, labels), loss(embeddings, labels), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["sub-centre-arcface", "arcface", "softmax", "triplet", "contrastive"])
def test_short_number_formats_are_worked_out_in_float32(kind: Any) -> None:
    loss = build_loss(LossConfig(kind=kind), np.array([2, 3, 4]), 16)
    embeddings = torch.randn(9, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    labels = torch.arange(9) % 3
    exact = loss(embeddings.float(), labels)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = loss(embeddings, labels)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, exact)
    assert torch.equal(loss(embeddings, labels), exact)


def test_the_start_depends_on_the_seed_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, again, other = (build_loss(LossConfig(), TWO, 6, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.centres, again.centres)
    assert not torch.equal(first.centres, other.centres)
    assert first.centres.norm(dim=2).flatten().tolist() == pytest.approx([1.0] * 6)
    assert list(first.state_dict()) == ["centres"]  # margins follow from the counts


def test_contrast_worked_out_by_hand() -> None:
    """Cosines 1 and 0 at temperature 1: picked of (1, 0, 0) with e / (e + 2); the third has its partner at 0."""
    embeddings = torch.tensor([[2.0, 0, 0], [3, 0, 0], [0, 1, 0], [0, 0, 5]])
    labels = torch.tensor([0, 0, 1, 1])
    losses = contrastive_losses(embeddings, labels, 1.0)
    assert losses[:2].tolist() == pytest.approx([math.log((math.e + 2) / math.e)] * 2, abs=1e-6)
    assert losses[2:].tolist() == pytest.approx([math.log(3)] * 2, abs=1e-6)


def test_contrast_takes_the_mean_over_all_of_a_class() -> None:
    embeddings = torch.tensor([[1.0, 0], [1, 0], [0, 1]])
    losses = contrastive_losses(embeddings, torch.tensor([0, 0, 0]), 0.5)
    first = math.log(math.exp(2) + 1)  # of two others, at cosines 1 and 0
    assert losses[0].item() == pytest.approx(((first - 2) + first) / 2, abs=1e-6)


@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 0, 1], [0]])
def test_contrast_of_a_photograph_that_is_alone_is_nothing(labels: list[int]) -> None:
    embeddings = torch.eye(3)[: len(labels)].requires_grad_()
    losses = contrastive_losses(embeddings, torch.tensor(labels), 0.1)
    alone = [place for place, label in enumerate(labels) if labels.count(label) == 1]
    assert losses[alone].tolist() == [0.0] * len(alone)
    losses.sum().backward()
    assert torch.isfinite(embeddings.grad).all()


def test_distillation_by_hand() -> None:
    features, teacher = torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[6.0, 8.0], [0.0, 2.0]])
    assert distillation_losses(features, teacher).tolist() == pytest.approx([0.0, 1.0])
    half = distillation_losses(features.half(), teacher.half())
    assert half.dtype == torch.float32
