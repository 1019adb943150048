"""The key of an image's content: what stores and logs are addressed by."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from animalclef.runtime.regular_files import read_regular
from animalclef.runtime.threads import worker_threads
from animalclef.structures import ImageTable

__all__ = ["content_key", "derived_key", "photograph_keys"]


def content_key(content: bytes, box_xywhr: NDArray[np.float32]) -> str:
    """32 hex digits of a file's bytes and the box in it."""
    digest = hashlib.sha256(content)
    if np.isfinite(box_xywhr).all():
        digest.update(np.asarray(box_xywhr, dtype="<f4").tobytes())
    return digest.hexdigest()[:32]


def derived_key(key: str, *parts: str) -> str:
    """The key of something made of an image's content: its masked keypoints, a view of it; as many hex digits."""
    return hashlib.sha256("\n".join([key, *parts]).encode()).hexdigest()[:32]


def photograph_keys(images: ImageTable, workers: int) -> list[str]:
    """The key of every row's whole photograph, whichever box the row has; "" where the file is gone."""
    whole = np.full(5, np.nan, np.float32)

    def of_row(row: int) -> str:
        if images.key[row] and not np.isfinite(images.bbox_xywhr[row]).all():
            return str(images.key[row])
        try:
            return content_key(read_regular(images.root / images.path[row]), whole)
        except OSError:
            return ""

    with worker_threads(workers) as pool:
        return list(pool.map(of_row, range(len(images))))
