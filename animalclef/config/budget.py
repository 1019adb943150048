"""Settings of matching on a budget."""

from __future__ import annotations

import itertools
import re

from pydantic import Field, field_validator

from animalclef.config.base import Settings

__all__ = ["BudgetConfig"]

_AMOUNT = re.compile(r"(\d+)|(\d+(?:\.\d+)?) ?min")


class BudgetConfig(Settings):
    """How many pairs may be matched, and what is matched first."""

    spend: str | None = Field(None, description="pairs (50000) or minutes (30min), queries and validation together")
    sample: int = Field(100, ge=12, description="per data set: pseudo-queries matched whole, to learn when to stop")
    sample_share: float = Field(0.25, gt=0, le=1, description="of the budget, that the sample takes at most")
    steps: tuple[int, ...] = Field(
        (3, 6, 10, 15, 20, 30, 40, 60, 80), min_length=1, description="candidates after which a query may stop"
    )

    @field_validator("spend", mode="before")
    @classmethod
    def _amount(cls, value: object) -> object:
        text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else value
        if text is not None and not (isinstance(text, str) and _AMOUNT.fullmatch(text)):
            raise ValueError("expected a number of pairs (50000) or of minutes (30min)")
        return text

    @field_validator("steps")
    @classmethod
    def _rising(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if steps[0] < 1 or any(after <= before for before, after in itertools.pairwise(steps)):
            raise ValueError("expected rising numbers from 1")
        return steps

    @property
    def pairs(self) -> int | None:
        """The budget, where it is one of pairs."""
        return int(self.spend) if self.spend is not None and self.spend.isdigit() else None

    @property
    def minutes(self) -> float | None:
        """The budget, where it is one of minutes."""
        found = None if self.spend is None else _AMOUNT.fullmatch(self.spend)
        return float(found[2]) if found is not None and found[2] is not None else None
