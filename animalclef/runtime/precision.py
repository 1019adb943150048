"""Choose the number format that a device computes fast in."""

from __future__ import annotations

import torch

__all__ = ["choose_precision", "has_bfloat16_units"]


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
