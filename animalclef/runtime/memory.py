"""Recognise errors of a device that is out of memory, and release cached memory."""

from __future__ import annotations

import logging
import sys

from animalclef.errors import ConfigError

__all__ = ["halved", "is_out_of_memory", "release_memory"]

logger = logging.getLogger(__name__)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means out of memory; torch raises its own on a GPU and plain RuntimeErrors elsewhere."""
    text = str(error).lower()
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or "out of memory" in text or "can't allocate memory" in text


def halved(batch: int, error: BaseException, setting: str, device: str, advice: str) -> int:
    """Return half the batch size after a batch of `batch` photographs failed with `error`.

    `setting` names what was chosen, `advice` what would need less.

    Raises:
        ConfigError: not even one photograph at a time fits.
        BaseException: `error` itself, where it is of another kind.
    """
    if not is_out_of_memory(error):
        raise error
    if batch == 1:
        raise ConfigError(
            f"{setting}: not even one photograph at a time fits into the memory of {device}. {advice}, or --device cpu."
        ) from error
    logger.warning("Out of memory with %d photographs a batch; going on with %d.", batch, batch // 2)
    release_memory()
    return batch // 2


def release_memory() -> None:
    """Release cached blocks of the GPU, for another process or for batches of another size."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
