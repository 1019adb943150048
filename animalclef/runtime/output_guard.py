"""Refuse to write over what the user gave, or over a file of another kind."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from animalclef.errors import OutputError

__all__ = ["check_output", "forget_inputs", "mark_picture", "protect_inputs", "protect_photographs", "refuse_input"]

_MARK = b"written by animalclef"
_HEAD_BYTES = 1 << 16
_inputs: dict[str, None] = {}  # resolved paths of what this command reads; the command line fills it


def protect_inputs(paths: Iterable[Path]) -> None:
    """Note files that this command reads: no writer replaces them."""
    for path in paths:
        _inputs[str(path.parent.resolve() / path.name)] = None
        _inputs[str(path.resolve())] = None


def protect_photographs(root: Path, paths: Iterable[str]) -> None:
    """Note the photographs of a table, by their paths below `root`; each folder is resolved once."""
    resolved: dict[Path, Path] = {}
    for path in paths:
        whole = root / path
        if whole.parent not in resolved:
            resolved[whole.parent] = whole.parent.resolve()
        _inputs[str(resolved[whole.parent] / whole.name)] = None


def forget_inputs() -> None:
    """Forget the files of the command before, where several commands run in one process."""
    _inputs.clear()


def refuse_input(path: Path) -> None:
    """Check a file that is about to be written.

    Raises:
        OutputError: it is one of the files that this command reads, or a device, a pipe or a folder.
    """
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "a device or a pipe"
        raise OutputError(f"{path}: this is {kind}, so no file can be written there. Choose another name.")
    names = (str(path.parent.resolve() / path.name), str(path.resolve()))
    if _inputs and (any(name in _inputs for name in names) or _is_linked(path)):
        raise OutputError(f"{path}: this command reads this file, so it is not overwritten. Choose another name.")


def check_output(path: Path, kind: str) -> None:
    """Check, before the work, the file that a command is about to write.

    An existing file may be replaced only if it is of the same kind, such as an earlier submission.

    Raises:
        OutputError: it is a file of another kind, or one that this command reads.
    """
    refuse_input(path)
    if not path.is_file():
        return
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.strip() and not _KINDS[kind](head):
        raise OutputError(
            f"{path}: this file is no {kind} that animalclef wrote, so it is not overwritten. Choose another name, or "
            "remove it first."
        )


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


def _keys(*needed: str) -> Callable[[bytes], bool]:
    """Return a check that a JSON or YAML text begins with an object of these keys."""
    return lambda head: all(f'"{key}"'.encode() in head or f"\n{key}:".encode() in b"\n" + head for key in needed)


def _is_ledger(head: bytes) -> bool:
    for line in head.splitlines()[:5]:
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(content, dict) and "kind" in content:
            return True
    return False


_KINDS: dict[str, Callable[[bytes], bool]] = {
    "submission": lambda head: _first_line(head) in ("image_id,identity", "image_id,cluster"),
    "clusters": _columns("image_id", "dataset", "cluster", "individual"),
    "list of answers": _columns("path", "answer", "probability", "threshold"),
    "table with boxes": _columns("bbox"),
    "table with viewpoints": _columns("orientation_confidence"),
    "decision": _keys("format", "scores", "gallery"),
    "settings file": _keys("seed", "embed", "retrieve", "decide"),
    "metrics file": _keys("validation_score", "datasets"),
    "manifest": _keys("animalclef"),
    "list of differences": _columns("image_id", "a", "b"),
    "picture": lambda head: _MARK in head[:4096],
    "ledger": _is_ledger,
    "plain table": _columns("image_id", "identity", "path", "orientation", "encounter", "segmentation"),
    "Wildbook sheet": _columns("Encounter.mediaAsset0", "Encounter.genus"),
    "capture history": lambda head: head.startswith(b"/* occasions:"),
    "study table": lambda head: b"|" in head,
}
