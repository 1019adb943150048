"""The arithmetic of a training step: rate, loss, optimiser, and the start of a new projection."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from animalclef.config.matcher_training import OptimiserConfig, TrainMatcherConfig
from animalclef.errors import TrainingError
from animalclef.training.matcher.assignment import assignment_loss, confidence_loss
from animalclef.training.matcher.lightglue_training import Batch, forward

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = ["batch_loss", "check_loss", "let_learn", "make_optimiser", "project_like", "rate_at"]


def rate_at(step: int, config: TrainMatcherConfig) -> float:
    """The share of the learning rate at a step (from 0): a linear warm-up, then half a cosine down to 0.

    The steps in which only the projection learns have a warm-up of their own.
    """
    start = config.frozen_steps if step >= config.frozen_steps else 0
    end = config.steps if step >= config.frozen_steps else config.frozen_steps
    warm = min(config.warmup_steps, (end - start) // 2)
    done = step - start
    if done < warm:
        return (done + 1) / warm
    if start == 0 and end < config.steps:
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (done - warm) / max(end - start - warm, 1)))


def batch_loss(network: nn.Module, batch: Batch, confidence_weight: float) -> Tensor:
    """Loss of every pair of a batch: the mean over layers of the assignment's, and the confidences'."""
    import torch

    outputs = forward(network, batch)
    layers = torch.stack([assignment_loss(scores, *batch.truth) for scores in outputs.log_assignments]).mean(0)
    if not outputs.confidences:
        return layers
    return layers + confidence_weight * confidence_loss(outputs.confidences, outputs.log_assignments, batch.masks)


def let_learn(network: nn.Module, only: Sequence[str] | None) -> None:
    """Let the named parameters learn, or all."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(only is None or name in only)


def make_optimiser(network: nn.Module, config: OptimiserConfig) -> torch.optim.Optimizer:
    """AdamW; nothing that has one dimension decays."""
    from torch.optim import AdamW

    matrices = [one for one in network.parameters() if one.ndim > 1]
    vectors = [one for one in network.parameters() if one.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return AdamW(groups, lr=config.learning_rate, foreach=False)


def check_loss(losses: Tensor, batch: Batch, step: int) -> None:
    import torch

    bad = (~torch.isfinite(losses.detach())).nonzero().ravel().tolist()
    if bad:
        names = "; ".join(batch.names[row] for row in bad[:4])
        raise TrainingError(
            f"The loss is not a number at step {step + 1}, for {names}. ExtractionJob at these photographs, or lower "
            "optimiser.learning_rate; the last checkpoint is kept."
        )


def project_like(network: Any, start: Mapping[str, Tensor], sample: NDArray[np.float32]) -> None:
    """Set the new projection to that of `start`, fed with the main directions of the new descriptors.

    It keeps their likeness (principal components keep dot products), and what comes out has the spread that the layers
    of `start` know.
    """
    import torch

    old, bias = start["input_proj.weight"].float(), start["input_proj.bias"].float()
    mean = sample.mean(axis=0)
    _, _, directions = np.linalg.svd(sample - mean, full_matrices=False)
    directions = directions[: old.shape[1]]
    length = np.linalg.norm((sample - mean) @ directions.T, axis=1).mean()
    into = torch.from_numpy((directions / length).astype(np.float32))
    weight = old[:, : len(into)] @ into
    with torch.no_grad():
        network.input_proj.weight.copy_(weight)
        network.input_proj.bias.copy_(bias - weight @ torch.from_numpy(mean.astype(np.float32)))
