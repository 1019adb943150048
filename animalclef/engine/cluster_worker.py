"""Run tasks in a worker process of a cluster."""

from __future__ import annotations

import contextlib
import os
import platform
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from animalclef.runtime.machine import version_of
from animalclef.runtime.remote_files import place_marker

__all__ = ["ClusterWorker", "installed_versions", "what_differs"]

_COMPARED = ("animalclef", "ray", "numpy", "opencv-python-headless", "pillow", "torch", "faiss-cpu", "scikit-learn")


def installed_versions() -> dict[str, str]:
    """Return the versions that results depend on; "none" for a package that is not installed."""
    return {"python": platform.python_version(), **{name: version_of(name) or "none" for name in _COMPARED}}


def what_differs(mine: Mapping[str, str], node: str, theirs: Mapping[str, str], lacking: Sequence[str]) -> str | None:
    """Return why a node cannot work with this machine, in a sentence; `None` where it can."""
    for name, version in mine.items():
        if theirs.get(name) != version:
            return (
                f"Ray node {node} has {name} {theirs.get(name, 'none')}, this machine has {version}: results would "
                "differ. Install the same versions on every node."
            )
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

    def about(self, folder: str, needed: Mapping[str, str | None]) -> tuple[str, dict[str, str], list[str]]:
        """Go to the driver's folder; return this node's name, its versions, and the needed folders and files it lacks.

        A folder of copies of a bucket, which has a marker, is made here.
        """
        with contextlib.suppress(OSError):
            os.chdir(folder)
        for path, marker in needed.items():
            if marker is not None:
                with contextlib.suppress(OSError):
                    place_marker(Path(path), marker)
        return socket.gethostname(), installed_versions(), [path for path in needed if not os.path.exists(path)]  # noqa: PTH110

    def take(self, work: Any, threads: int) -> None:
        """Keep the work of a stage for the tasks that follow."""
        self._work = work.with_threads(threads)

    def run(self, chunks: Sequence[Any]) -> list[Any]:
        """Return the results of chunks, in order."""
        return list(self._work.run(chunks))

    def drop(self) -> None:
        """Forget the work and its models."""
        self._work = None
