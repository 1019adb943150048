"""Find the weight files that ship with the package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from animalclef.errors import WeightsError

__all__ = ["SHIPPED", "lightglue_header", "shipped_embedder", "shipped_matcher", "shipped_segmenter"]

SHIPPED = ("embedder-lite", "embedder-small")
"""Embedders whose weights come with the package."""

_FOLDER = Path(__file__).resolve().parents[1] / "weights"


def shipped_embedder(name: str) -> Path:
    """Return the file of an embedder that ships; its model card lies beside it."""
    return _FOLDER / f"{name}.safetensors"


def shipped_matcher(features: str) -> Path | None:
    """Return the LightGlue that ships for these features (`sift`, ...), or `None`."""
    for path in sorted(_FOLDER.glob("*.safetensors")):
        header = lightglue_header(path)
        if header is not None and header.get("features") == features:
            return path
    return None


def shipped_segmenter() -> Path:
    """Return the file of the segmenter that ships; its model card lies beside it."""
    return _FOLDER / "animal-segmenter.safetensors"


def lightglue_header(path: Path) -> dict[str, Any] | None:
    """Return the `lightglue` entry of a safetensors header, or `None` where there is none.

    Raises:
        WeightsError: the file cannot be read as safetensors.
    """
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, "numpy") as file:
            text = (file.metadata() or {}).get("lightglue")
        return None if text is None else dict(json.loads(text))
    except (OSError, SafetensorError, ValueError, TypeError, RecursionError) as error:
        raise WeightsError(f"{path}: cannot be read as safetensors with a `lightglue` header ({error}).") from error
