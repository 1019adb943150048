"""Digests of files that belong together, so that a changed one is refused instead of read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import animalclef
from animalclef.errors import StaleArtefactError

__all__ = [
    "RESULTS", "check_answers", "check_digests", "check_result", "content_digest", "file_digest",
    "json_object", "with_digests",
]  # fmt: skip

RESULTS = (
    "answers.csv", "candidates.csv", "table.csv", "order.csv", "encounters.csv", "set_aside.csv", "sources.csv",
    "near_duplicates.csv", "decision.json",
)  # fmt: skip
"""Results of a run whose digests stand in its `finished.json`."""


def content_digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a JSON object without its key `digest`, whatever the order and spacing of its text.

    >>> content_digest({"a": 1, "b": 2}) == content_digest({"b": 2, "a": 1, "digest": "x"})
    True
    """
    rest = {key: value for key, value in content.items() if key != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def with_digests(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the content of `finished.json`: the settings, this version, the digests of the results, and its own."""
    files = {name: file_digest(folder / name) for name in RESULTS if (folder / name).is_file()}
    content = {**settings, "animalclef": animalclef.__version__, "files": files}
    return {**content, "digest": content_digest(json.loads(json.dumps(content)))}


def check_digests(folder: Path, settings: Mapping[str, Any]) -> None:
    """Compare a run's results with the digests in its `finished.json`; a run of an earlier version has none.

    Raises:
        StaleArtefactError: a file is gone, or its content is not what the run wrote.
    """
    own, files = settings.get("digest"), settings.get("files")
    if own is not None and own != content_digest(settings):
        raise _changed(folder / "finished.json")
    for name, digest in files.items() if isinstance(files, Mapping) else ():
        path = folder / name
        if name in RESULTS and (not path.is_file() or file_digest(path) != digest):
            raise _changed(path)


def check_result(path: Path) -> None:
    """Compare one result with the digest in the `finished.json` beside it, where there is one.

    Raises:
        StaleArtefactError: its content is not what the run wrote.
    """
    files = json_object(path.parent / "finished.json").get("files")
    digest = files.get(path.name) if isinstance(files, dict) and path.name in RESULTS else None
    if digest is not None and digest != file_digest(path):
        raise _changed(path)


def check_answers(path: Path) -> None:
    """Compare a list of answers with the digest in the manifest beside it, where there is one.

    Raises:
        StaleArtefactError: its content is not what was written beside the submission.
    """
    stem = "submission" if path.name == "answers.csv" else path.name.removesuffix(".answers.csv")
    manifest = path.with_name(f"{stem}.manifest.json")
    said = json_object(manifest)
    if said.get("answers") == path.name and said.get("answers_sha256") != file_digest(path):
        raise StaleArtefactError(
            f"{path}: not what was written with its submission ({manifest.name} holds another digest). Run predict "
            "again; if the change is yours, give the file another name."
        )


def json_object(path: Path) -> dict[str, Any]:
    """Return the JSON object that a file holds; an empty one for anything else."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _changed(path: Path) -> StaleArtefactError:
    what = "is not what the run wrote" if path.is_file() else "is gone"
    return StaleArtefactError(f"{path}: this file {what}. Run predict in this run folder again.")


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
