"""`doctor`."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from animalclef.cli import options as opt
from animalclef.cli.app import app
from animalclef.cli.printing import print_result

__all__ = ["EXTRAS", "Finding", "doctor"]

EXTRAS = {
    "train": ("lightning_fabric", "tensorboard"),
    "ray": ("ray",),
    "s3": ("s3fs",),
    "gs": ("gcsfs",),
    "segmentation": ("transformers",),
    "postgres": ("psycopg",),
    "notebooks": ("ipykernel", "nbclient"),
    "docs": ("mkdocs",),
}  # modules by extra


@dataclass(frozen=True)
class Finding:
    """One line of the table; `advice` is empty where nothing is missing."""

    subject: str
    found: str
    advice: str = ""


@app.command()
def doctor(weights: opt.Weights = None, as_json: opt.Json = False) -> None:
    """Show what of this machine is used, and what is missing: cores, memory, GPU, caches, extras and weights.

    Example: `animalclef doctor`
    """
    findings = [*_machine(), *_folders(), *_extras(), *_weights(weights)]
    from rich.table import Column, Table

    table = Table("what", Column("found", overflow="fold"), Column("what to do", overflow="fold"))
    for one in findings:
        table.add_row(one.subject, one.found, one.advice)
    print_result([asdict(one) for one in findings], table, as_json=as_json)


def _machine() -> Iterator[Finding]:
    import animalclef
    from animalclef.runtime.machine import measure_machine

    machine = measure_machine()
    yield Finding("animalclef", f"{animalclef.__version__}, Python {platform.python_version()}")
    bound = "" if machine.cores == machine.cores_installed else "this process may not use the others"
    yield Finding("cores", f"{machine.cores} of {machine.cores_installed} usable; --workers sets a number", bound)
    memory = f"{machine.memory / 1e9:.1f} GB" if machine.memory else "unknown"
    yield Finding("memory", memory, "large runs need 8 GB" if 0 < machine.memory < 8e9 else "")
    gpus = ", ".join(f"{name} ({size / 1e9:.0f} GB)" for name, size in machine.gpus)
    yield Finding("GPU", gpus or "none: networks run on the processor")
    yield Finding("bfloat16", "used" if machine.has_bfloat16 else "no units for it: float32 is used")


def _folders() -> Iterator[Finding]:
    from animalclef.hub.cache import caches
    from animalclef.runtime.machine import free_disk
    from animalclef.runtime.remote_files import copies_folder

    for subject, folder in zip(("weights (huggingface_hub)", "weights (torch hub)"), caches(), strict=True):
        state = "" if folder.is_dir() else ", not made yet"
        writable = os.access(next(one for one in (folder, *folder.parents) if one.exists()), os.W_OK)
        yield Finding(subject, f"{folder}{state}", "" if writable else "cannot be written: set HF_HOME or TORCH_HOME")
    copies = copies_folder("s3://bucket", "photographs").parents[1]
    yield Finding(
        "photographs of buckets", f"{copies}{'' if copies.is_dir() else ', not made yet'}; limited by data.cache_gb"
    )
    free = free_disk(Path())
    yield Finding(
        "disk here", f"{free / 1e9:.0f} GB free", "a run of 15,000 photographs takes 4 GB" if free < 4e9 else ""
    )


def _extras() -> Iterator[Finding]:
    for extra, modules in EXTRAS.items():
        missing = [name for name in modules if find_spec(name) is None]
        advice = f"pip install 'animalclef[{extra}]', where you need it" if missing else ""
        yield Finding(f"extra {extra}", "not installed" if missing else "installed", advice)
    heic = any(find_spec(name) for name in ("pi_heif", "pillow_heif"))
    yield Finding(
        "HEIC photographs", "can be read" if heic else "cannot be read", "" if heic else "pip install pi-heif"
    )


def _weights(folder: Path | None) -> Iterator[Finding]:
    from animalclef.hub.cache import locate
    from animalclef.hub.catalogue import WEIGHTS

    yield Finding("weights that ship", "embedder-lite, animal (segmenter)")
    found = [name for name, entry in sorted(WEIGHTS.items()) if locate(entry, folder) is not None]
    absent = [name for name in sorted(WEIGHTS) if name not in found]
    yield Finding("published weights here", ", ".join(found) or "none; the defaults need none")
    advice = "animalclef weights pull NAME, where you need them"
    yield Finding("published weights not here", ", ".join(absent) or "none", advice if absent else "")
