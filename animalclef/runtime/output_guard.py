"""Refuse to write over what the user gave, or over a file of another kind."""

from __future__ import annotations

import csv
import io
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

from animalclef.errors import OutputError
from animalclef.runtime.bucket_address import refuse_address
from animalclef.runtime.digests import RESULTS

__all__ = [
    "REPORT_SIGN",
    "RUN_MARKER",
    "check_output",
    "forget_inputs",
    "is_result",
    "mark_picture",
    "protect_inputs",
    "protect_photographs",
    "refuse_input",
    "refuse_run_file",
]

REPORT_SIGN = '<meta name="generator" content="animalclef report">'
RUN_MARKER = "animalclef-run.json"

_MARK = b"written by animalclef"
_HEAD_BYTES = 1 << 16
_RUN_FILES = frozenset({
    *RESULTS, RUN_MARKER, "finished.json", "timings.json", "clusters.csv", "clusters.json", "cluster_links.csv",
})  # fmt: skip
_GIVEN = frozenset({
    "metadata.csv", "metadata.xlsx", "sample_submission.csv", "truth.csv", "media.csv", "observations.csv",
    "deployments.csv", "datapackage.json",
})  # fmt: skip
_TABLES = frozenset({
    "submission", "clusters", "list of individuals", "list of answers", "list of differences", "plain table",
    "table with boxes", "table with viewpoints", "Wildbook sheet",
})  # fmt: skip
_RESULTS = ("submission", "clusters", "list of individuals", "list of answers", "list of differences")
_FRAMES = (
    "image_id,dataset,identity,probability",
    ",image_id,dataset,identity,probability",
    "query_id,gallery_id,",
    ",query_id,gallery_id,",
    "number,query,candidate,individual,probability,answer",
)  # of the Python API, without and with their index, and the answers of a review on paper
_PLAIN = [
    "image_id", "identity", "path", "date", "orientation", "species", "split", "dataset", "encounter", "bbox",
    "segmentation",
]  # fmt: skip
_OTHER_FORMATS = frozenset({
    ".xlsx", ".xlsm", ".xls", ".ods", ".numbers", ".pdf", ".docx", ".doc", ".odt", ".json", ".jsonl", ".yaml", ".yml",
    ".xml", ".html", ".htm", ".parquet", ".feather", ".pkl", ".npy", ".zip", ".gz", ".png", ".jpg", ".jpeg",
})  # fmt: skip
_inputs: dict[str, None] = {}  # resolved paths of what this command reads; the command line fills it


def protect_inputs(paths: Iterable[Path]) -> None:
    """Note files that this command reads: no writer replaces them."""
    for path in paths:
        _inputs[str(path.parent.resolve() / path.name)] = None
        _inputs[str(path.resolve())] = None


def protect_photographs(root: Path, paths: Iterable[str]) -> None:
    """Note the photographs of a table, by their paths below `root`; each folder is resolved once."""
    resolve = cache(Path.resolve)
    for path in paths:
        whole = root / path
        _inputs[str(resolve(whole.parent) / whole.name)] = None


def forget_inputs() -> None:
    """Forget the files of the command before, where several commands run in one process."""
    _inputs.clear()


def refuse_input(path: Path) -> None:
    """Check a file that is about to be written.

    Raises:
        OutputError: it is one of the files that this command reads, a device, a pipe or a folder, or lies in a bucket.
    """
    refuse_address(path)
    if (path.exists() and not path.is_file()) or _is_of_devices(path):
        kind = "a folder" if path.is_dir() else "a device or a pipe"
        raise OutputError(f"{path}: this is {kind}, so no file can be written there. Choose another name.")
    names = (str(path.parent.resolve() / path.name), os.path.realpath(path))  # links may lead to each other
    if _inputs and (any(name in _inputs for name in names) or _is_linked(path)):
        raise OutputError(f"{path}: this command reads this file, so it is not overwritten. Choose another name.")


def _is_of_devices(path: Path) -> bool:
    """Return whether a path lies among the devices: /dev/stdout leads to a file if it is redirected."""
    parts = path.absolute().parts[1:3]
    return parts[:1] in (("dev",), ("proc",)) and parts[1:] != ("shm",)


def refuse_run_file(path: Path, run: Path | None = None) -> None:
    """Check that a file is none of a run's own, such as its table; `run` is a folder that may become a run's.

    Raises:
        OutputError: it is.
    """
    folder = path.parent.resolve()
    is_run = (folder / RUN_MARKER).is_file() or (run is not None and folder == run.resolve())
    if is_run and path.name in _RUN_FILES:
        raise OutputError(f"{path}: this is a file of the run itself, so it is not overwritten. Choose another name.")


def check_output(path: Path, kind: str) -> None:
    """Check, before the work, the file that a command is about to write.

    An existing file may be replaced only if it is of the same kind, such as an earlier submission. A data set's table
    (`metadata.csv`, `truth.csv` ...) and a run's own files are never replaced.

    Raises:
        OutputError: it is a file of another kind, or one that this command reads; or its ending is another format's.
    """
    refuse_input(path)
    if kind in _TABLES and path.suffix.lower() in _OTHER_FORMATS:
        raise OutputError(f"{path}: a {kind} is written as CSV, not as {path.suffix}. Give a name that ends with .csv.")
    refuse_run_file(path)
    if not path.is_file():
        return
    if path.name.lower() in _GIVEN:
        raise OutputError(f"{path}: the name of a table that was given. Choose another name, or remove it first.")
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.strip() and not _KINDS[kind](head):
        raise OutputError(
            f"{path}: this file is no {kind} that animalclef wrote, so it is not overwritten. Choose another name, or "
            "remove it first."
        )


def is_result(head: bytes) -> bool:
    """Return whether a file that begins so is no data set's table: answers, groups or individuals that we wrote.

    Frames of the Python API that were saved as CSV are among them.

    >>> is_result(b"image_id,identity\\n1,Luna\\n"), is_result(b"photo,animal\\n1.jpg,Luna\\n")
    (True, False)
    """
    return any(_KINDS[kind](head) for kind in _RESULTS) or _begins(*_FRAMES)(head)


def mark_picture(content: bytes) -> bytes:
    """Return the bytes of a PNG or JPEG with a comment that says what wrote it, so that it may be replaced later."""
    if content[:8] == b"\x89PNG\r\n\x1a\n":
        body = b"tEXt" + b"Software\0" + _MARK
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        end = 8 + 25  # behind the header chunk
        return content[:end] + chunk + content[end:]
    if content[:2] == b"\xff\xd8":
        return content[:2] + b"\xff\xfe" + struct.pack(">H", len(_MARK) + 2) + _MARK + content[2:]
    return content


def _is_linked(path: Path) -> bool:
    """Return whether the file is an input under another name (a link)."""
    if not path.is_file():
        return False
    seen = path.stat()
    if seen.st_nlink == 1 and not path.is_symlink():
        return False
    return any(Path(one).is_file() and path.samefile(one) for one in _inputs)


def _first_line(head: bytes) -> str:
    text = head.decode("utf-8-sig", errors="replace").lstrip()
    return text.partition("\n")[0].strip()


def _columns(*needed: str) -> Callable[[bytes], bool]:
    """Return a check that the first line holds these columns."""
    return lambda head: set(needed) <= set(_first_line(head).replace('"', "").split(","))


def _begins(*starts: str) -> Callable[[bytes], bool]:
    """Return a check that the file begins with one of these texts."""
    return lambda head: head.removeprefix(b"\xef\xbb\xbf").startswith(tuple(start.encode() for start in starts))


def _keys(*needed: str) -> Callable[[bytes], bool]:
    """Return a check that a JSON or YAML text begins with an object of these keys."""
    return lambda head: all(f'"{key}"'.encode() in head or f"\n{key}:".encode() in b"\n" + head for key in needed)


def _is_plain_table(head: bytes) -> bool:
    """Return whether the columns are those of a plain table, or of a catalogue's, which may have further ones."""
    text = head.decode("utf-8-sig", errors="replace").lstrip()
    columns = next(csv.reader(io.StringIO(text, newline="")), [])
    further = columns[len(_PLAIN) :]
    return columns[: len(_PLAIN)] == _PLAIN and (not further or further[-1] == "confirmed")


def _is_ledger(head: bytes) -> bool:
    for line in head.splitlines()[:5]:
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(content, dict) and content.get("kind") in ("run", "board"):
            return True
    return False


_KINDS: dict[str, Callable[[bytes], bool]] = {
    "submission": lambda head: _first_line(head) in ("image_id,identity", "image_id,cluster"),
    "list of individuals": _begins("name,id,dataset,photographs,confirmed,"),
    "clusters": _begins("image_id,dataset,cluster,individual"),
    "list of answers": _begins("path,answer,probability,threshold,"),
    "table with boxes": _columns("bbox"),
    "table with viewpoints": _columns("orientation_confidence"),
    "decision": _keys("format", "scores", "gallery"),
    "settings file": _keys("seed", "embed", "retrieve", "decide"),
    "metrics file": _keys("validation_score", "datasets"),
    "manifest": _keys("animalclef", "submission_sha256"),
    "list of weights": _keys("animalclef", "weights"),
    "bundle's README": _begins("# Weights for animalclef"),
    "report": lambda head: REPORT_SIGN.encode() in head[:2000],
    "list of differences": _begins("image_id,dataset,a,b,cause"),
    "picture": lambda head: _MARK in head[:4096],
    "ledger": _is_ledger,
    "plain table": _is_plain_table,
    "Wildbook sheet": _begins(
        "Encounter.mediaAsset0,Encounter.genus,Encounter.specificEpithet,Encounter.year,Encounter.month,Encounter.day,"
        "Encounter.occurrenceID,MarkedIndividual.individualID,Encounter.mediaAsset0.keywords"
    ),
    "capture history": _begins("/* occasions:"),
    "file for CAPTURE": lambda head: b"task read captures occasions=" in head[:1000],
    "list of study lines": lambda head: head.startswith(b"[") and b'"arm"' in head,
    "study table": lambda head: b"Rank-1 over " in head and b"| --- |" in head,
}
