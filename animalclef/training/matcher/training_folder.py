"""Read a folder to train on: its photographs, their subjects and groups, and their views in a store."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.config import fingerprint
from animalclef.config.training import TrainMatcherConfig
from animalclef.data.decode import UnreadableImageError, decode, resize_long_side
from animalclef.engine.work import batched
from animalclef.errors import DataError
from animalclef.features.local.sift import extract_sift
from animalclef.runtime.progress import Progress
from animalclef.runtime.regular_files import read_regular
from animalclef.runtime.threads import one_thread_each, worker_threads
from animalclef.runtime.wording import counted
from animalclef.store.shard_store import Entry, ShardStore
from animalclef.structures import WHOLE_XYWHR, DecodedImage, LocalFeatures
from animalclef.training.matcher.photograph_views import Source, View, make_views
from animalclef.training.matcher.rendered_subjects import read_surface, surface_path

__all__ = ["Photo", "Subject", "fill_store", "find_photographs", "subjects_of"]

_ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
_CHUNK, _MAX_PIXELS = 32, 100_000_000


@dataclass(frozen=True)
class Photo:
    """One photograph of the folder."""

    path: Path
    name: str  # below the folder
    subject: str  # photographs of one subject can be matched
    group: str  # kept together when some are held out


@dataclass(frozen=True)
class Subject:
    """Store keys of every usable view of one subject, by photograph."""

    name: str
    group: str
    views: tuple[tuple[str, str], ...]  # (photograph's name, store key)


def find_photographs(folder: Path) -> list[Photo]:
    """Find every photograph below a folder, in the order of their names.

    A photograph with a coat map beside it shows the subject its folder is named after, in the group above; any
    other is a subject and a group of its own.

    Raises:
        DataError: there is no such folder, or fewer than two photographs are in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder. Give a folder of photographs with --images, or render some.")
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in _ENDINGS or path.name.endswith(".surface.png") or path.name.startswith("."):
            continue
        name = path.relative_to(folder).as_posix()
        if surface_path(path).is_file():
            subject = path.parent.relative_to(folder).as_posix()
            found.append(Photo(path, name, subject, subject.rpartition("/")[0]))
        else:
            found.append(Photo(path, name, name, name))
    if len({photo.group for photo in found}) < 2:
        raise DataError(f"{folder}: {counted(len(found), 'photograph')}; training needs two subjects or more.")
    return found


def fill_store(
    photos: Sequence[Photo], folder: Path, config: TrainMatcherConfig, workers: int, progress: Progress
) -> tuple[ShardStore, dict[str, str], list[str]]:
    """Make views of every photograph in a store below `folder`.

    Return the store, the content key of each photograph by name, and the names of those that cannot be read. Views that
    are there are kept, so an interrupted run resumes.
    """
    keypoints = config.keypoints.digested(exclude={"upright"})  # always the same
    made_by = [2, "sift", keypoints, config.warps, config.seed, cv2.__version__, np.__version__]
    store = ShardStore(folder / fingerprint(*made_by))
    key_of = {photo.name: _content_key(photo) for photo in photos}
    bad: list[str] = []
    missing = [photo for photo in photos if f"{key_of[photo.name]}-0" not in store]
    with (
        one_thread_each(),
        worker_threads(workers) as pool,
        progress.task("extracting views", len(missing), "images") as advance,
    ):
        for chunk in batched(missing, _CHUNK):
            made = pool.map(lambda photo: _views_of(photo, key_of[photo.name], config), chunk)
            entries: dict[str, Entry] = {}
            for photo, views in zip(chunk, made, strict=True):
                if views is None:
                    bad.append(photo.name)
                else:
                    entries.update({f"{key_of[photo.name]}-{n}": view.entry() for n, view in enumerate(views)})
            store.put(entries)
            advance(len(chunk))
    return store, key_of, bad


def subjects_of(
    photos: Sequence[Photo], key_of: dict[str, str], store: ShardStore, views: int, least: int
) -> list[Subject]:
    """Return the subjects that have at least two views of at least `least` keypoints."""
    by_subject: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for photo in photos:
        for number in range(views):
            key = f"{key_of[photo.name]}-{number}"
            if key in store and len(store.get(key)["keypoints_xy"]) >= least:
                by_subject[photo.group, photo.subject].append((photo.name, key))
    return [Subject(name, group, tuple(keys)) for (group, name), keys in sorted(by_subject.items()) if len(keys) > 1]


def _content_key(photo: Photo) -> str:
    """Return a digest of the name of a photograph, its content and its coat map."""
    digest = hashlib.sha256(os.fsencode(photo.name))
    for path in (photo.path, surface_path(photo.path)):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _views_of(photo: Photo, key: str, config: TrainMatcherConfig) -> list[View] | None:
    try:
        source = _read(photo, config.keypoints.sizes[0])
    except (UnreadableImageError, OSError):
        return None

    def extract(pixels: NDArray[np.uint8]) -> LocalFeatures:
        return extract_sift(DecodedImage(pixels, None, (pixels.shape[1], pixels.shape[0])), config.keypoints)

    return make_views(source, extract, config.warps, np.random.default_rng((config.seed, int(key, 16))))


def _read(photo: Photo, long_side: int) -> Source:
    pixels = decode(read_regular(photo.path), WHOLE_XYWHR, long_side, _MAX_PIXELS).pixels
    pixels = resize_long_side(pixels, long_side, enlarge=False)
    if not surface_path(photo.path).is_file():
        return Source.flat(pixels)
    surface, shown = read_surface(surface_path(photo.path), (pixels.shape[1], pixels.shape[0]))
    return Source(pixels, surface, shown)
