"""Say what a training of an embedder will do, and whether it was worth it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from animalclef.training.embedder.trained_network import Started

__all__ = ["TrainingPlan", "warning_if_worse"]


@dataclass(frozen=True)
class TrainingPlan:
    """What a training will do."""

    images: int
    classes: int
    held_out: int  # photographs for validation that are not trained on
    batch: int  # photographs per step, over all processes
    epochs: int
    steps: int
    started: Started | None  # what the start's file held
    done: int = 0  # steps of an earlier, interrupted run
    seconds: float | None = None  # to the end; None before the first steps were timed
    frozen: bool = False  # they were timed while the backbone was frozen


def warning_if_worse(start: Mapping[str, Any] | None, best: Mapping[str, Any] | None, epoch: int) -> str | None:
    """Return a warning where the best epoch has a lower rank-1 on the held-out photographs than the start."""
    if start is None or best is None:
        return None
    before, after = (float(figures["mean"]["rank-1"] or 0.0) for figures in (start, best))
    if after >= before:
        return None
    return (
        f"Training made it worse: rank-1 of the held-out photographs was {before:.3f} at the start and {after:.3f} at "
        f"best (epoch {epoch}), which is what is written. Lower optimiser.learning_rate, or keep the start."
    )
