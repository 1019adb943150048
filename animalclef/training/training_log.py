"""Log a training: a JSON line per step and per validation, and the same as TensorBoard's events."""

from __future__ import annotations

import json
import logging
import math
import time
from pathlib import Path
from typing import Any

from animalclef.runtime.atomic_files import write_text

__all__ = ["TrainingLog"]

logger = logging.getLogger(__name__)


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
