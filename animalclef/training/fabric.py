"""Open the device that a training runs on, share gradients between processes, and lock the output folder."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from animalclef.errors import ConfigError, OutputError
from animalclef.runtime.atomic_files import make_folder
from animalclef.runtime.devices import choose_precision
from animalclef.runtime.file_lock import locked_folder
from animalclef.runtime.output_guard import RUN_MARKER
from animalclef.store.catalogue_places import CATALOGUE_FILES

__all__ = ["average_buffers", "average_gradients", "lock_folder", "open_fabric", "skips_overflow"]

_NO_TRAINING = (RUN_MARKER, *CATALOGUE_FILES, "metadata.csv", "database", "query")  # of what a folder may be instead


def open_fabric(precision: str, device: str, devices: int, threads: int) -> Any:
    """Return Lightning Fabric for a device (`auto`, `cpu`, `cuda`, `cuda:1`, `mps`).

    `precision` is Fabric's; `auto` is mixed on a GPU (bfloat16 where it has units for it) and float32 on the CPU,
    where torch takes so many `threads`.

    Raises:
        ConfigError: Fabric is not installed, there is no such device, or one device is named for several processes.
    """
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise ConfigError("Training needs Lightning Fabric: pip install 'animalclef[train]'.") from error
    kind, _, number = device.partition(":")
    if number and devices > 1:
        raise ConfigError(f"--device {device}: this is one device, not {devices}. Use --device {kind}, or --devices 1.")
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if kind == "auto" else kind
    if kind == "cpu":
        torch.set_num_threads(threads)
    if precision == "auto":
        mixed = {torch.bfloat16: "bf16-mixed", torch.float16: "16-mixed"}
        precision = mixed[choose_precision("auto", kind)] if kind == "cuda" else "32-true"
    chosen: Any = precision
    which: Any = [int(number)] if number else devices
    try:
        return Fabric(accelerator=kind, devices=which, strategy="ddp" if devices > 1 else "auto", precision=chosen)
    except (ValueError, RuntimeError) as error:
        raise ConfigError(f"--device {device}: cannot be used here ({error}). Try --device cpu.") from error


def skips_overflow(fabric: Any) -> bool:
    """Return whether a step whose gradient left the range of float16 is skipped, and the next ones scaled down."""
    return str(fabric.strategy.precision.precision) == "16-mixed"


def average_gradients(fabric: Any, model: nn.Module) -> None:
    """Set every gradient to its mean over all processes.

    It is done by hand, as torch's wrapper does not notice parameters that are unfrozen later.
    """
    if fabric.world_size == 1:
        return
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad = fabric.all_reduce(parameter.grad, reduce_op="mean")


def average_buffers(fabric: Any, model: nn.Module) -> None:
    """Set every floating-point buffer (statistics of batch norms) to its mean over all processes."""
    if fabric.world_size == 1:
        return
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.copy_(fabric.all_reduce(buffer, reduce_op="mean"))


def lock_folder(out: Path, rank: int) -> AbstractContextManager[None]:
    """Make the folder, and keep other trainings out; the further processes of this one (`rank` above 0) need no lock.

    Raises:
        RunInUseError: another training holds it.
        OutputError: it is a run, a catalogue or a data set; it cannot be made, or files cannot be locked there.
    """
    if held := next((name for name in _NO_TRAINING if (out / name).exists()), None):
        raise OutputError(f"{out}: not the folder of a training (it holds {held}). Use another --out.")
    make_folder(out)
    if rank:
        return nullcontext()
    return locked_folder(out, "another process is training there. Wait for it, or use another --out.", "--out")
