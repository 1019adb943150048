"""Settings of a budget for matching: so many pairs, or so many minutes."""

from __future__ import annotations

import itertools
import re

from pydantic import Field, field_validator

from animalclef.config.base import Settings
from animalclef.runtime.wording import counted

__all__ = ["BudgetConfig"]

_AMOUNT = re.compile(r"(\d+)|(\d+(?:\.\d+)?) ?min")


class BudgetConfig(Settings):
    """A limit on the pairs that are matched."""

    spend: str | None = Field(
        None,
        description="for queries and validation together: a number of pairs of photographs (50000), or of minutes with "
        "min after it (30min); pairs that trials of a preparation match do not count; null: no limit",
    )
    sample: int = Field(
        100,
        ge=12,
        description="pseudo-queries of each data set that are matched completely, to learn when a query may stop",
    )
    sample_share: float = Field(0.25, gt=0, le=1, description="largest share of the budget for this sample")
    steps: tuple[int, ...] = Field(
        (3, 6, 10, 15, 20, 30, 40, 60, 80),
        min_length=1,
        description="numbers of candidates after which a query may stop",
    )

    @field_validator("spend", mode="before")
    @classmethod
    def _amount(cls, value: object) -> object:
        text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else value
        if text is not None and not (isinstance(text, str) and _AMOUNT.fullmatch(text)):
            raise ValueError(
                "expected a number of pairs (50000) or of minutes (30min); a plain number means pairs of photographs"
            )
        return text

    @field_validator("steps")
    @classmethod
    def _rising(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if steps[0] < 1 or any(after <= before for before, after in itertools.pairwise(steps)):
            raise ValueError("expected rising numbers from 1")
        return steps

    @property
    def pairs(self) -> int | None:
        """The budget in pairs, `None` if it is given in minutes."""
        return int(self.spend) if self.spend is not None and self.spend.isdigit() else None

    @property
    def minutes(self) -> float | None:
        """The budget in minutes, `None` if it is given in pairs."""
        found = None if self.spend is None else _AMOUNT.fullmatch(self.spend)
        return float(found[2]) if found is not None and found[2] is not None else None

    @property
    def text(self) -> str | None:
        """The budget with its unit, such as "200 pairs"; `None` without one."""
        if self.spend is None:
            return None
        if self.pairs is not None:
            return counted(self.pairs, "pair")
        return "1 minute" if self.minutes == 1 else f"{self.minutes:g} minutes"
