"""Compute the learning rate over a training."""

from __future__ import annotations

import math

from animalclef.config.embedder_training import ScheduleConfig

__all__ = ["schedule_factor"]


def schedule_factor(step: int, config: ScheduleConfig, steps_per_epoch: int, frozen_epochs: int, epochs: int) -> float:
    """Return the share of the learning rate at a step (from 0).

    A phase of frozen epochs warms up and stays at the peak; the epochs after it warm up again, then decay. The last
    step of a warm-up is at the peak, and the last step of a cosine just above `lowest`. With `ramp-decay` the share is
    constant within an epoch, as MiewID's: `first` + (1 - `first`) e / ramp in epoch e of the ramp, then the peak.
    """
    start = frozen_epochs * steps_per_epoch
    if step < start:
        return _warm(step, min(_steps(config.warmup_epochs, steps_per_epoch), start), config.first)
    step, total = step - start, (epochs - frozen_epochs) * steps_per_epoch
    if config.kind == "ramp-decay":
        return _ramp_decay(step // steps_per_epoch, config)
    warm = min(_steps(config.warmup_epochs, steps_per_epoch), total // 2)
    if step < warm or config.kind == "constant":
        return _warm(step, warm, config.first)
    share = 0.5 * (1 + math.cos(math.pi * (step - warm) / max(total - warm, 1)))
    return config.lowest + (1 - config.lowest) * share


def _steps(epochs: float, steps_per_epoch: int) -> int:
    return round(epochs * steps_per_epoch)


def _warm(step: int, warm: int, first: float) -> float:
    return 1.0 if step + 1 >= warm else first + (1 - first) * (step + 1) / warm


def _ramp_decay(epoch: int, config: ScheduleConfig) -> float:
    ramp = round(config.warmup_epochs)
    if epoch < ramp:
        return config.first + (1 - config.first) * epoch / ramp
    past = max(0, epoch - ramp - config.sustain_epochs)
    return config.lowest + (1 - config.lowest) * float(config.decay**past)
