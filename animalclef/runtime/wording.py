"""Words for counts and times, in sentences that people read."""

from __future__ import annotations

import datetime

__all__ = ["counted", "duration", "first_line", "machine_time", "now"]


_PLURAL = {"is": "are", "was": "were", "has": "have", "lies": "lie"}


def counted(count: int, noun: str, verb: str = "") -> str:
    """Return a count with its noun and verb, in the plural where it is not one.

    >>> counted(1, "photograph"), counted(1200, "photograph"), counted(2, "query", "has")
    ('1 photograph', '1,200 photographs', '2 queries have')
    """
    if count != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
        verb = _PLURAL.get(verb, verb)
    return f"{count:,} {noun} {verb}".rstrip()


def duration(seconds: float) -> str:
    """Format seconds for reading.

    >>> duration(59), duration(90), duration(4000)
    ('59 s', '2 min', '1.1 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def machine_time(machines: int, seconds: float) -> str:
    """Format the time that several machines take together.

    >>> machine_time(1, 28), machine_time(3, 240), machine_time(16, 1800)
    ('28 machine seconds', '12 machine minutes', '8.0 machine hours')
    """
    total = machines * seconds
    if total < 60:
        return f"{total:.0f} machine seconds"
    return f"{total / 60:.0f} machine minutes" if total < 3600 else f"{total / 3600:,.1f} machine hours"


def now() -> str:
    """Return the time in UTC, as files hold it: 2026-05-04T09:12:30+00:00."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its name where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]
