"""Average the weights of a training, and save or load its whole state: weights, averages, moments and the step."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn, optim
from torch.optim.swa_utils import AveragedModel

from animalclef.config.training import AveragingConfig
from animalclef.errors import StaleArtefactError
from animalclef.runtime.atomic_files import write_bytes, write_text

__all__ = ["State", "TrainingLog", "averaged_model", "load_state", "save_half", "save_state"]

logger = logging.getLogger(__name__)

_VERSION = "2"
_MODEL, _AVERAGED, _KEPT = "network", "averaged", "kept"


def averaged_model(network: nn.Module, config: AveragingConfig) -> AveragedModel:
    """Return a copy of `network` whose weights and buffers follow a mean of the network's.

    - ema: at the n-th update (from 1) it keeps min(decay, (1 + n) / (10 + n)) of itself, so early updates count more.
    - swa: the arithmetic mean of all updates.
    - none: the latest weights.

    Integer buffers (the count of a batch norm) are copied.
    """

    def average(olds: Any, news: Any, count: Tensor | int) -> None:
        n = int(count)  # once for all: on a GPU it waits for the step
        keep = min(config.decay, (1 + n) / (10 + n)) if config.kind == "ema" else n / (n + 1)
        for old, new in zip(olds, news, strict=True):
            if config.kind == "none" or not old.is_floating_point():
                old.copy_(new)
            else:
                old.lerp_(new, 1 - keep)

    averaged = AveragedModel(network, multi_avg_fn=average, use_buffers=True)
    if config.kind == "ema":
        averaged.n_averaged += 1  # the weights that training starts with count as the first
    return averaged


def save_half(path: Path, weights: Mapping[str, Tensor], **metadata: object) -> None:
    """Write weights for use, in half precision, with the metadata as JSON."""
    tensors = {name: value.detach().cpu().half().contiguous() for name, value in weights.items()}
    write_bytes(path, save(tensors, metadata={name: json.dumps(value) for name, value in metadata.items()}))


@dataclass(frozen=True, eq=False)
class State:
    """What a checkpoint holds beside what `load_state` puts into the model, the average and the optimiser."""

    step: int  # number of finished steps
    kept: Mapping[str, Tensor]
    notes: Mapping[str, str]


def save_state(
    path: Path,
    model: nn.Module,
    averaged: AveragedModel,
    optimiser: optim.Optimizer,
    step: int,
    recipe: str,
    kept: Mapping[str, Tensor],
    notes: Mapping[str, str],
) -> None:
    """Write everything that the next step needs, whole or not at all."""
    tensors = {f"{_MODEL}.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"{_AVERAGED}.{name}": value for name, value in averaged.state_dict().items()}
    tensors |= {f"{_KEPT}.{name}": value for name, value in kept.items()}
    for name, parameter in model.named_parameters():
        tensors |= {f"{moment}.{name}": value for moment, value in optimiser.state.get(parameter, {}).items()}
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    about = {**notes, "version": _VERSION, "step": str(step), "recipe": recipe}
    write_bytes(path, save(whole, metadata=about))


def load_state(path: Path, model: nn.Module, averaged: AveragedModel, optimiser: optim.Optimizer, recipe: str) -> State:
    """Load a checkpoint into the model, the average and the optimiser; return the rest.

    Raises:
        StaleArtefactError: it belongs to another recipe, start or folder of photographs, was written by an earlier
            version of animalclef, or is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            about = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise StaleArtefactError(f"{path}: not a readable safetensors file ({error}). Remove it.") from error
    if about.get("version") != _VERSION:
        raise StaleArtefactError(
            f"{path}: a checkpoint of another version of animalclef. Use another --out, or --overwrite to begin anew."
        )
    if about.get("recipe") != recipe:
        raise StaleArtefactError(
            f"{path}: belongs to a training with other settings, photographs or start. "
            "Use another --out, or --overwrite to begin anew."
        )
    groups: dict[str, dict[str, Tensor]] = {_MODEL: {}, _AVERAGED: {}, _KEPT: {}}
    for key, value in tensors.items():
        group, _, name = key.partition(".")
        groups.setdefault(group, {})[name] = value
    model.load_state_dict(groups.pop(_MODEL), strict=True)
    averaged.load_state_dict(groups.pop(_AVERAGED), strict=True)
    kept = groups.pop(_KEPT)
    for name, parameter in model.named_parameters():
        moments = {moment: values[name] for moment, values in groups.items() if name in values}
        if moments:
            optimiser.state[parameter] = {
                moment: value if moment == "step" else value.to(parameter.device) for moment, value in moments.items()
            }
    return State(int(about["step"]), kept, about)


class TrainingLog:
    """A log whose lines are written whole with each checkpoint; events, where they have a folder, as they come."""

    def __init__(self, path: Path, done: int, events: Path | None = None) -> None:
        """Continue after step `done`: lines that an interrupted training added later are dropped."""
        self.path, self.start = path, time.monotonic()
        self.lines: list[dict[str, Any]] = []
        if path.is_file() and done:
            read = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            self.lines = [line for line in read if line["step"] <= done]
        self._events = None if events is None else _event_writer(events, done)

    def add(self, step: int, **figures: float) -> None:
        """Add the figures of a step or of a validation after it; what is not finite becomes null."""
        rounded = {name: float(f"{value:.6g}") if math.isfinite(value) else None for name, value in figures.items()}
        self.lines.append({"step": step, "seconds": round(time.monotonic() - self.start, 1), **rounded})
        if self._events is not None:
            for name, value in figures.items():
                self._events.add_scalar(name, value, step)

    def write(self) -> None:
        """Write all lines."""
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in self.lines))
        if self._events is not None:
            self._events.flush()

    def close(self) -> None:
        """Close the file of events."""
        if self._events is not None:
            self._events.close()


def _event_writer(folder: Path, done: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        logger.warning(
            "TensorBoard's events are not written: the package is absent (pip install 'animalclef[train]'). "
            "log.jsonl holds the same figures."
        )
        return None
    return SummaryWriter(folder, purge_step=done + 1 if done else None)
