"""Train a network on pairs of views, step by step, from the last checkpoint on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from animalclef.config.matcher_training import TrainMatcherConfig
from animalclef.runtime.atomic_files import write_text
from animalclef.runtime.prefetch import ahead
from animalclef.runtime.progress import Progress
from animalclef.training.fabric import average_gradients, skips_overflow
from animalclef.training.matcher.lightglue_training import Batch, build_network, save_network, start_from
from animalclef.training.matcher.matcher_step import (
    batch_loss,
    check_loss,
    let_learn,
    make_optimiser,
    project_like,
    rate_at,
)
from animalclef.training.matcher.matcher_validation import (
    Matches,
    Measured,
    measure,
    nearest_neighbours,
    network_matches,
)
from animalclef.training.matcher.view_batches import Pair, PairSource
from animalclef.training.training_checkpoint import Averaged, load_state, save_state
from animalclef.training.training_log import TrainingLog

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["MatcherTraining"]

_TRAIN, _VALIDATE, _SAMPLE = 21, 22, 23  # what a generator draws
_CHECK_EVERY = 100  # steps between checkpoints
_RATIOS = (0.8, 0.9, 1.0)  # of the nearest neighbours beside the network


@dataclass(eq=False)
class MatcherTraining:
    """One training: where its files are, what it draws from, how far it is."""

    config: TrainMatcherConfig
    out: Path
    learnt: PairSource
    apart: PairSource  # held out
    recipe: str  # changes with settings, photographs and start
    fabric: Any
    progress: Progress
    workers: int = 1  # threads that draw batches ahead
    start: Mapping[str, Tensor] | None = None
    start_name: str = ""

    def run(self) -> dict[str, Measured]:
        """Train to the end, or on from the checkpoint; what the network and the nearest neighbours come to.

        Raises:
            TrainingError: the loss is not a number.
            StaleArtefactError: the folder holds another training.
        """
        import torch

        torch.manual_seed(self.config.seed)
        network = build_network(self.learnt.features.input_dim, self.config.network)
        new = self._begin(network)
        if not new:  # nothing has to learn before the rest
            self.config = self.config.model_copy(update={"frozen_steps": 0})
        config = self.config
        network.to(self.fabric.device)
        optimiser = make_optimiser(network, config.optimiser)
        averaged = Averaged(network, config.optimiser.ema)
        done = 0
        if self._state.is_file():
            done = load_state(self._state, network, averaged, optimiser, self.recipe).step
        optimiser = self.fabric.setup_optimizers(optimiser)
        let_learn(network, new if done < config.frozen_steps else None)
        log = TrainingLog(self.out / "log.jsonl", done)
        batches = ahead(lambda numbers: self.learnt.batch(*numbers), self._numbers(done), self.workers)
        with closing(batches), self.progress.task("training", config.steps - done, "steps") as advance:
            for step in range(done, config.steps):
                if step == config.frozen_steps:
                    let_learn(network, None)
                loss, norm = self._step(network, optimiser, batches, step)
                averaged.update(network, step + 1)
                log.add(step + 1, loss=loss, gradient=norm, rate=rate_at(step, config))
                last = step + 1 == config.steps
                if last or (step + 1) % config.validate_every == 0:
                    log.add(step + 1, **self._validate(averaged).row())
                if last or (step + 1) % _CHECK_EVERY == 0:
                    self._save(network, averaged, optimiser, step + 1, log)
                advance(1)
        return self._finish(averaged)

    @property
    def network_path(self) -> Path:
        """Where the network for use is written."""
        return self.out / f"{self.config.name}.safetensors"

    @property
    def _state(self) -> Path:
        return self.out / "state.safetensors"

    def forget(self) -> None:
        """Begin anew."""
        for path in (self._state, self.out / "log.jsonl", self.network_path, self.out / "measured.json"):
            path.unlink(missing_ok=True)

    def _begin(self, network: nn.Module) -> list[str]:
        """Take over the start, and give the new projection the main directions of the descriptors."""
        if self.start is None:
            return []
        new = start_from(network, self.start, self.start_name)
        if "input_proj.weight" in new and "input_proj.weight" in self.start:
            pairs = self.learnt.pairs(32, _SAMPLE, points=self.config.points)
            sample = [self.learnt.features.prepare(pair.first.descriptors) for pair in pairs]
            project_like(network, self.start, np.concatenate(sample))
        return new

    def _numbers(self, done: int) -> Iterator[tuple[int, int, int]]:
        """What the batches of the steps to come are drawn from; every process has batches of its own."""
        parts, world, rank = self.config.optimiser.accumulate, self.fabric.world_size, self.fabric.global_rank
        for step in range(done, self.config.steps):
            yield from ((_TRAIN, step, part * world + rank) for part in range(parts))

    def _step(self, network: Any, optimiser: Any, batches: Iterator[Batch], step: int) -> tuple[float, float]:
        """One step of the optimiser; the mean loss and the gradient's norm."""
        optimisation = self.config.optimiser
        frozen = step < self.config.frozen_steps
        peak = optimisation.projection_rate if frozen else optimisation.learning_rate
        for group in optimiser.param_groups:
            group["lr"] = peak * rate_at(step, self.config)
        total = 0.0
        for _ in range(optimisation.accumulate):
            batch = next(batches).to(self.fabric.device)
            with self.fabric.autocast():
                losses = batch_loss(network, batch, self.config.loss.confidence_weight)
            check_loss(losses, batch, step)
            self.fabric.backward(losses.mean() / optimisation.accumulate)
            total += float(losses.detach().mean()) / optimisation.accumulate
        average_gradients(self.fabric, network)
        norm = self.fabric.clip_gradients(
            network, optimiser, max_norm=optimisation.clip, error_if_nonfinite=not skips_overflow(self.fabric)
        )
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return total, float(norm)

    def _validate(self, averaged: Averaged) -> Measured:
        return measure(self._averaged_matches(averaged), self._held_pairs(), self.config.loss.match_px)

    def _averaged_matches(self, averaged: Averaged) -> Callable[[Pair], Matches]:
        network = build_network(self.learnt.features.input_dim, self.config.network)
        network.load_state_dict(averaged.weights, strict=True)
        network.to(self.fabric.device).eval()
        return network_matches(network, self.learnt.features, self.config)

    def _held_pairs(self) -> list[Pair]:
        return self.apart.pairs(self.config.validation_pairs, _VALIDATE)

    def _save(self, network: nn.Module, averaged: Averaged, optimiser: Any, step: int, log: TrainingLog) -> None:
        if self.fabric.global_rank == 0:
            plain = getattr(optimiser, "optimizer", optimiser)
            save_state(self._state, network, averaged, plain, step, self.recipe)
            log.write()
        self.fabric.barrier()

    def _finish(self, averaged: Averaged) -> dict[str, Measured]:
        """Write the network for use, and what it and the baseline come to on the held-out views."""
        if self.fabric.global_rank == 0:
            save_network(self.network_path, averaged.weights, self.learnt.features, self.config.network)
        pairs, right = self._held_pairs(), self.config.loss.match_px
        measured = {"network": measure(self._averaged_matches(averaged), pairs, right)}
        for ratio in _RATIOS:
            baseline = nearest_neighbours(self.learnt.features, ratio)
            measured[f"mutual nearest {ratio}"] = measure(baseline, pairs, right)
        rows = {name: one.row() for name, one in measured.items()}
        write_text(self.out / "measured.json", json.dumps(rows, indent=1) + "\n")
        return measured
