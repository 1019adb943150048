"""Train a network step by step, and resume from the last checkpoint: one loop for every kind of network.

A task says what is trained; the loop draws its batches, steps, averages, validates, keeps the best weights and writes.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from animalclef.errors import OutputError, TrainingError
from animalclef.runtime.atomic_files import write_text
from animalclef.runtime.progress import Progress
from animalclef.runtime.threads import one_thread_each, prefetch
from animalclef.training.fabric import average_buffers, average_gradients, skips_overflow
from animalclef.training.training_state import TrainingLog, averaged_model, load_state, save_state
from animalclef.training.training_task import History, Pace, TrainingTask, Validation

__all__ = ["TrainingLoop"]

_TIMED = (1, 4)  # steps between which the speed is measured: the first ones are slower
_Batch = TypeVar("_Batch")


class TrainingLoop(Generic[_Batch]):
    """One training in a folder that holds `state.safetensors`, `log.jsonl`, `measured.json` and the network."""

    def __init__(
        self,
        task: TrainingTask[_Batch],
        out: Path,
        recipe: str,
        fabric: Any,
        *,
        start: Path | None,
        progress: Progress,
        workers: int,
        announce: Callable[[Pace], None] = lambda pace: None,
    ) -> None:
        """Prepare a training; `recipe` changes with everything that the weights depend on.

        `start` is the file of weights to start from, which is never replaced. `workers` threads prepare batches
        ahead; `announce` is called at the start and once the speed is known.
        """
        self.task, self.settings, self.out, self.recipe, self.fabric = task, task.settings, out, recipe, fabric
        self._start, self.progress, self.workers, self.announce = start, progress, workers, announce
        self.network_path, self._state = out / f"{self.settings.name}.safetensors", out / "state.safetensors"
        self.averaged = averaged_model(task.network, self.settings.averaging)
        self.history, self._best = History(), dict[str, Tensor]()
        self._is_first = bool(fabric.global_rank == 0)
        self._moments: list[float] = []  # when the first steps began

    def run(self, *, overwrite: bool = False) -> dict[str, Any]:
        """Train to the end, or on from the checkpoint; return what was measured.

        An interrupted training ends with the same bytes as an uninterrupted one, on the CPU in float32.

        Raises:
            TrainingError: a loss or a gradient is not a number.
            OutputError: a file to be written is the start, or is no file of a training in this folder and `overwrite`
                is not given.
            StaleArtefactError: the folder holds another training, and `overwrite` is not given.
        """
        self._check_files(overwrite=overwrite)
        self.fabric.barrier()
        if overwrite and self._is_first:
            for path in [*self._written, *(self.out / "events").glob("events.*")]:
                path.unlink(missing_ok=True)
        self.fabric.barrier()
        settings, done = self.settings, self._resume()
        self.log = TrainingLog(self.out / "log.jsonl", done, self.out / "events" if self._is_first else None)
        if done == 0 and settings.validate_start and (validation := self._validate(0)) is not None:
            self.history.start = validation.figures
        self.announce(Pace(done))
        self.task.set_mode(frozen=done < settings.frozen_steps)
        steps = range(done, settings.steps)
        numbers = (self._batch_number(step, part) for step in steps for part in range(settings.accumulate))
        batches = prefetch(self.task.batch, numbers, self.workers)
        with one_thread_each(), closing(batches), self.progress.task("training", len(steps), "steps") as advance:
            for step in steps:
                if self.history.ended:
                    break
                if step and step == settings.frozen_steps:
                    self.task.set_mode(frozen=False)
                    self._moments.clear()
                self._announce_speed(step)
                self.log.add(step + 1, **self._step(batches, step))
                self._after_step(step + 1)
                advance(1)
        return self._finish()

    @property
    def _written(self) -> list[Path]:
        return [self._state, self.network_path, self.out / "log.jsonl", self.out / "measured.json"]

    def _check_files(self, *, overwrite: bool) -> None:
        """Refuse to replace the start; without a checkpoint also refuse to replace anything else."""
        present = [path for path in self._written if path.exists()]
        for path in present:
            if self._start is not None and self._start.exists() and path.samefile(self._start):
                raise OutputError(
                    f"{path}: the training starts from this file, and would replace it. Give --out another folder."
                )
        if present and not self._state.is_file() and not overwrite:
            raise OutputError(
                f"{present[0]}: this file is in the way, and the folder holds no checkpoint of a training. "
                "Give --out another folder, or --overwrite to begin anew."
            )

    def _resume(self) -> int:
        """Return the number of finished steps, with everything as it was after them."""
        done = 0
        if self._state.is_file():
            state = load_state(self._state, self.task.model, self.averaged, self.task.optimiser, self.recipe)
            self.history, self._best = History(**json.loads(state.notes["history"])), dict(state.kept)
            if scale := json.loads(state.notes["scale"]):
                self.fabric.strategy.precision.load_state_dict(scale)
            done = state.step
        self._optimiser = self.fabric.setup_optimizers(self.task.optimiser)
        return done

    def _batch_number(self, step: int, part: int) -> int:
        """Return the number of a batch; every process has batches of its own."""
        return int((step * self.settings.accumulate + part) * self.fabric.world_size + self.fabric.global_rank)

    def _step(self, batches: Iterator[_Batch], step: int) -> dict[str, float]:
        """Take one step of the optimiser; return the mean loss, the learning rate and the gradient's norm."""
        task, settings, fabric, rate = self.task, self.settings, self.fabric, self.task.learning_rate(step)
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group.get("factor", 1.0)
        names, total = list[str](), 0.0
        for part in range(settings.accumulate):
            batch = next(batches)
            dropout = settings.seed * 1_000_003 + self._batch_number(step, part)
            torch.manual_seed(dropout % 2**63)  # the same after an interruption
            with fabric.autocast():
                losses = task.losses(batch)
            names += (named := task.names(batch))
            bad = (~torch.isfinite(losses.detach())).nonzero().ravel().tolist()
            if bad:
                raise TrainingError(_not_a_number("loss", step, [named[row] for row in bad]))
            fabric.backward(losses.mean() / settings.accumulate)
            total += float(losses.detach().mean()) / settings.accumulate
        average_gradients(fabric, task.model)
        most = math.inf if settings.clip is None else settings.clip
        norm = float(fabric.clip_gradients(task.model, self._optimiser, max_norm=most, error_if_nonfinite=False))
        if not math.isfinite(norm) and not skips_overflow(fabric):
            raise TrainingError(_not_a_number("gradient of the loss", step, names))
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        average_buffers(fabric, task.model)
        figures = {"loss": total, "rate": rate}
        return figures if settings.clip is None else {**figures, "gradient": norm}

    def _after_step(self, done: int) -> None:
        """Average, and where it is time validate and write the checkpoint."""
        settings, averaging = self.settings, self.settings.averaging
        ends_epoch = done % settings.per_epoch == 0
        if averaging.kind != "swa":
            self.averaged.update_parameters(self.task.network)
        elif ends_epoch:
            epochs = settings.steps // settings.per_epoch
            if done // settings.per_epoch - int(averaging.start * epochs) <= 1:
                self.averaged.n_averaged.zero_()  # the average begins here
            self.averaged.update_parameters(self.task.network)
        self.history.steps = done
        if done % settings.validate_every == 0 or done == settings.steps:
            validation = self._validate(done)
            if validation is not None and self.history.note(validation, done, settings.patience):
                weights = self.averaged.module.state_dict()
                self._best = {name: value.detach().cpu().clone() for name, value in weights.items()}
        if ends_epoch or done % settings.checkpoint_every == 0 or done == settings.steps:
            self._save(done)

    def _validate(self, step: int) -> Validation | None:
        """Validate the averaged network in the first process, and share the figures with the others."""
        validation = None
        if self._is_first:
            validation = self.task.validate(self.averaged.module.eval())
            if validation is not None:
                self.log.add(step, **validation.scalars)
        shared: Validation | None = self.fabric.broadcast(validation)
        return shared

    def _save(self, step: int) -> None:
        if self._is_first:
            scale = self.fabric.strategy.precision.state_dict()  # of the gradients in float16
            notes = {"history": json.dumps(asdict(self.history)), "scale": json.dumps(scale)}
            save_state(
                self._state, self.task.model, self.averaged, self.task.optimiser, step, self.recipe, self._best, notes
            )
            self.log.write()
        self.fabric.barrier()

    def _announce_speed(self, step: int) -> None:
        """Announce what is left once the first steps were timed: with frozen weights, and again without."""
        first, last = _TIMED
        if len(self._moments) > last:
            return
        self._moments.append(time.monotonic())
        left = self.settings.steps - step
        if len(self._moments) > last and left > 3 * last:
            each = (self._moments[last] - self._moments[first]) / (last - first)
            self.announce(Pace(step, each * left, step < self.settings.frozen_steps))

    def _finish(self) -> dict[str, Any]:
        measured: dict[str, Any] = {}
        if self._is_first:
            network = self.averaged.module
            if self._best:
                network.load_state_dict(self._best, strict=True)
            measured = dict(self.task.finish(network.eval(), self.history, self.network_path))
            write_text(self.out / "measured.json", json.dumps(measured, indent=1) + "\n")
            self.log.close()
        return dict(self.fabric.broadcast(measured))


def _not_a_number(what: str, step: int, names: Sequence[str]) -> str:
    shown = "; ".join(names[:64]) + (" ..." if len(names) > 64 else "")
    return (
        f"The {what} is not a number at step {step + 1}, for {shown}. Check these photographs, or lower "
        "optimiser.learning_rate; the last checkpoint is kept."
    )
