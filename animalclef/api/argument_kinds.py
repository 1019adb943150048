"""Refuse arguments of another kind in one sentence, instead of failing somewhere below."""

from __future__ import annotations

__all__ = ["check_kind"]


def check_kind(name: str, value: object, kinds: type | tuple[type, ...], expected: str) -> None:
    """Check what an argument is.

    Raises:
        TypeError: it is of none of the kinds.

    >>> check_kind("k", "3", int, "a whole number")
    Traceback (most recent call last):
    TypeError: k: expected a whole number, got str.
    """
    if not isinstance(value, kinds):
        raise TypeError(f"{name}: expected {expected}, got {type(value).__name__}.")
