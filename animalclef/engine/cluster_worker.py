"""Run tasks in a worker process of a cluster."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import socket
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from animalclef.runtime.machine import version_of
from animalclef.runtime.remote_files import place_marker

__all__ = ["ClusterWorker", "installed_versions", "what_differs"]

_COMPARED = (
    "animalclef", "ray", "numpy", "scipy", "opencv-python-headless", "pillow", "torch", "timm", "kornia", "faiss-cpu",
    "scikit-learn",
)  # fmt: skip
_UNITS = "half-precision units:"


def installed_versions(*, on_gpus: bool = False) -> dict[str, str]:
    """Return what results depend on: versions ("none" for what is not installed), this package's code, and units.

    Units are the number formats that the processor, or the GPU, computes in; `auto` chooses by them.
    """
    import torch

    from animalclef.runtime.devices import has_bfloat16_units, has_float16_units

    device = torch.device("cuda" if on_gpus and torch.cuda.is_available() else "cpu")
    has = {"bfloat16": has_bfloat16_units(device), "float16": has_float16_units(device)}
    versions = {name: version_of(name) or "none" for name in _COMPARED}
    return {
        "python": platform.python_version(), **versions, "animalclef's code": _code(),
        _UNITS: " and ".join(name for name in has if has[name]) or "none",
    }  # fmt: skip


@cache
def _code() -> str:
    """Return a digest of this package's modules; the version alone stays the same while somebody works on them."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:8]


def what_differs(mine: Mapping[str, str], node: str, theirs: Mapping[str, str], lacking: Sequence[str]) -> str | None:
    """Return why a node cannot work with this machine, in a sentence; `None` where it can."""
    others = [name for name, version in mine.items() if theirs.get(name) != version]
    if others:
        there, here = (", ".join(f"{name} {of.get(name, 'none')}" for name in others) for of in (theirs, mine))
        advice = "Take machines of one kind." if others == [_UNITS] else "Install the same versions on every node."
        return f"Ray node {node} has {there}, this machine has {here}: results would differ. {advice}"
    if lacking:
        return (
            f"Ray node {node} does not see {lacking[0]}. Photographs and run folder must lie on a disk that every "
            "node sees under the same path."
        )
    return None


class ClusterWorker:
    """Takes the work of a stage once, with its models, and then runs tasks of it."""

    def __init__(self) -> None:
        self._work: Any = None

    def about(
        self, folder: str, needed: Mapping[str, str | None], *, on_gpus: bool = False
    ) -> tuple[str, dict[str, str], list[str]]:
        """Go to the driver's folder; return this node's name, its versions, and the needed folders and files it lacks.

        A folder of copies of a bucket, which has a marker, is made here.
        """
        with contextlib.suppress(OSError):
            os.chdir(folder)
        for path, marker in needed.items():
            if marker is not None:
                with contextlib.suppress(OSError):
                    place_marker(Path(path), marker)
        lacking = [path for path in needed if not os.path.exists(path)]  # noqa: PTH110
        return socket.gethostname(), installed_versions(on_gpus=on_gpus), lacking

    def take(self, work: Any, threads: int) -> None:
        """Keep the work of a stage for the tasks that follow."""
        self._work = work.with_threads(threads)

    def run(self, chunks: Sequence[Any]) -> list[Any]:
        """Return the results of chunks, in order."""
        return list(self._work.run(chunks))

    def drop(self) -> None:
        """Forget the work and its models."""
        self._work = None
