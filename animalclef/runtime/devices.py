"""Choose the number format that a device computes fast in, and go on where its memory is full."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch

from animalclef.errors import ConfigError
from animalclef.runtime.wording import first_line

__all__ = [
    "Batches",
    "choose_device",
    "choose_precision",
    "has_bfloat16_units",
    "has_float16_units",
    "is_out_of_memory",
    "release_memory",
]

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


def choose_device(wanted: str) -> str:
    """Return the device to use; `auto` is the GPU where there is one.

    Raises:
        ConfigError: torch knows no such device, or it is not there.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.partition(":")[0] not in ("cpu", "cuda", "mps", "xpu"):
        raise ConfigError(f"device {wanted}: no such device. Use auto, cpu, cuda, cuda:1 or mps.")
    try:
        torch.zeros(1, device=wanted)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {wanted}: not available ({first_line(error)}). Use cpu, or auto.") from error
    return wanted


def choose_precision(wanted: str, device: torch.device | str) -> torch.dtype:
    """Return the torch type for `float32`, `float16`, `bfloat16` or `auto`.

    `auto` is bfloat16 where the device has units for it, float16 on older GPUs (a T4), float32 elsewhere.
    """
    device = torch.device(device)
    if wanted != "auto":
        named: torch.dtype = getattr(torch, wanted)
        return named
    if has_bfloat16_units(device):
        return torch.bfloat16
    return torch.float16 if device.type == "cuda" else torch.float32


def has_bfloat16_units(device: torch.device) -> bool:
    """Return whether the hardware computes in bfloat16; elsewhere torch emulates it, slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type != "cpu":
        return False
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported", "_is_arm_bf16_supported")
    supported = (getattr(torch.cpu, name, None) for name in names)
    return any(bool(one()) for one in supported if one is not None)


def has_float16_units(device: torch.device) -> bool:
    """Return whether the hardware computes in float16; elsewhere torch emulates it, many times slower than float32."""
    if device.type != "cpu":
        return device.type == "cuda"
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_fp16_supported", None)
    return supported is not None and bool(supported())


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means out of memory; torch raises its own on a GPU and plain RuntimeErrors elsewhere."""
    text = str(error).lower()
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or "out of memory" in text or "can't allocate memory" in text


class Batches:
    """Run a device over batches; where its memory is full it gets half as many photographs at a time from then on.

    `setting` names what was chosen, `advice` what would need less.
    """

    def __init__(self, size: int, setting: str, device: str, advice: str) -> None:
        self.size, self.setting, self.device, self.advice = size, setting, device, advice

    def run(self, work: Callable[[Sequence[Item]], Iterable[Result]], items: Sequence[Item]) -> Iterator[Result]:
        """Yield the results of all items, in their order.

        Raises:
            ConfigError: not even one photograph at a time fits.
            MemoryError: this machine has no memory to prepare one, whatever the device has.
        """
        start = 0
        while start < len(items):
            some = items[start : start + self.size]
            try:
                found = work(some)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or (len(some) == 1 and isinstance(error, MemoryError)):
                    raise
                if len(some) == 1:
                    raise ConfigError(
                        f"{self.setting}: not even one photograph at a time fits into the memory of {self.device}. "
                        f"{self.advice}, or use the device cpu."
                    ) from error
                self.size = len(some) // 2
                logger.warning("Out of memory with %d photographs a batch; going on with %d.", len(some), self.size)
                release_memory()
                continue
            yield from found
            start += len(some)


def release_memory() -> None:
    """Release cached blocks of the GPU, for another process or for batches of another size."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
