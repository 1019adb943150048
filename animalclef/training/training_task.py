"""Say what is trained: the parts of a task that the training loop works on, and what several tasks share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn, optim

from animalclef.config.training import AveragingConfig

__all__ = ["History", "LoopSettings", "Pace", "TrainingTask", "Validation", "decay_matrices", "warmup_then_cosine"]

_Batch = TypeVar("_Batch")


@dataclass(frozen=True)
class Validation:
    """The figures of one validation."""

    figures: Mapping[str, Any]  # plain numbers, texts and mappings of them
    scalars: Mapping[str, float]  # for the log
    score: tuple[float, ...] = ()
    """Compared in order, higher is better. The weights of the best validation are written; of equals, the latest."""


@dataclass
class History:
    """The validations so far; kept with each checkpoint."""

    start: Mapping[str, Any] | None = None  # figures before the first step
    best: Mapping[str, Any] | None = None
    best_step: int = 0
    score: Sequence[float] | None = None  # of the best
    waited: int = 0  # validations since the score last rose
    steps: int = 0  # that are finished
    ended: bool = False

    def note(self, validation: Validation, step: int, patience: int | None) -> bool:
        """Take in a validation after so many steps; return whether no earlier one was better."""
        score, before = validation.score, None if self.score is None else tuple(self.score)
        self.waited = 0 if before is None or score > before else self.waited + 1
        self.ended = patience is not None and self.waited >= patience
        if before is not None and score < before:
            return False
        self.best, self.best_step, self.score = validation.figures, step, score
        return True


@dataclass(frozen=True)
class Pace:
    """How far a training is, and how long the rest will take."""

    done: int  # steps
    seconds: float | None = None  # to the end; None before the first steps were timed
    frozen: bool = False  # they were timed while a part of the network was frozen


@dataclass(frozen=True)
class LoopSettings:
    """How long a training lasts, and what it does besides steps."""

    name: str  # of the file with the network
    seed: int
    steps: int
    averaging: AveragingConfig
    validate_every: int  # steps; the last step is validated too
    checkpoint_every: int  # steps; each epoch ends with a checkpoint too
    steps_per_epoch: int | None = None  # default: all steps are one epoch
    frozen_steps: int = 0
    accumulate: int = 1  # batches per step
    clip: float | None = 1.0  # largest norm of the gradient
    patience: int | None = None  # validations without a better score before training ends
    validate_start: bool = False

    @property
    def per_epoch(self) -> int:
        """Return the number of steps of an epoch."""
        return self.steps_per_epoch or self.steps


def decay_matrices(parameters: Iterable[nn.Parameter], weight_decay: float, **settings: float) -> list[dict[str, Any]]:
    """Return groups for an optimiser, each with these settings: nothing of one dimension decays."""
    given = list(parameters)
    parts = (weight_decay, [one for one in given if one.ndim > 1]), (0.0, [one for one in given if one.ndim <= 1])
    return [{"params": chosen, "weight_decay": decay, **settings} for decay, chosen in parts if chosen]


def warmup_then_cosine(step: int, steps: int, frozen_steps: int, warmup_steps: int) -> float:
    """Return the share of the learning rate at a step (from 0): a linear warm-up, then half a cosine down to 0.

    The frozen steps have a warm-up of their own, and then the peak.
    """
    start, end = (frozen_steps, steps) if step >= frozen_steps else (0, frozen_steps)
    warm = min(warmup_steps, (end - start) // 2)
    done = step - start
    if done < warm:
        return (done + 1) / warm
    if step < frozen_steps:
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (done - warm) / max(end - start - warm, 1)))


class TrainingTask(Protocol[_Batch]):
    """What is trained. Its modules lie on the device that the training uses."""

    model: nn.Module  # everything that is trained: the network, and a loss with weights of its own
    network: nn.Module  # the part that is averaged, validated and written
    settings: LoopSettings
    optimiser: optim.Optimizer
    """A group's `factor`, where it has one, multiplies the learning rate."""

    def batch(self, number: int) -> _Batch:
        """Return a batch that depends on its number alone (from 0); worker threads call it."""

    def names(self, batch: _Batch) -> Sequence[str]:
        """Return the name of every example of a batch (b), for messages."""

    def losses(self, batch: _Batch) -> Tensor:
        """Return the loss of every example (b,); called inside autocast."""

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, from 0."""

    def set_mode(self, *, frozen: bool) -> None:
        """Put the model into training mode; `frozen` in the first `frozen_steps`."""

    def validate(self, network: nn.Module) -> Validation | None:
        """Measure an averaged network on what is held out; `None` where nothing is."""

    def finish(self, network: nn.Module, history: History, path: Path) -> Mapping[str, Any]:
        """Write the network for use to `path`; return what was measured, for `measured.json`."""
