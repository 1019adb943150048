"""Train an embedder step by step, from the last checkpoint on; the best of its validations is what is written."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from animalclef.config.embedder_training import TrainConfig
from animalclef.runtime.atomic_files import write_text
from animalclef.runtime.prefetch import ahead
from animalclef.runtime.progress import Progress
from animalclef.runtime.threads import one_thread_each
from animalclef.training.embedder.early_stopping import EarlyStopping, TrainingPlan, worse_than_start
from animalclef.training.embedder.embedder_step import Learner, make_optimiser, on_device
from animalclef.training.embedder.embedder_validation import ValidationSet, embed_pictures, figures_row
from animalclef.training.embedder.learning_rate import rate_at
from animalclef.training.embedder.losses import build_loss
from animalclef.training.embedder.photograph_batches import BatchSource
from animalclef.training.embedder.trained_network import Started, TrainedNetwork, measure_batch_norms, save_embedder
from animalclef.training.fabric import load_scaling, scaling
from animalclef.training.training_checkpoint import Averaged, load_state, save_state
from animalclef.training.training_log import TrainingLog

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["EmbedderTraining"]

logger = logging.getLogger(__name__)

_MEASURED = 128  # photographs that the statistics of batch norms are measured on
_TIMED = (1, 4)  # steps that the speed is told by: the first ones are slower


@dataclass(eq=False)
class EmbedderTraining:
    """One training: where its files are, what it draws from, how far it is."""

    config: TrainConfig
    out: Path
    network: TrainedNetwork
    source: BatchSource
    held: ValidationSet | None
    recipe: str  # changes with settings, photographs and start
    fabric: Any
    progress: Progress
    announce: Callable[[TrainingPlan], None]
    workers: int = 1  # threads that make batches ahead
    started: Started | None = None
    learnt: Collection[str] = ()  # keys of the photographs that train, and that the start was trained on
    course: EarlyStopping = field(default_factory=EarlyStopping)
    best: dict[str, Tensor] = field(default_factory=dict)  # weights of the best validation
    _moments: list[float] = field(default_factory=list)  # when the first steps began

    def run(self) -> dict[str, Any]:
        """Train to the end, or on from the checkpoint; what validation measured.

        Raises:
            TrainingError: the loss, its gradient or a held-out photograph's embedding is not a number.
            StaleArtefactError: the folder holds another training.
        """
        self._set_up()
        done = self._resume()
        learner, config, per_epoch = self.learner, self.config, self.steps_per_epoch
        self.log = TrainingLog(self.out / "log.jsonl", done, self.out / "events" if self._is_first else None)
        if done == 0 and self.held is not None:
            self.course.start = self._validate(0)
        total = config.epochs * per_epoch
        plan = self._plan(done, total)
        self.announce(plan)
        learner.freeze(done < config.frozen_epochs * per_epoch)
        batches = ahead(self.source.batch, self._numbers(done, total), self.workers)
        with one_thread_each(), closing(batches), self.progress.task("training", total - done, "steps") as advance:
            for step in range(done, total):
                if self.course.ended:
                    break
                if step == config.frozen_epochs * per_epoch:
                    learner.freeze(False)
                    self._moments.clear()
                self._tell_speed(step, plan)
                share = rate_at(step, config.schedule, per_epoch, config.frozen_epochs, config.epochs)
                self.log.add(step + 1, **learner.step(batches, share))
                self._average(step)
                ends = (step + 1) % per_epoch == 0
                if ends:
                    self._end_epoch((step + 1) // per_epoch)
                if ends or (step + 1) % config.checkpoint_every == 0:
                    self._save(step + 1)
                advance(1)
        return self._finish()

    @property
    def network_path(self) -> Path:
        """Where the network for use is written."""
        return self.out / f"{self.config.name}.safetensors"

    @property
    def steps_per_epoch(self) -> int:
        """Steps of the optimiser."""
        each = self.config.optimiser.accumulate * self.fabric.world_size
        return self.config.steps_per_epoch or math.ceil(self.source.plan.steps_per_epoch / each)

    @property
    def _state(self) -> Path:
        return self.out / "state.safetensors"

    @property
    def _is_first(self) -> bool:
        return bool(self.fabric.global_rank == 0)

    def forget(self) -> None:
        """Begin anew."""
        for path in (self._state, self.out / "log.jsonl", self.network_path, self.out / "measured.json"):
            path.unlink(missing_ok=True)
        for path in (self.out / "events").glob("events.*"):
            path.unlink()

    def _set_up(self) -> None:
        import torch
        from torch import nn

        module = self.network.module.to(self.fabric.device).to(memory_format=torch.channels_last)
        if self.config.network.batch_norm == "measured" and not self._state.is_file():
            batches = [
                self.source.batch(number).pixels for number in range(math.ceil(_MEASURED / self.config.batch_size))
            ]
            measure_batch_norms(module, on_device(torch.cat(batches), self.network.preprocessing, self.fabric.device))
        loss = build_loss(self.config.loss, self.source.learnt.counts, self.network.dimensions, seed=self.config.seed)
        self.both = nn.ModuleDict({"network": module, "loss": loss.to(self.fabric.device)})
        self.averaged = Averaged(module, self.config.averaging.decay)
        self.shadow = deepcopy(module)
        self.plain = make_optimiser(module, loss, self.config.optimiser)

    def _resume(self) -> int:
        """The step to go on after, with everything as it was then."""
        done = 0
        if self._state.is_file():
            state = load_state(self._state, self.both, self.averaged, self.plain, self.recipe)
            self.course, self.best, done = (
                EarlyStopping(**json.loads(state.notes["course"])),
                dict(state.kept),
                state.step,
            )
            load_scaling(self.fabric, state.notes["scaling"])
        set_up = self.fabric.setup_optimizers(self.plain)
        self.learner = Learner(self.both, set_up, self.network.preprocessing, self.config, self.fabric)
        return done

    def _numbers(self, done: int, total: int) -> Iterator[int]:
        """The batches of the steps to come; every process has batches of its own."""
        parts, world, rank = self.config.optimiser.accumulate, self.fabric.world_size, self.fabric.global_rank
        for step in range(done, total):
            yield from ((step * parts + part) * world + rank for part in range(parts))

    def _plan(self, done: int, total: int) -> TrainingPlan:
        learnt = self.source.learnt
        held = set() if self.held is None else set(self.held.table.image_id) - set(learnt.table.image_id)
        return TrainingPlan(
            images=len(learnt),
            classes=len(learnt.classes),
            held_out=len(held),
            batch=self.config.batch_size * self.config.optimiser.accumulate * self.fabric.world_size,
            epochs=self.config.epochs,
            steps=total,
            done=done,
            started=self.started,
        )

    def _tell_speed(self, step: int, plan: TrainingPlan) -> None:
        """Announce what is left, once the first steps (with a frozen backbone, and again after it) were timed."""
        first, last = _TIMED
        if len(self._moments) > last:
            return
        self._moments.append(time.monotonic())
        if len(self._moments) > last and plan.steps - step > 3 * last:
            each = (self._moments[last] - self._moments[first]) / (last - first)
            frozen = step < self.config.frozen_epochs * self.steps_per_epoch
            self.announce(replace(plan, seconds=each * (plan.steps - step), frozen=frozen))

    def _average(self, step: int) -> None:
        module, kind = self.both["network"], self.config.averaging.kind
        if kind == "ema":
            self.averaged.update(module, step + 1)
        elif kind == "none":
            self.averaged.move(module, 1.0)
        elif (step + 1) % self.steps_per_epoch == 0:
            epoch = (step + 1) // self.steps_per_epoch
            averaged = epoch - int(self.config.averaging.start * self.config.epochs)
            self.averaged.move(module, 1.0 / max(averaged, 1))

    def _end_epoch(self, epoch: int) -> None:
        """Validate where it is time."""
        course, settings = self.course, self.config.validation
        course.epochs = epoch
        if self.held is None or (epoch % settings.every and epoch != self.config.epochs):
            return
        if course.note(self._validate(epoch * self.steps_per_epoch), epoch, settings.patience):
            self.best = {name: value.detach().cpu().clone() for name, value in self.averaged.weights.items()}

    def _validate(self, step: int) -> dict[str, Any]:
        """Figures of the averaged network, the same in every process."""
        row: dict[str, Any] = {}
        if self.held is not None and self._is_first:
            self.shadow.load_state_dict(self.averaged.weights, strict=True)
            embeddings = embed_pictures(
                self.shadow.eval(), self.network.preprocessing, self.source.pictures, self.held.table.key,
                self.fabric.device, self.fabric.autocast(), self.workers,
            )  # fmt: skip
            row = figures_row(self.held.measure(embeddings))
            self.log.add(step, **{name: float("nan") if one is None else one for name, one in row["mean"].items()})
        return dict(self.fabric.broadcast(row))

    def _save(self, step: int) -> None:
        if self._is_first:
            notes = {"course": json.dumps(asdict(self.course)), "scaling": scaling(self.fabric)}
            save_state(
                self._state, self.both, self.averaged, self.plain, step, self.recipe, kept=self.best, notes=notes
            )
            self.log.write()
        self.fabric.barrier()

    def _finish(self) -> dict[str, Any]:
        """Write the network for use, and what it and its start came to."""
        course = self.course
        measured = {"start": course.start, "trained": course.best, "epoch": course.best_epoch, "epochs": course.epochs}
        if self._is_first:
            if worse := worse_than_start(course):
                logger.warning("%s", worse)
            save_embedder(self.network_path, self.best or self.averaged.weights, self.network, self.learnt)
            write_text(self.out / "measured.json", json.dumps(measured, indent=1) + "\n")
            self.log.close()
        self.fabric.barrier()
        return measured
