"""Find the file that a table means where the table spells its name in another case or another form of Unicode."""

from __future__ import annotations

import unicodedata
from contextlib import suppress
from pathlib import Path, PurePosixPath

from animalclef.runtime.remote_files import marker_text

__all__ = ["NearNames"]


class NearNames:
    """The files of a data folder by names without case; every folder is listed once.

    Such a file is named, and not read: all commands would have to read it in place of the other (masks lie under the
    photographs' paths, for example), and the table is right with one change.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listed: dict[str, dict[str, list[str]]] = {}
        self._is_copy = marker_text(root) is not None  # of a bucket: it holds what was read so far

    def hint(self, path: str) -> str:
        """Return which file is there in place of `path`, and how its name differs; "" where there is none."""
        found = "" if self._is_copy else self._found(path)
        if found in ("", path):
            return ""
        if _composed(found) != _composed(path):
            return f"{found} is there, which differs in upper and lower case"
        return f"{found} is there, whose accents are encoded in another form of Unicode"

    def _found(self, path: str) -> str:
        """Return the path of the file that is there; "" where there is none."""
        found = ""
        for name in PurePosixPath(path).parts:
            names = self._names(found).get(_folded(name), [])
            if not names:
                return ""
            found = f"{found}/{name if name in names else names[0]}".lstrip("/")
        return found

    def _names(self, folder: str) -> dict[str, list[str]]:
        """Return the names in a folder, by their form without case."""
        if folder not in self._listed:
            names = self._listed[folder] = {}
            with suppress(OSError, ValueError):  # no folder, or its name is none
                for name in sorted(one.name for one in (self._root / folder).iterdir()):
                    names.setdefault(_folded(name), []).append(name)
        return self._listed[folder]


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    return _composed(_composed(name).casefold())
