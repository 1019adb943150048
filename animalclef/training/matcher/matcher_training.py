"""Train a LightGlue matcher on a folder of photographs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn, optim

from animalclef.config import fingerprint
from animalclef.config.training import AveragingConfig, TrainMatcherConfig
from animalclef.features.embedding.principal_components import principal_axes
from animalclef.features.local.unit_descriptors import root_sift
from animalclef.hub.load import read_weights
from animalclef.runtime.digests import file_digest
from animalclef.runtime.progress import Progress, Silent
from animalclef.training.fabric import lock_folder, open_fabric
from animalclef.training.matcher.assignment import assignment_loss, confidence_loss
from animalclef.training.matcher.lightglue_training import Batch, build_network, forward, save_network, start_from
from animalclef.training.matcher.matcher_validation import measure, nearest_neighbours, network_matches
from animalclef.training.matcher.training_folder import fill_store, find_photographs, subjects_of
from animalclef.training.matcher.view_batches import DeviceViews, Draw, Pair, PairSource, fits_on, held_out
from animalclef.training.training_loop import TrainingLoop
from animalclef.training.training_task import History, LoopSettings, Validation, decay_matrices, warmup_then_cosine

__all__ = ["MatcherTask", "TrainedMatcher", "batch_loss", "project_like", "train_matcher"]

logger = logging.getLogger(__name__)

_TRAIN, _VALIDATE, _SAMPLE = 21, 22, 23  # of the seeds of generators
_RATIOS = (0.8, 0.9, 1.0)  # of the nearest neighbours beside the network

_LEAST_KEYPOINTS = 16  # of a view that is worth matching


class MatcherTask:
    """A LightGlue and its pairs of views."""

    def __init__(
        self,
        config: TrainMatcherConfig,
        source: PairSource,
        held: PairSource,
        fabric: Any,
        start: Mapping[str, Tensor] | None = None,
        start_name: str = "",
    ) -> None:
        """Build the network on the device, from the weights of `start` where they are given."""
        torch.manual_seed(config.seed)
        self.config, self.source, self.held, self.fabric = config, source, held, fabric
        network = build_network(config.keypoints.feature.dimensions, config.network)
        self._new: list[str] = []  # parameters that `start` lacks
        if start is not None:
            self._new = start_from(network, start, start_name)
            if "input_proj.weight" in self._new and "input_proj.weight" in start:
                pairs = source.pairs(32, _SAMPLE, points=config.points)
                sample = [root_sift(pair.first.descriptors) for pair in pairs]
                project_like(network, start, np.concatenate(sample))
        self.model = self.network = network.to(fabric.device)
        keys = [key for subject in source.subjects for _, key in subject.views]
        fits = fits_on(fabric.device, len(keys), config)
        self._views = DeviceViews(keys, source.store, config, fabric.device) if fits else None
        groups = decay_matrices(network.parameters(), config.optimiser.weight_decay)
        self.optimiser: optim.Optimizer = optim.AdamW(
            groups, lr=config.optimiser.learning_rate, foreach=fabric.device.type == "cuda"
        )
        self._frozen_steps = config.frozen_steps if self._new else 0
        self.settings = LoopSettings(
            name=config.name, seed=config.seed, steps=config.steps,
            averaging=AveragingConfig(decay=config.optimiser.ema),
            validate_every=config.validate_every, checkpoint_every=config.checkpoint_every,
            frozen_steps=self._frozen_steps,
            accumulate=config.optimiser.accumulate, clip=config.optimiser.clip,
        )  # fmt: skip

    def batch(self, number: int) -> Batch | list[Draw]:
        """Return the batch of this number, from 0; where the views lie on the device, what it consists of."""
        make = self.source.batch if self._views is None else self.source.batch_draws
        return make(_TRAIN, number, 0)

    def names(self, batch: Batch | list[Draw]) -> Sequence[str]:
        """Return the names of the pairs of a batch."""
        return batch.names if isinstance(batch, Batch) else [draw.name for draw in batch]

    def losses(self, batch: Batch | list[Draw]) -> Tensor:
        """Return the loss of every pair, (b,)."""
        if isinstance(batch, Batch):
            moved = batch.to(self.fabric.device)
        else:
            assert self._views is not None
            moved = self._views.collate(batch)
        return batch_loss(self.network, moved, self.config.loss.confidence_weight)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, from 0."""
        rates, frozen = self.config.optimiser, step < self._frozen_steps
        peak = rates.projection_rate if frozen else rates.learning_rate
        return peak * warmup_then_cosine(step, self.config.steps, self._frozen_steps, self.config.warmup_steps)

    def set_mode(self, *, frozen: bool) -> None:
        """Put the network into training mode; `frozen` trains only the parameters that the start lacks."""
        self.network.train()
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(not frozen or name in self._new)

    def validate(self, network: nn.Module) -> Validation:
        """Measure matches on the held-out pairs; the weights of the last step are kept."""
        row = self._measure(network)
        return Validation(row, row)

    def finish(self, network: nn.Module, history: History, path: Path) -> dict[str, Any]:
        """Write the network for use; return its figures on the held-out pairs, and those of nearest neighbours."""
        save_network(path, network.state_dict(), self.config.network)
        pairs, match_px = self._held_pairs(), self.config.loss.match_px
        nearest = {f"mutual nearest {ratio}": measure(nearest_neighbours(ratio), pairs, match_px) for ratio in _RATIOS}
        return {"network": self._measure(network), **nearest}

    def _measure(self, network: nn.Module) -> dict[str, float]:
        return measure(network_matches(network, self.config), self._held_pairs(), self.config.loss.match_px)

    def _held_pairs(self) -> list[Pair]:
        return self.held.pairs(self.config.validation_pairs, _VALIDATE)


def batch_loss(network: nn.Module, batch: Batch, confidence_weight: float) -> Tensor:
    """Return the loss of every pair of a batch (b,): the mean assignment loss over layers, and the confidences'."""
    outputs = forward(network, batch)
    layers = torch.stack([assignment_loss(scores, *batch.truth) for scores in outputs.log_assignments]).mean(0)
    if not outputs.confidences:
        return layers
    return layers + confidence_weight * confidence_loss(outputs.confidences, outputs.log_assignments, batch.masks)


def project_like(network: Any, start: Mapping[str, Tensor], sample: NDArray[np.float32]) -> None:
    """Set the new input projection to that of `start`, fed with the principal components of the new descriptors.

    Principal components keep dot products; the output is scaled to the spread that the layers of `start` expect.
    """
    old, bias = start["input_proj.weight"].float(), start["input_proj.bias"].float()
    mean, basis, _ = principal_axes(sample, old.shape[1])
    length = np.linalg.norm((sample - mean) @ basis, axis=1).mean()
    weight = old @ torch.from_numpy((basis.T / length).astype(np.float32))
    with torch.no_grad():
        network.input_proj.weight.copy_(weight)
        network.input_proj.bias.copy_(bias - weight @ torch.from_numpy(mean))


@dataclass(frozen=True)
class TrainedMatcher:
    """The outcome of a training."""

    path: Path  # the network
    measured: dict[str, dict[str, float]]  # on held-out views: `network`, and `mutual nearest RATIO` beside it
    unreadable: list[str]  # photographs that were left out
    is_first: bool = True  # False in the further processes of a training


def train_matcher(
    config: TrainMatcherConfig,
    images: Path,
    out: Path,
    *,
    start: Path | None = None,
    device: str = "auto",
    devices: int = 1,
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> TrainedMatcher:
    """Train on every photograph below `images`, or resume from the checkpoint in `out`.

    Views are made once and kept in `out`. The result depends on the recipe, the photographs, the start, the
    number of processes and the machine.

    Raises:
        DataError: there are too few photographs.
        OutputError: a file of `out` would be replaced that is the start, or that no training wrote.
        StaleArtefactError: `out` holds a training of another recipe, and `overwrite` is not given.
        TrainingError: the loss became something that is not a number.
    """
    fabric = open_fabric(config.precision, device, devices, workers)
    progress = progress if progress is not None and fabric.global_rank == 0 else Silent()
    photos = find_photographs(images)
    weights = None if start is None else read_weights(start)
    with lock_folder(out, fabric.global_rank):
        store, key_of, unreadable = fill_store(photos, out / "views", config, workers, progress)
        subjects = subjects_of(photos, key_of, store, config.warps.views, _LEAST_KEYPOINTS)
        trained, apart = held_out(subjects, config.held_out, config.seed)
        logger.info("%d subjects to train on, %d held out", len(trained), len(apart))
        digest = "" if start is None else file_digest(start)
        shown = [view for subject in subjects for view in subject.views]
        fabric.launch()
        source, held = (PairSource(part, store, config) for part in (trained, apart))
        task = MatcherTask(config, source, held, fabric, weights, str(start))
        settings = config.digested(exclude={"name", "checkpoint_every"})
        settings["keypoints"]["spread"] = False  # once a setting
        del settings["keypoints"]["upright"]  # always the same
        recipe = fingerprint(3, "sift", settings, digest, shown, fabric.world_size)
        loop = TrainingLoop(task, out, recipe, fabric, start=start, progress=progress, workers=workers)
        measured = loop.run(overwrite=overwrite)
        return TrainedMatcher(loop.network_path, measured, unreadable, fabric.global_rank == 0)
