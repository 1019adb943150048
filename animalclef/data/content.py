"""The key of an image's content: what stores and logs are addressed by."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["content_key", "derived_key"]


def content_key(content: bytes, box_xywhr: NDArray[np.float32]) -> str:
    """32 hex digits of a file's bytes and the box in it."""
    digest = hashlib.sha256(content)
    if np.isfinite(box_xywhr).all():
        digest.update(np.asarray(box_xywhr, dtype="<f4").tobytes())
    return digest.hexdigest()[:32]


def derived_key(key: str, *parts: str) -> str:
    """The key of something made of an image's content: its masked keypoints, a view of it; as many hex digits."""
    return hashlib.sha256("\n".join([key, *parts]).encode()).hexdigest()[:32]
