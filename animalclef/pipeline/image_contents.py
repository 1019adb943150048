"""The table with the content of its files known."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

import numpy as np

from animalclef.config import Config, fingerprint
from animalclef.data.decode import UnreadableImageError, upright_size_wh
from animalclef.data.encounters import Encounters
from animalclef.data.hashing import MISSING, content_key, hash_images, read_key
from animalclef.data.near_names import NearNames
from animalclef.data.table import LoadedTable
from animalclef.errors import DataError
from animalclef.runtime.progress import Progress
from animalclef.runtime.regular_files import read_regular
from animalclef.runtime.remote_files import Listing
from animalclef.runtime.threads import worker_threads
from animalclef.structures import ImageTable, Skipped
from animalclef.structures.arrays import text_array

__all__ = ["Contents", "gallery_digest", "keyed", "keyed_by_size", "read_contents", "unusable_photographs"]


@dataclass(frozen=True, eq=False)
class Contents:
    """The table with the content of its files known."""

    images: ImageTable
    set_aside: list[Skipped]
    encounters: Encounters | None = None  # of the gallery, where they were found before photographs were cut
    source_digest: str = ""  # of the table before photographs were cut

    @property
    def digest(self) -> str:
        """Return what changes with any row or any photograph, whatever they are cut to."""
        if self.source_digest:
            return self.source_digest
        images = self.images
        boxes = np.round(np.nan_to_num(images.bbox_xywhr, nan=-1), 3).tolist()
        columns = [images.image_id, images.dataset, images.is_query, images.identity, images.date, images.viewpoint]
        rows = [column.tolist() for column in [*columns, images.encounter, images.key]]
        return fingerprint(*rows, boxes, [item.image_id for item in self.set_aside])


def read_contents(loaded: LoadedTable, config: Config, workers: int, progress: Progress) -> Contents:
    """Read every file of a table once.

    Raises:
        ConfigError: a setting is for data sets alone that the table does not hold.
        DataError: too many files are missing, or nothing in the gallery can be used.
    """
    config.check_datasets(loaded.images.datasets)
    images, set_aside = hash_images(loaded.images, config.data, workers, progress)
    return Contents(images, set_aside)


def unusable_photographs(
    images: ImageTable, workers: int, progress: Progress, listed: Listing | None = None
) -> list[Skipped]:
    """Return the photographs that are missing, or no images by the head of their file; the rest of it is not read.

    Of a bucket the files that were `listed` are looked through, and none is read: photographs are missing or empty.
    """

    def reason_of(row: int) -> str:
        path = images.root / images.path[row]
        if listed is not None:
            state = listed.get(posixpath.normpath(images.path[row]))
            return MISSING if state is None else "" if state[0] else "the file is empty"
        try:
            if not path.exists():
                return MISSING
            if not path.is_file():
                return "not a regular file"
            upright_size_wh(path)
        except (OSError, ValueError, UnreadableImageError) as error:
            return str(error).removeprefix(f"{path}: ").replace(f" '{path}'", "")
        return ""

    found, near = [], NearNames(images.root)
    rows = range(len(images))
    with worker_threads(workers) as pool, progress.task("looking at files", len(images), "images") as advance:
        for row, reason in zip(rows, pool.map(reason_of, rows), strict=True):
            if reason:
                hint = near.hint(images.path[row]) if reason == MISSING else ""
                found.append(images.skipped(row, f"{reason}; {hint}" if hint else reason))
            advance(1)
    return found


def keyed_by_size(images: ImageTable, workers: int) -> ImageTable:
    """Return the photographs whose file is as large as another one's, with their keys; no other file is read."""

    def size_of(path: str) -> int:
        try:
            return (images.root / path).stat().st_size
        except (OSError, ValueError):
            return 0

    with worker_threads(workers) as pool:
        sizes = np.array(list(pool.map(size_of, images.path)), dtype=np.int64)
        values, count = np.unique(sizes[sizes > 0], return_counts=True)
        some = images.select(np.isin(sizes, values[count > 1]))
        keys = [key for key, _ in pool.map(read_key, (some.root / path for path in some.path), some.bbox_xywhr)]
    return some.with_columns(key=text_array(keys))


def gallery_digest(images: ImageTable) -> str:
    """Changes with any gallery photograph."""
    return fingerprint(sorted(images.gallery.key))


def keyed(images: ImageTable, workers: int) -> ImageTable:
    """Return the table with a content key for every row that has none, because its box changed.

    Raises:
        DataError: a file cannot be read any more.
    """
    rows = np.flatnonzero(images.key == "").tolist()

    def key_of(row: int) -> str:
        path = images.root / images.path[row]
        try:
            return content_key(read_regular(path), images.bbox_xywhr[row])
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read any more ({error.strerror}). Start again when it is there."
            ) from error

    keys = images.key.copy()
    with worker_threads(workers) as pool:
        for row, key in zip(rows, pool.map(key_of, rows), strict=True):
            keys[row] = key
    return images.with_columns(key=keys)
