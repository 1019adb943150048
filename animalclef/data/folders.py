"""A tree with a folder per individual: which photographs are in it, and what was left out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from animalclef.data.columns import parse_split
from animalclef.data.csv_text import Problem, control_character

__all__ = ["IMAGE_SUFFIXES", "FolderPhotograph", "holds_images", "photographs_in_folders", "place_in_folders"]

IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jfif", ".heic", ".heif", ".hif",
    ".avif", ".jp2",
})  # fmt: skip

_RAW = frozenset({
    ".nef", ".cr2", ".cr3", ".crw", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw", ".raw", ".nrw", ".3fr",
})  # fmt: skip
_VIDEO = frozenset({".mp4", ".mov", ".avi", ".mkv", ".m4v", ".mts", ".wmv", ".webm", ".3gp"})
_BESIDE = frozenset(
    {
        "",
        ".txt",
        ".csv",
        ".tsv",
        ".json",
        ".jsonl",
        ".xml",
        ".xmp",
        ".md",
        ".yaml",
        ".yml",
        ".html",
        ".htm",
        ".pdf",
        ".db",
        ".ini",
        ".xlsx",
        ".xls",
        ".ods",
        ".doc",
        ".docx",
        ".aae",
        ".thm",
        ".py",
        ".ipynb",
        ".r",
        ".log",
        ".js",
        ".safetensors",
        ".lock",
        ".css",
    }
)  # fmt: skip - what lies beside photographs and is none
_SYSTEM = frozenset({"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"})


@dataclass(frozen=True)
class FolderPhotograph:
    """A photograph in the tree: its path in it, and the individual; `None` for a query."""

    path: str
    individual: str | None


@dataclass
class _Seen:
    """What a walk met."""

    files: list[str] = field(default_factory=list)
    system: int = 0
    broken: list[str] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)  # names that are not UTF-8, or hold control characters
    special: list[str] = field(default_factory=list)  # pipes and devices


def photographs_in_folders(root: Path) -> tuple[list[FolderPhotograph], list[Problem]]:
    """Return the photographs under a folder, sorted by path, and a sentence for every kind of file that was left out.

    `NAME/photo.jpg` shows the individual NAME. Folders called `database`, `gallery`, `train` or `reference` hold such
    folders; `query`, `queries` and `test` hold queries. Case makes no difference. Linked folders are followed. Files of
    the operating system (`._photo.jpg`, `__MACOSX`, `@eaDir`, hidden folders) are no photographs.
    """
    seen = _walk(root)
    images = [path for path in seen.files if PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES]
    rows, loose, outside, galleries = _placed(sorted(images, key=lambda one: root / one))
    problems = [*_left_out(seen), *_misplaced(loose, outside, galleries)]
    return rows, [Problem(root.name or str(root), None, sentence, fatal=False) for sentence in problems]


def place_in_folders(paths: Sequence[str]) -> dict[str, FolderPhotograph]:
    """Return where each path stands in a tree with a folder per individual; other paths are absent."""
    return {row.path: row for row in _placed(list(dict.fromkeys(paths)))[0]}


def _placed(images: Sequence[str]) -> tuple[list[FolderPhotograph], list[str], list[str], list[str]]:
    """Return the photographs, those in no individual's folder, those outside, and the folders of the gallery."""
    galleries = sorted({path.split("/")[0] for path in images if _splits(path) is False and path.count("/") >= 2})
    loose: list[str] = []
    outside: list[str] = []
    rows = []
    for path in images:
        parts = path.split("/")
        if len(parts) > 1 and _splits(path):
            rows.append(FolderPhotograph(path, None))
        elif galleries and parts[0] not in galleries:
            outside.append(path)
        elif len(parts) < (3 if galleries or _splits(path) is False else 2):
            loose.append(path)
        else:
            rows.append(FolderPhotograph(path, parts[1 if galleries else 0].strip()))
    return rows, loose, outside, galleries


def holds_images(root: Path) -> bool:
    """Return whether any photograph lies under a folder."""
    return any(PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES for path in _files(root, _Seen()))


def _splits(path: str) -> bool | None:
    return parse_split(path.split("/")[0].strip())


def _walk(root: Path) -> _Seen:
    seen = _Seen()
    seen.files.extend(_files(root, seen))
    return seen


def _files(root: Path, seen: _Seen) -> Iterator[str]:
    """Yield regular files as paths below `root`; a link that leads back up is not followed."""
    pending: list[tuple[str, frozenset[str]]] = [("", frozenset({os.path.realpath(root)}))]
    while pending:
        below, above = pending.pop()
        try:
            entries = sorted(os.scandir(root / below), key=lambda entry: entry.name)
        except OSError:
            seen.broken.append(below)
            continue
        for entry in entries:
            path = f"{below}/{entry.name}" if below else entry.name
            if entry.name.startswith(".") or entry.name.lower() in _SYSTEM:
                seen.system += entry.name.startswith("._") or entry.is_dir()
            elif control_character(entry.name) is not None:
                seen.unnamed.append(path)
            elif entry.is_dir():
                real = os.path.realpath(entry.path)
                if real not in above:
                    pending.append((path, above | {real}))
            elif entry.is_file():
                yield path
            elif entry.is_symlink():
                seen.broken.append(path)
            else:
                seen.special.append(path)


def _left_out(seen: _Seen) -> list[str]:
    sentences = []
    kinds: dict[str, Counter[str]] = {"raw photographs": Counter(), "videos": Counter(), "other files": Counter()}
    for path in seen.files:
        suffix = PurePosixPath(path).suffix.lower()
        if suffix in _RAW:
            kinds["raw photographs"][suffix] += 1
        elif suffix in _VIDEO:
            kinds["videos"][suffix] += 1
        elif suffix not in IMAGE_SUFFIXES and suffix not in _BESIDE:
            kinds["other files"][suffix[:12]] += 1
    advice = {
        "raw photographs": "Save them as JPEG or TIFF.",
        "videos": "Save frames of them as JPEG.",
        "other files": "Only photographs in usual formats are read.",
    }
    for kind, suffixes in kinds.items():
        if suffixes:
            shown = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(6))
            sentences.append(f"{suffixes.total()} {kind} left out ({shown}). {advice[kind]}")
    if seen.system:
        sentences.append(f"{seen.system} files and folders of the operating system (such as ._x.jpg, @eaDir) left out.")
    for paths, what in (
        (seen.broken, "links or folders cannot be followed"),
        (seen.unnamed, "names are not UTF-8 or hold control characters; rename them. They are left out"),
        (seen.special, "pipes or devices left out"),
    ):
        if paths:
            sentences.append(f"{len(paths)} {what} (first: {paths[0]}).")
    return sentences


def _misplaced(loose: list[str], outside: list[str], galleries: list[str]) -> list[str]:
    sentences = []
    if loose:
        sentences.append(
            f"{len(loose)} photographs lie in no individual's folder and are left out (first: {loose[0]})."
        )
    if outside:
        where = " and ".join(f"{name}/" for name in galleries)
        sentences.append(f"{len(outside)} photographs outside {where} and query/ are left out (first: {outside[0]}).")
    return sentences
