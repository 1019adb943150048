"""Find weight files on this machine, and check their digests. Nothing is downloaded here."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants as hub_constants

from animalclef.errors import WeightsError
from animalclef.hub.catalogue import WeightsEntry, published_weights
from animalclef.runtime.atomic_files import write_text
from animalclef.runtime.digests import file_digest

__all__ = [
    "MANIFEST",
    "LocatedWeights",
    "caches",
    "find_weights",
    "known_digest",
    "locate",
    "read_lock",
    "record_digest",
]

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"  # of a bundle: {"weights": {name: {"file", "sha256", ...}}}


@dataclass(frozen=True)
class LocatedWeights:
    """A weight file; `place` describes its folder, `digest` is the SHA-256 it must have, where one is known."""

    path: Path
    place: str
    digest: str | None
    is_published: bool  # the digest is that of the authors' file, not one that a bundle states


def find_weights(name: str, folder: Path | None) -> Path:
    """Return the file of the weights called `name` (`aliked-n16`, `lightglue-aliked`, `miewid-msv3` ...).

    `folder` is the bundle given with `--weights`; then the caches of huggingface_hub and torch hub are searched.
    A known digest is checked; weights of your own under a published name in a folder are used with a warning.

    Raises:
        WeightsError: no such weights are known, they are not on this machine, or the file is damaged.
    """
    entry = published_weights(name)
    found = locate(entry, folder)
    if found is None:
        place = "on this machine" if folder is None else f"in {folder} or in this machine's caches"
        raise WeightsError(
            f"{name}: {entry.file} is not {place}. Run `animalclef weights pull {name}` with internet, "
            "or `animalclef weights bundle --to DIR` on another machine, and give that folder as weights; the "
            "config offline needs none."
        )
    if found.digest is not None and _digest_of(found.path) != found.digest:
        if found.is_published and folder is not None and found.path.parent == folder:
            logger.warning("%s: not the file that %s publishes; it is used as it is.", found.path, entry.source)
        else:
            raise WeightsError(
                f"{found.path}: its SHA-256 is {_digest_of(found.path)[:16]}..., expected {found.digest[:16]}...: the "
                "file is damaged or another one. Remove it and pull or copy it again."
            )
    return found.path


def locate(entry: WeightsEntry, folder: Path | None) -> LocatedWeights | None:
    """Return the file of the weights, unchecked; `None` where they are absent."""
    if folder is not None:
        stated = _manifest_digests(folder)
        for file in (entry.file, *entry.aliases):
            if (folder / file).is_file():
                is_copy = Path(file).suffix != Path(entry.file).suffix  # converted: other bytes
                digest = stated.get(file, None if is_copy else known_digest(entry))
                return LocatedWeights(folder / file, f"in {folder}", digest, file not in stated)
    hub, torch_hub = caches()
    if entry.repo is not None:
        path = huggingface_hub.try_to_load_from_cache(entry.repo, str(entry.path), hub, entry.revision)
        if not isinstance(path, str):
            return None
        return LocatedWeights(Path(path), "in huggingface_hub's cache", known_digest(entry), True)
    for file in (entry.file, *entry.aliases):
        if (torch_hub / file).is_file():
            return LocatedWeights(torch_hub / file, "in torch hub's cache", known_digest(entry), True)
    return None


def known_digest(entry: WeightsEntry) -> str | None:
    """Return the digest of the authors' file, or the one recorded when it was first pulled here."""
    return entry.sha256 or read_lock().get(entry.name)


def caches() -> tuple[Path, Path]:
    """Return the folders of huggingface_hub's and of torch hub's cache, as these libraries choose them."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or _home() / ".cache")
    hub = os.environ.get("HF_HUB_CACHE") or hub_constants.HF_HUB_CACHE
    return Path(hub), Path(os.environ.get("TORCH_HOME") or home / "torch") / "hub" / "checkpoints"


def _home() -> Path:
    """Return the home directory; where the system names none, the folder for temporary files."""
    try:
        return Path.home()
    except RuntimeError:
        return Path(tempfile.gettempdir())


def read_lock() -> dict[str, str]:
    """Return digests recorded when weights of unknown digest were first pulled on this machine, by name."""
    path = _lock_file()
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read ({error}). Remove it, and pull the weights again.") from error


def record_digest(name: str, digest: str) -> None:
    """Record the digest of weights that are published without one."""
    write_text(_lock_file(), json.dumps({**read_lock(), name: digest}, indent=1, sort_keys=True) + "\n")


def _digest_of(path: Path) -> str:
    status = path.stat()
    return _remembered_digest(path, status.st_size, status.st_mtime_ns)


@cache
def _remembered_digest(path: Path, size: int, modified: int) -> str:
    return file_digest(path)


def _lock_file() -> Path:
    return caches()[1].parent / "animalclef-weights.lock.json"


def _manifest_digests(folder: Path) -> dict[str, str]:
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["weights"].values()
        return {str(one["file"]): str(one["sha256"]) for one in listed}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path}: not a bundle's list of weights ({error}). Make the bundle again.") from error
