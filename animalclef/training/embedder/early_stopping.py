"""What a training is about to do, and how its validations went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from animalclef.training.embedder.trained_network import Started

__all__ = ["EarlyStopping", "TrainingPlan", "worse_than_start"]


@dataclass(frozen=True)
class TrainingPlan:
    """What a training will do."""

    images: int
    classes: int
    held_out: int  # photographs that validation looks at and that do not train
    batch: int  # photographs per step, over all processes
    epochs: int
    steps: int
    done: int  # steps of an earlier, interrupted run
    started: Started | None  # what the start gave
    seconds: float | None = None  # to the end; None before the first steps were timed
    frozen: bool = False  # they were timed while the backbone did not learn


@dataclass
class EarlyStopping:
    """How validation went so far; kept with each checkpoint."""

    start: dict[str, Any] | None = None  # figures of the network that training began with
    best: dict[str, Any] | None = None
    best_epoch: int = 0
    score: tuple[float, float] = (-1.0, -1.0)  # rank-1, mAP
    waited: int = 0  # validations since
    epochs: int = 0  # that are finished
    ended: bool = False

    def note(self, figures: dict[str, Any], epoch: int, patience: int | None) -> bool:
        """Take in a validation after so many epochs; whether it is the best so far (of equals the latest)."""
        mean = figures["mean"]
        score = (float(mean["rank-1"] or 0.0), float(mean["mAP"] or 0.0))
        self.waited = 0 if score > tuple(self.score) else self.waited + 1
        self.ended = patience is not None and self.waited >= patience
        if score < tuple(self.score):
            return False
        self.best, self.best_epoch, self.score = figures, epoch, score
        return True


def worse_than_start(course: EarlyStopping) -> str | None:
    """A warning where no epoch found as many of the held-out photographs at once as the start did."""
    if course.start is None or course.best is None:
        return None
    before, after = (float(figures["mean"]["rank-1"] or 0.0) for figures in (course.start, course.best))
    if after >= before:
        return None
    return (
        f"Training made it worse: rank-1 of the held-out photographs was {before:.3f} at the start and {after:.3f} at "
        f"best (epoch {course.best_epoch}), which is what is written. Lower optimiser.learning_rate, or keep the start."
    )
