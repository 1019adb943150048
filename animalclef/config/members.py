"""Settings that further embedders and matchers of a run have in common."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

from pydantic import Field

from animalclef.config.base import Settings

__all__ = ["Member", "distinct"]


class Member(Settings):
    """A further model beside the first."""

    name: str | None = Field(
        None, pattern=r"^[A-Za-z0-9._+-]+$", description="of its scores, as in similarity:NAME; default: the model's"
    )
    optional: bool = Field(False, description="left out where its weights are not on this machine")

    @property
    def default_label(self) -> str:
        """The label where no name is given."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """What its scores are called by: its name, or that of its model."""
        return self.name or re.sub(r"[^A-Za-z0-9._+-]", "_", self.default_label)


_Members = TypeVar("_Members", bound=Sequence[Member])


def distinct(members: _Members) -> _Members:
    """Check that members have labels of their own.

    Raises:
        ValueError: two are called alike.
    """
    labels = [one.label for one in members]
    for label in labels:
        if labels.count(label) > 1:
            raise ValueError(f"two members are called {label}; give one of them another name")
    return members
