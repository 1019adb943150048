"""Words for counts, in sentences that people read."""

from __future__ import annotations

__all__ = ["counted"]


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural where it is not one.

    >>> counted(1, "photograph"), counted(1200, "photograph")
    ('1 photograph', '1,200 photographs')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
