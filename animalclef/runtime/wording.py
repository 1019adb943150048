"""Words for counts and times, in sentences that people read."""

from __future__ import annotations

__all__ = ["counted", "duration"]


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural where it is not one.

    >>> counted(1, "photograph"), counted(1200, "photograph")
    ('1 photograph', '1,200 photographs')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Format seconds for reading.

    >>> duration(59), duration(90), duration(4000)
    ('59 s', '2 min', '1.1 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
