"""A tree with a folder per individual: which photographs are in it, and what was left out."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from animalclef.data.columns import parse_split
from animalclef.data.names import is_missing, looks_missing
from animalclef.data.table_file import Problem, control_character
from animalclef.runtime.wording import counted

__all__ = [
    "IMAGE_SUFFIXES", "FolderPhotograph", "holds_images", "individuals_of_paths", "photographs_below",
    "photographs_in_folders", "photographs_in_listing",
]  # fmt: skip

IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jfif", ".heic", ".heif", ".hif",
    ".avif", ".jp2",
})  # fmt: skip

_RAW = frozenset({
    ".nef", ".cr2", ".cr3", ".crw", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw", ".raw", ".nrw", ".3fr",
})  # fmt: skip
_VIDEO = frozenset({".mp4", ".mov", ".avi", ".mkv", ".m4v", ".mts", ".wmv", ".webm", ".3gp"})
# What lies beside photographs and is none.
_BESIDE = frozenset({
    "", ".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".xmp", ".md", ".yaml", ".yml", ".html", ".htm", ".pdf",
    ".db", ".ini", ".xlsx", ".xls", ".ods", ".doc", ".docx", ".aae", ".thm", ".py", ".ipynb", ".r", ".log", ".js",
    ".safetensors", ".lock", ".css",
})  # fmt: skip
_SYSTEM = frozenset({
    "__macosx", "@eadir", "@recycle", "@recently-snapshot", "@tmp", "#recycle", "#snapshot", "$recycle.bin",
    "system volume information", "lost+found",
})  # fmt: skip
_FILLERS = frozenset({"", "set", "data", "split", "folder", "image", "images", "photo", "photos", "photographs"})
_EVENT = re.compile(r"(?:19|20)\d\d(?:[-_. ]?\d\d){0,2}|left|right", re.IGNORECASE)  # a folder within an individual's


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


@dataclass
class _Placed:
    """Where photographs stand in a tree."""

    galleries: list[str]  # the folders that hold those of the individuals
    rows: list[FolderPhotograph] = field(default_factory=list)
    nameless: dict[str, None] = field(default_factory=dict)  # folders beside those that are no name, so hold queries
    loose: list[str] = field(default_factory=list)  # photographs in no individual's folder
    outside: list[str] = field(default_factory=list)  # photographs in a folder beside those of the gallery
    is_flat: bool = False  # no folder at all: every photograph is a query


def photographs_in_folders(root: Path) -> tuple[list[FolderPhotograph], list[Problem]]:
    """Return the photographs under a folder, sorted by path, and a sentence for every kind of file that was left out.

    `NAME/photo.jpg` shows the individual NAME. Folders called `database`, `gallery`, `train` or `reference` hold such
    folders; `query`, `queries` and `test` hold queries, and so do folders beside the database's whose names are none,
    such as `unknown` and `new`. Case makes no difference, nor does a word such as `set` behind it. Where one folder
    holds all of these, or all individuals, it is no individual. Without any folder every photograph is a query. Linked
    folders are followed. Files of the operating system (`._photo.jpg`, `__MACOSX`, `@eaDir`, hidden folders) are no
    photographs.
    """
    seen = _Seen()
    seen.files.extend(_files(root, seen))
    return _photographs(seen, root.name or str(root))


def photographs_in_listing(paths: Sequence[str], name: str) -> tuple[list[FolderPhotograph], list[Problem]]:
    """Return what `photographs_in_folders` returns of a folder called `name` that holds files at these paths.

    >>> photographs_in_listing(["Ada/1.jpg", "Ada/._1.jpg", "query/2.jpg"], "newts")[0][1]
    FolderPhotograph(path='query/2.jpg', individual=None)
    """
    return _photographs(_sorted_out(paths), name)


def individuals_of_paths(paths: Sequence[str]) -> dict[str, str | None]:
    """Return whom each path shows in a tree with a folder per individual, `None` for a query; others are absent."""
    return {row.path: row.individual for row in _placed(list(dict.fromkeys(paths))).rows}


def _photographs(seen: _Seen, name: str) -> tuple[list[FolderPhotograph], list[Problem]]:
    placed = _placed(sorted(filter(_is_image, seen.files), key=PurePosixPath))
    problems = [*_left_out(seen), *_misplaced(placed)]
    return placed.rows, [Problem(name, None, sentence, fatal=False) for sentence in problems]


def _placed(images: Sequence[str]) -> _Placed:
    """Find each photograph's individual, and which of the folders at the top holds individuals or queries."""
    if images and not any("/" in path for path in images):
        return _Placed([], [FolderPhotograph(path, None) for path in images], is_flat=True)
    base = _base(images)
    below = [path.removeprefix(base).split("/") for path in images]
    galleries = sorted({parts[0] for parts in below if len(parts) > 2 and _split_of(parts[0]) is False})
    placed = _Placed(galleries or _only_folder(below))
    for path, parts in zip(images, below, strict=True):
        split = _split_of(parts[0])
        if len(parts) > 1 and (split or (placed.galleries and _is_no_name(parts[0]))):
            placed.rows.append(FolderPhotograph(path, None))
            placed.nameless.update({} if split else {parts[0]: None})
        elif placed.galleries and parts[0] not in placed.galleries:
            placed.outside.append(path)
        elif len(parts) < (3 if placed.galleries or split is False else 2):
            placed.loose.append(path)
        else:
            placed.rows.append(FolderPhotograph(path, parts[1 if placed.galleries else 0].strip()))
    return placed


def _base(images: Sequence[str]) -> str:
    """Return `data/` where one folder called data holds `database/` or `query/` and everything else; mostly ""."""
    tops = {path.split("/")[0] for path in images}
    within = [path.split("/")[1] for path in images if path.count("/") > 1]
    is_base = len(tops) == 1 and _split_of(min(tops)) is None and any(_split_of(one) is not None for one in within)
    return f"{min(tops)}/" if is_base else ""


def _only_folder(below: Sequence[Sequence[str]]) -> list[str]:
    """Return the one folder that all individuals' folders lie in, where it has another name than a gallery."""
    named = [parts for parts in below if not _split_of(parts[0]) and not _is_no_name(parts[0])]
    within = {parts[1] for parts in named if len(parts) > 2}
    is_one = len({parts[0] for parts in named}) == 1 and all(len(parts) > 2 for parts in named)
    return [named[0][0]] if is_one and len(within) > 1 and not all(map(_EVENT.fullmatch, within)) else []


def _is_no_name(folder: str) -> bool:
    """Return whether a folder beside those of the gallery is called by no name, such as `unknown` or `to identify`."""
    return is_missing(folder, name=True) or looks_missing(folder)


def holds_images(root: Path) -> bool:
    """Return whether any photograph lies under a folder."""
    return any(_is_image(path) for path in _files(root, _Seen()))


def photographs_below(root: Path) -> list[Path]:
    """Return all photographs under a folder, sorted by path; files of the operating system are none."""
    return [root / path for path in sorted(filter(_is_image, _files(root, _Seen())), key=PurePosixPath)]


def _is_image(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES


def _split_of(folder: str) -> bool | None:
    """Return True for a folder of queries, False for one of the gallery, such as `train_set` or `0 query`."""
    words = re.split(r"[\W_]+", folder.lower())
    words = [word for word in words[words[0].isdigit() :] if word not in _FILLERS]
    return parse_split(words[0]) if len(words) == 1 else None


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
            if _is_systems(entry.name):
                seen.system += entry.name.startswith("._") or _holds(entry.is_dir)
            elif control_character(entry.name) is not None:
                seen.unnamed.append(path)
            elif _holds(entry.is_dir):
                real = os.path.realpath(entry.path)
                if real not in above:
                    pending.append((path, above | {real}))
            elif _holds(entry.is_file):
                yield path
            elif entry.is_symlink():
                seen.broken.append(path)
            else:
                seen.special.append(path)


def _sorted_out(paths: Sequence[str]) -> _Seen:
    """Return what a walk over files at these paths meets."""
    seen, skipped = _Seen(), set()
    unnamed: dict[str, None] = {}
    for path in paths:
        parts = path.split("/")
        for place, name in enumerate(parts, start=1):
            if _is_systems(name):
                if name.startswith("._") or place < len(parts):
                    skipped.add("/".join(parts[:place]))  # a folder counts once
                break
            if control_character(name) is not None:
                unnamed["/".join(parts[:place])] = None
                break
        else:
            seen.files.append(path)
    seen.system, seen.unnamed = len(skipped), list(unnamed)
    return seen


def _is_systems(name: str) -> bool:
    """Return whether a file or folder is hidden, or one of the operating system's."""
    return name.startswith(".") or name.lower() in _SYSTEM


def _holds(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except OSError:  # a link to itself
        return False


def _left_out(seen: _Seen) -> list[str]:
    sentences = []
    suffixes = [PurePosixPath(path).suffix.lower() for path in seen.files]
    known = IMAGE_SUFFIXES | _BESIDE | _RAW | _VIDEO
    for kind, met, advice in (
        ("raw photographs", [one for one in suffixes if one in _RAW], "Save them as JPEG or TIFF."),
        ("videos", [one for one in suffixes if one in _VIDEO], "Save frames of them as JPEG."),
        ("other files", [one[:12] for one in suffixes if one not in known],
         "Only photographs in usual formats are read."),
    ):  # fmt: skip
        if met:
            shown = ", ".join(f"{count} {suffix}" for suffix, count in Counter(met).most_common(6))
            sentences.append(f"{len(met)} {kind} left out ({shown}). {advice}")
    if seen.system:
        sentences.append(f"{seen.system} files and folders of the operating system (such as ._x.jpg, @eaDir) left out.")
    for paths, noun, what in (
        (seen.broken, "path", "that cannot be followed left out"),
        (seen.unnamed, "name", "not in UTF-8 or with control characters left out; rename the files"),
        (seen.special, "pipe or device file", "left out"),
    ):
        if paths:
            sentences.append(f"{counted(len(paths), noun)} {what} (first: {paths[0]}).")
    return sentences


def _misplaced(placed: _Placed) -> list[str]:
    sentences = ["there are no folders, so all photographs are taken for queries."] if placed.is_flat else []
    for name in placed.galleries:
        if _split_of(name) is None:
            sentences.append(f"all individuals lie in {name}/, so its folders are taken for the individuals.")
    if placed.nameless:
        where = ", ".join(f"{name}/" for name in placed.nameless)
        sentences.append(f"the photographs in {where} are taken for queries, because no individual has such a name.")
    loose, outside = placed.loose, placed.outside
    if loose:
        sentences.append(f"{counted(len(loose), 'photograph')} in no individual's folder left out (first: {loose[0]}).")
    if outside:
        where = " and ".join(f"{name}/" for name in placed.galleries)
        sentences.append(
            f"{counted(len(outside), 'photograph')} outside {where} and query/ left out (first: {outside[0]})."
        )
    return sentences
