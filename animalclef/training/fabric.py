"""Where a training runs: the device, its precision, and the folder that it alone writes to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from animalclef.errors import ConfigError, RunInUseError
from animalclef.runtime.precision import has_bfloat16_units

__all__ = [
    "average_buffers",
    "average_gradients",
    "claimed",
    "load_scaling",
    "open_fabric",
    "scaling",
    "skips_overflow",
]


def open_fabric(precision: str, device: str, devices: int, threads: int) -> Any:
    """Lightning Fabric for a device (`auto`, `cpu`, `cuda`, `cuda:1`, `mps`).

    `precision` is Fabric's; `auto` is mixed on a GPU (bfloat16 where it has units for it), float32 on the CPU, where
    torch takes so many `threads`.

    Raises:
        ConfigError: Fabric is not installed, there is no such device, or one device is named for several processes.
    """
    import torch

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
    chosen: Any = precision
    if precision == "auto":
        chosen = "32-true"
        if kind == "cuda":
            chosen = "bf16-mixed" if has_bfloat16_units(torch.device("cuda")) else "16-mixed"
    try:
        which: Any = [int(number)] if number else devices
        strategy = "ddp" if devices > 1 else "auto"
        return Fabric(accelerator=kind, devices=which, strategy=strategy, precision=chosen)
    except (ValueError, RuntimeError) as error:
        raise ConfigError(f"--device {device}: cannot be used here ({error}). Try --device cpu.") from error


def skips_overflow(fabric: Any) -> bool:
    """Whether a step whose gradient left the range of half precision is left out, and the next ones scaled down."""
    return str(fabric.strategy.precision.precision) == "16-mixed"


def scaling(fabric: Any) -> str:
    """How gradients are scaled for half precision, to be kept with a checkpoint."""
    return json.dumps(fabric.strategy.precision.state_dict())


def load_scaling(fabric: Any, kept: str) -> None:
    """Scale gradients as `scaling` told."""
    state = json.loads(kept)
    if state:
        fabric.strategy.precision.load_state_dict(state)


def average_gradients(fabric: Any, network: Any) -> None:
    """The mean gradient of all processes in each of them.

    By hand: a wrapper around the network would not learn of parameters that begin to learn later.
    """
    if fabric.world_size == 1:
        return
    for parameter in network.parameters():
        if parameter.grad is not None:
            parameter.grad = fabric.all_reduce(parameter.grad, reduce_op="mean")


def average_buffers(fabric: Any, network: Any) -> None:
    """The mean of all processes' statistics (of batch norms) in each of them."""
    if fabric.world_size == 1:
        return
    for buffer in network.buffers():
        if buffer.is_floating_point():
            buffer.copy_(fabric.all_reduce(buffer, reduce_op="mean"))


@contextmanager
def claimed(out: Path, rank: int) -> Iterator[None]:
    """Nobody else trains in the folder meanwhile (the other processes of this training are the same one).

    Raises:
        RunInUseError: somebody does.
    """
    from filelock import FileLock, Timeout

    if rank:
        yield
        return
    lock = FileLock(out / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunInUseError(f"{out}: another process is training there. Wait for it, or use another --out.") from error
    try:
        yield
    finally:
        lock.release()
