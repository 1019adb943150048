"""Hold what people said about pairs of photographs: the same animal, or two."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

__all__ = ["Conflict", "ReviewedPairs"]

Pair = tuple[str, str]


@dataclass(frozen=True)
class Conflict:
    """Answers that cannot all be right.

    Each photograph of `chain` was called the same animal as the next one (or bears the same name), while its two ends
    were called different (`by` is "answer"), or bear different names (`by` is "name").
    """

    chain: tuple[str, ...]  # image_ids, two or more
    by: Literal["answer", "name"]


@dataclass(frozen=True)
class ReviewedPairs:
    """Pairs of image_ids that people answered; `same` and `different` never contradict each other.

    Every answer that takes part in a conflict is in `conflicts`, and in neither of the two lists.

    >>> ReviewedPairs(same=(("1", "2"),)).is_empty, ReviewedPairs().is_empty
    (False, True)
    """

    same: tuple[Pair, ...] = ()
    different: tuple[Pair, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    warnings: tuple[str, ...] = ()  # about the log that they were read from; logged already

    @property
    def is_empty(self) -> bool:
        """Whether there is no pair to go by."""
        return not self.same and not self.different

    @property
    def digest(self) -> str:
        """A digest of the pairs, whatever the order of the answers."""
        pairs = repr((sorted(self.same), sorted(self.different)))
        return hashlib.sha256(pairs.encode()).hexdigest()
