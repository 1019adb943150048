"""A device that runs out of memory: told from other errors, and what is idle given back."""

from __future__ import annotations

import sys

__all__ = ["is_out_of_memory", "release_memory"]


def is_out_of_memory(error: BaseException) -> bool:
    """torch has an error of its own on a GPU, and plain RuntimeErrors elsewhere."""
    text = str(error).lower()
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or "out of memory" in text or "can't allocate memory" in text


def release_memory() -> None:
    """Give cached blocks of the GPU back, so that another process, or a batch of another size, can have them."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
