"""Say in one sentence why a task failed on a Ray cluster."""

from __future__ import annotations

__all__ = ["reason_of"]

_LONGEST = 160  # letters of what Ray says


def reason_of(error: BaseException) -> str:
    """Return the first sentence of the last line of what Ray says; a traceback stands before it."""
    import ray

    cause = getattr(error, "cause", None) or error
    if isinstance(cause, MemoryError | ray.exceptions.OutOfMemoryError):
        return "out of memory: give the node fewer cores (ray start --num-cpus) or more memory"
    if isinstance(cause, ray.exceptions.ActorUnavailableError):
        return "its node gives no answer"
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    said = lines[-1].split(". ")[0] if lines else "no message"
    return f"{type(cause).__name__}: {said if len(said) <= _LONGEST else said[:_LONGEST] + '…'}"
