"""Train an embedder: its loss, optimiser, distillation and validation, for the training loop."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn, optim

from animalclef.config.embedder_training import EmbedderOptimiserConfig, ScheduleConfig, TrainConfig
from animalclef.errors import ConfigError
from animalclef.training.embedder.batch_sampling import Batch, BatchSource
from animalclef.training.embedder.embedder_validation import ValidationSet, embed_images, figures_row
from animalclef.training.embedder.losses import build_loss, distillation_losses
from animalclef.training.embedder.trained_network import (
    Started,
    TrainedNetwork,
    backbone_of,
    measure_batch_norms,
    save_embedder,
    set_mode,
)
from animalclef.training.training_task import History, LoopSettings, Validation, decay_matrices

__all__ = ["EmbedderTask", "TrainingPlan", "make_optimiser", "schedule_factor"]

logger = logging.getLogger(__name__)

_MEASURED = 128  # photographs that the statistics of batch norms are measured on


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


def _warn_if_worse(history: History, epoch: int) -> None:
    """Warn where the best epoch has a lower rank-1 on the held-out photographs than the start."""
    if history.start is None or history.best is None:
        return
    before, after = (float(figures["mean"]["rank-1"] or 0.0) for figures in (history.start, history.best))
    if after < before:
        logger.warning(
            "Training made it worse: rank-1 of the held-out photographs was %.3f at the start and %.3f at best "
            "(epoch %d), which is what is written. Lower optimiser.learning_rate, or keep the start.",
            before, after, epoch,
        )  # fmt: skip


def schedule_factor(step: int, config: ScheduleConfig, steps_per_epoch: int, frozen_epochs: int, epochs: int) -> float:
    """Return the share of the learning rate at a step (from 0).

    A phase of frozen epochs warms up and stays at the peak; the epochs after it warm up again, then decay. The last
    step of a warm-up is at the peak, and the last step of a cosine just above `lowest`. With `ramp-decay` the share is
    constant within an epoch, as MiewID's: `first` + (1 - `first`) e / ramp in epoch e of the ramp, then the peak.
    """
    start, warm = frozen_epochs * steps_per_epoch, round(config.warmup_epochs * steps_per_epoch)
    if step < start:
        return _warm(step, min(warm, start), config.first)
    step, total = step - start, (epochs - frozen_epochs) * steps_per_epoch
    if config.kind == "ramp-decay":
        return _ramp_decay(step // steps_per_epoch, config)
    warm = min(warm, total // 2)
    if step < warm:
        return _warm(step, warm, config.first)
    share = 0.5 * (1 + math.cos(math.pi * (step - warm) / max(total - warm, 1)))
    return config.lowest + (1 - config.lowest) * share


def _warm(step: int, warm: int, first: float) -> float:
    return 1.0 if step + 1 >= warm else first + (1 - first) * (step + 1) / warm


def _ramp_decay(epoch: int, config: ScheduleConfig) -> float:
    ramp = round(config.warmup_epochs)
    if epoch < ramp:
        return config.first + (1 - config.first) * epoch / ramp
    past = max(0, epoch - ramp - config.sustain_epochs)
    return config.lowest + (1 - config.lowest) * float(config.decay**past)


def _loop_settings(config: TrainConfig, source: BatchSource, processes: int) -> LoopSettings:
    """Return how long the training of a recipe lasts, in steps of the optimiser."""
    each = config.optimiser.accumulate * processes
    per_epoch = config.steps_per_epoch or math.ceil(source.plan.steps_per_epoch / each)
    return LoopSettings(
        name=config.name, seed=config.seed, steps=config.epochs * per_epoch, averaging=config.averaging,
        validate_every=config.validation.every * per_epoch, checkpoint_every=config.checkpoint_every,
        steps_per_epoch=per_epoch, frozen_steps=config.frozen_epochs * per_epoch,
        accumulate=config.optimiser.accumulate, clip=config.optimiser.clip, patience=config.validation.patience,
        validate_start=True,
    )  # fmt: skip


def make_optimiser(network: nn.Module, loss: nn.Module, config: EmbedderOptimiserConfig) -> optim.Optimizer:
    """Return the optimiser; each group has its `factor` of the learning rate, nothing of one dimension decays."""
    backbone = list(backbone_of(network).parameters())
    inside = set(backbone)
    parts = (
        (config.backbone_factor, backbone),
        (1.0, [one for one in network.parameters() if one not in inside]),
        (config.head_factor, loss.parameters()),
    )
    groups = [group for factor, part in parts for group in decay_matrices(part, config.weight_decay, factor=factor)]
    kind = optim.AdamW if config.kind == "adamw" else optim.Adam
    return kind(groups, lr=config.learning_rate, foreach=next(network.parameters()).is_cuda)


class EmbedderTask:
    """An embedder, its loss and its photographs."""

    def __init__(
        self,
        config: TrainConfig,
        trained: TrainedNetwork,
        source: BatchSource,
        held: ValidationSet | None,
        fabric: Any,
        workers: int = 1,
        trained_on: Collection[str] = (),
    ) -> None:
        """Move the network to the device; with distillation keep a frozen copy of it as the teacher.

        `trained_on` holds keys of the photographs that it and its start are trained on.
        """
        self.config, self.trained, self.source, self.held = config, trained, source, held
        self.fabric, self.workers, self.trained_on = fabric, workers, trained_on
        self.settings = _loop_settings(config, source, fabric.world_size)
        self.network: nn.Module = trained.module.to(fabric.device).to(memory_format=torch.channels_last)
        if config.network.batch_norm == "measured":
            batches = [source.batch(number).pixels for number in range(math.ceil(_MEASURED / config.batch_size))]
            measure_batch_norms(self.network, trained.preprocessing.normalise(torch.cat(batches), fabric.device))
        self.teacher = None
        if config.distillation.weight:
            self.teacher = deepcopy(self.network).eval().requires_grad_(False)
        loss = build_loss(config.loss, source.training_set.counts, trained.dimensions, seed=config.seed)
        self.loss = loss.to(fabric.device)
        self.model: nn.Module = nn.ModuleDict({"network": self.network, "loss": self.loss})
        self.optimiser = make_optimiser(self.network, self.loss, config.optimiser)

    def batch(self, number: int) -> Batch:
        """Return the batch of this number, from 0."""
        return self.source.batch(number)

    def names(self, batch: Batch) -> Sequence[str]:
        """Return what a message calls the photographs of a batch."""
        return [f"image_id {one}" for one in batch.image_id]

    def losses(self, batch: Batch) -> Tensor:
        """Return the loss of every photograph, (b,) float32."""
        inputs = self.trained.preprocessing.normalise(batch.pixels, self.fabric.device)
        labels = batch.label.to(self.fabric.device)
        if self.teacher is None:
            losses: Tensor = self.loss(self.network(inputs).float(), labels)
            return losses
        pooled, embeddings = _pooled_and_embedding(self.network, inputs)
        with torch.no_grad():
            shown = inputs
            if batch.plain is not None:
                shown = self.trained.preprocessing.normalise(batch.plain, self.fabric.device)
            target, _ = _pooled_and_embedding(self.teacher, shown)
        identity: Tensor = self.loss(embeddings.float(), labels)
        return self.config.distillation.weight * distillation_losses(pooled, target) + identity

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, from 0."""
        config = self.config
        share = schedule_factor(step, config.schedule, self.settings.per_epoch, config.frozen_epochs, config.epochs)
        return config.optimiser.learning_rate * share

    def set_mode(self, *, frozen: bool) -> None:
        """Put the model into training mode; `frozen` keeps the backbone as it is.

        Raises:
            ConfigError: then nothing would be trained.
        """
        for parameter in backbone_of(self.network).parameters():
            parameter.requires_grad_(not frozen)
        set_mode(self.network, frozen=frozen, batch_norm=self.config.network.batch_norm)
        if not any(parameter.requires_grad for parameter in self.model.parameters()):
            raise ConfigError("frozen_epochs: this recipe trains nothing but the backbone. Set frozen_epochs=0.")

    def validate(self, network: nn.Module) -> Validation | None:
        """Measure retrieval among the held-out photographs; the score is rank-1, then mAP."""
        if self.held is None:
            return None
        embeddings = embed_images(
            network, self.trained.preprocessing, self.source.images, self.held.table.key, self.fabric.device,
            self.fabric.autocast(), self.workers,
        )  # fmt: skip
        figures = figures_row(self.held.measure(embeddings))
        mean = figures["mean"]
        scalars = {name: float("nan") if one is None else float(one) for name, one in mean.items()}
        return Validation(figures, scalars, (float(mean["rank-1"] or 0.0), float(mean["mAP"] or 0.0)))

    def finish(self, network: nn.Module, history: History, path: Path) -> dict[str, Any]:
        """Write the network for use; return the figures of the start and of the best epoch."""
        epoch = history.best_step // self.settings.per_epoch
        _warn_if_worse(history, epoch)
        save_embedder(path, network.state_dict(), self.trained, self.trained_on)
        done = history.steps // self.settings.per_epoch
        return {"start": history.start, "trained": history.best, "epoch": epoch, "epochs": done}


def _pooled_and_embedding(network: Any, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pooled features of the backbone and the embedding; without a neck they are the same."""
    if not hasattr(network, "pooled"):
        features: Tensor = network(inputs)
        return features, features
    pooled: Tensor = network.pooled(inputs)
    return pooled, network.head(pooled)
