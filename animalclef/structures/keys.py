"""The two keys of a photograph: of its content in a store, and of what is matched in the pair log."""

from __future__ import annotations

from typing import NewType

__all__ = ["ContentKey", "MatchKey"]

ContentKey = NewType("ContentKey", str)
"""Digest of a file's bytes and its box: the key of its features in a store."""

MatchKey = NewType("MatchKey", str)
"""The content key, or a digest of it with mask and view: one side of a pair in the pair log."""
