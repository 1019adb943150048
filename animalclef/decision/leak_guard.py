"""Provenance: whatever is fitted knows the individuals it was fitted on, and refuses to be scored on them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from animalclef.errors import LeakError
from animalclef.runtime.wording import counted

__all__ = ["Fitted", "digest_of"]

T = TypeVar("T")


@dataclass(frozen=True)
class Fitted(Generic[T]):
    """Calibrators, a model or a choice, with the individuals that shaped them."""

    _value: T
    individuals: frozenset[str]

    def for_scoring(self, scored: Iterable[str]) -> T:
        """What was fitted, to be applied to these individuals in order to score them.

        Raises:
            LeakError: it was fitted on one of them.
        """
        shared = sorted(self.individuals & set(scored))
        if shared:
            raise LeakError(
                f"A score would be measured on {counted(len(shared), 'individual')} that the decision was fitted on "
                f"(one: {shared[0]}). Validation must use other individuals than the fit; nothing was written."
            )
        return self._value

    @property
    def for_use(self) -> T:
        """What was fitted, to be stored and applied to queries, or to go on choosing among its own individuals."""
        return self._value


def digest_of(individuals: Iterable[str]) -> str:
    """Sixteen hex digits that name a set of individuals."""
    return hashlib.sha256("\n".join(sorted(individuals)).encode()).hexdigest()[:16]
