"""Digests of a run's results, kept in `finished.json`, so that a changed file is refused instead of read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from animalclef.errors import StaleArtefactError

__all__ = ["check_digests", "digests_of", "sealed", "write_seal"]

_RESULTS = (
    "answers.csv", "candidates.csv", "table.csv", "order.csv", "encounters.csv", "set_aside.csv", "sources.csv",
    "near_duplicates.csv", "decision.json",
)  # fmt: skip


def digests_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every result that lies in a run folder, by file name."""
    return {name: _digest(folder / name) for name in _RESULTS if (folder / name).is_file()}


def check_digests(folder: Path, settings: Mapping[str, Any]) -> None:
    """Compare a run's results with the digests in its `finished.json`; a run of an earlier version has none.

    Raises:
        StaleArtefactError: a file is gone, or its content is not what the run wrote.
    """
    files = settings.get("files")
    if not isinstance(files, Mapping):
        return
    for name, digest in files.items():
        if name not in _RESULTS:
            continue
        path = folder / name
        if not path.is_file() or _digest(path) != digest:
            what = "is gone" if not path.is_file() else "is not what the run wrote"
            raise StaleArtefactError(f"{path}: this file {what}. Run predict with --run {folder} again.")


def write_seal(path: Path) -> str:
    """Return the text of the file beside `path` that holds its digest."""
    return f"{_digest(path)}  {path.name}\n"


def sealed(path: Path) -> bool:
    """Return whether a file is as it was when its digest was written beside it; True where there is no digest."""
    seal = path.with_name(f"{path.name}.sha256")
    try:
        return not seal.is_file() or seal.read_text(encoding="ascii").split()[:1] == [_digest(path)]
    except (OSError, ValueError):
        return False


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
