"""Measure what of this machine a process may use: cores, memory, disk, GPUs."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

__all__ = ["Machine", "free_disk", "measure_machine", "memory_limit", "version_of"]

_LIMITS = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")  # of a container


@dataclass(frozen=True)
class Machine:
    """What a process may use; sizes in bytes."""

    cores: int
    cores_installed: int
    memory: int
    gpus: tuple[tuple[str, int], ...]  # names and memory
    has_bfloat16: bool  # units for it, on the GPU where there is one


def measure_machine() -> Machine:
    """Return what this process may use; importing torch takes a moment."""
    import torch

    from animalclef.runtime.devices import has_bfloat16_units

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    found = (torch.cuda.get_device_properties(number) for number in range(count))
    gpus = tuple((str(one.name), int(one.total_memory)) for one in found)
    installed = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else installed
    device = torch.device("cuda" if gpus else "cpu")
    return Machine(allowed, installed, memory_limit(), gpus, has_bfloat16_units(device))


def memory_limit(root: Path = Path("/")) -> int:
    """Return the bytes of memory that this process may take: the machine's, or the container's where that is less.

    0 where the system does not tell.
    """
    bounds = []
    for name in _LIMITS:
        try:
            bounds.append(int((root / name).read_text().strip()))
        except (OSError, ValueError):  # none, or "max"
            continue
    try:
        lines = dict(line.split(":") for line in (root / "proc/meminfo").read_text().splitlines() if ":" in line)
        bounds.append(int(lines["MemTotal"].split()[0]) * 1024)
    except (OSError, ValueError, KeyError):
        pass
    return min(bounds, default=0)


def free_disk(folder: Path) -> int:
    """Return the free bytes on the disk of a folder, or of the nearest folder above it that exists."""
    place = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    return shutil.disk_usage(place).free


def version_of(package: str) -> str | None:
    """Return the version of an installed package; `None` for one that is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
