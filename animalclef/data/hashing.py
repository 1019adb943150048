"""Keys of photographs' contents, and reading every file once to give each row its key."""

from __future__ import annotations

import hashlib
import logging
import math
from pathlib import Path

import numpy as np

from animalclef.config import DataConfig
from animalclef.data.near_names import NearNames
from animalclef.errors import DataError
from animalclef.runtime.progress import Progress
from animalclef.runtime.regular_files import read_regular
from animalclef.runtime.remote_files import address_of
from animalclef.runtime.threads import worker_threads
from animalclef.runtime.wording import counted
from animalclef.structures import WHOLE_XYWHR, FloatArray, ImageTable, Skipped
from animalclef.structures.arrays import text_array

__all__ = [
    "MISSING", "content_key", "derived_key", "equal_queries", "hash_images", "photograph_keys", "read_key", "two_names",
]  # fmt: skip

logger = logging.getLogger(__name__)

MISSING = "no such file"
_MOST_PAIRS = 10  # of photographs under two identities that are reported one by one
_EXAMPLES = 3  # of equal queries that are named


def content_key(content: bytes, box_xywhr: FloatArray) -> str:
    """Return 32 hex digits of a file's bytes and the box in it."""
    digest = hashlib.sha256(content)
    if np.isfinite(box_xywhr).all():
        digest.update(np.asarray(box_xywhr, dtype="<f4").tobytes())
    return digest.hexdigest()[:32]


def derived_key(key: str, *parts: str) -> str:
    """Return the key, 32 hex digits, of something made of an image's content: its masked keypoints, a view of it."""
    return hashlib.sha256("\n".join([key, *parts]).encode()).hexdigest()[:32]


def photograph_keys(images: ImageTable, workers: int) -> list[str]:
    """Return the key of every row's whole photograph, whichever box the row has; "" where the file is gone."""

    def of_row(row: int) -> str:
        if images.key[row] and not np.isfinite(images.bbox_xywhr[row]).all():
            return str(images.key[row])
        try:
            return content_key(read_regular(images.root / images.path[row]), WHOLE_XYWHR)
        except OSError:
            return ""

    with worker_threads(workers) as pool:
        return list(pool.map(of_row, range(len(images))))


def hash_images(
    images: ImageTable, config: DataConfig, workers: int, progress: Progress
) -> tuple[ImageTable, list[Skipped]]:
    """Return the rows whose file can be read, with `key` filled in, and the rows that are skipped.

    Raises:
        DataError: more than `config.max_missing` of the files are missing.
    """
    keys: list[str] = []
    set_aside: list[Skipped] = []
    near = NearNames(images.root)
    with worker_threads(workers) as pool, progress.task("reading files", len(images), "images") as advance:
        paths = (images.root / path for path in images.path)
        for row, (key, reason) in enumerate(pool.map(read_key, paths, images.bbox_xywhr)):
            keys.append(key)
            if reason:
                hint = near.hint(images.path[row]) if reason == MISSING else ""
                set_aside.append(images.skipped(row, f"{reason}; {hint}" if hint else reason))
            advance(1)
    missing = [item for item in set_aside if item.reason.startswith(MISSING)]
    if missing and len(missing) / len(images) > config.max_missing:
        raise DataError(_too_many_missing(images, missing))
    usable = np.array([bool(key) for key in keys], dtype=bool)
    found = images.with_columns(key=text_array(keys)).select(usable)
    for sentence in two_names(found):
        logger.warning("%s", sentence)
    return found, set_aside


def _too_many_missing(images: ImageTable, missing: list[Skipped]) -> str:
    share = math.ceil(1000 * len(missing) / len(images)) / 1000
    go_on = f" Continue without them with --max-missing {share:g} (the setting data.max_missing)." if share < 1 else ""
    first, advice = missing[0].path, "Is this the right folder?"
    hinted = [item for item in missing if item.reason != MISSING]
    if hinted:
        first = f"{hinted[0].path}: {hinted[0].reason}"
        advice = f"Rename the files or change the table ({counted(len(hinted), 'such name')})."
    return (
        f"{address_of(images.root)}: missing: {len(missing):,} of {counted(len(images), 'photograph')} "
        f"(first: {first}). {advice}{go_on}"
    )


def two_names(images: ImageTable) -> list[str]:
    """Return a sentence for each pair of equal files that stand under two individuals of one data set."""
    first: dict[tuple[str, str], int] = {}
    sentences = []
    for row, (key, who) in enumerate(zip(images.key, images.identity, strict=True)):
        earlier = first.setdefault((images.dataset[row], key), row) if who is not None else row
        if images.identity[earlier] != who and images.path[earlier] != images.path[row]:
            pair = (images.path[earlier], images.identity[earlier], images.path[row], who)
            sentences.append("The same photograph under two identities: {} ({}) and {} ({}).".format(*pair))
    more = len(sentences) - _MOST_PAIRS
    return sentences[:_MOST_PAIRS] + ([f"And {more} more photographs under two identities."] if more > 0 else [])


def equal_queries(images: ImageTable) -> list[str]:
    """Return a sentence on queries of one data set that are the same photograph (and box); none where none are."""
    queries = images.queries
    of: dict[tuple[str, str], list[str]] = {}
    for dataset, key, path in zip(queries.dataset, queries.key, queries.path, strict=True):
        of.setdefault((dataset, key), []).append(path)
    pairs = [f"{path} (same as {paths[0]})" for (_, key), paths in of.items() if key for path in paths[1:]]
    if not pairs:
        return []
    more = f" and {len(pairs) - _EXAMPLES} more" if len(pairs) > _EXAMPLES else ""
    what = f"{counted(len(pairs), 'query', 'has')} the same photograph as an earlier one"
    return [f"{what}: {', '.join(pairs[:_EXAMPLES])}{more}. Each gets its own answer."]


def read_key(path: Path, box_xywhr: FloatArray) -> tuple[str, str]:
    """Return the key of a file and its box, or "" and why the file cannot be read."""
    try:
        content = read_regular(path)
    except FileNotFoundError:
        return "", MISSING
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its name is no file name"
        return "", f"cannot be read ({reason})"
    return (content_key(content, box_xywhr), "") if content else ("", "the file is empty")
