"""Seconds of work on a processor or a GPU, beside a large matrix product; the speed benchmarks import it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch


def seconds_of(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, waiting for a GPU before and after."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def median_ratio(values: Sequence[float], own: Sequence[float]) -> float:
    """Turn by turn, so that other work on the machine weighs on both."""
    return statistics.median(value / each for value, each in zip(values, own, strict=True))


class Product:
    """A large matrix product in one precision; float32 is TF32 on a GPU, as cuDNN convolves by default."""

    def __init__(self, kind: torch.dtype, device: torch.device) -> None:
        side = 8192 if device.type == "cuda" else 512
        self.one, self.other = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
        self.operations = 2.0 * side**3

    def __call__(self) -> None:
        torch.set_float32_matmul_precision("high")
        self.one @ self.other
        torch.set_float32_matmul_precision("highest")
