"""Settings of a budget for matching: a number of pairs, or a time."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from pydantic import Field, field_validator

from animalclef.config.base import Settings
from animalclef.runtime.wording import counted

__all__ = ["BudgetConfig"]

_TIME = re.compile(r"(?:(\d+(?:\.\d+)?) ?h)? ?(?:(\d+(?:\.\d+)?) ?m(?:in)?)?")


class BudgetConfig(Settings):
    """A limit on the pairs that are matched."""

    fixed: ClassVar[dict[str, Any]] = {
        "sample": 100, "sample_share": 0.25, "steps": [3, 6, 10, 15, 20, 30, 40, 60, 80]
    }  # fmt: skip

    spend: str | None = Field(
        None,
        description="for queries and validation together: a number of pairs of photographs (50000), or a time (6h, "
        "30min, 1h30min); pairs that trials of a preparation match do not count; null: no limit",
    )

    @field_validator("spend", mode="before")
    @classmethod
    def _amount(cls, value: object) -> object:
        text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else value
        if text is not None and not (isinstance(text, str) and (_pairs(text) or _minutes(text))):
            raise ValueError(
                "expected more than 0 pairs (50000) or a time (6h, 30min, 1h30min); a plain number means pairs of "
                "photographs"
            )
        return text

    @property
    def pairs(self) -> int | None:
        """The budget in pairs, `None` if it is a time."""
        return None if self.spend is None else _pairs(self.spend)

    @property
    def minutes(self) -> float | None:
        """The budget in minutes, `None` if it is given in pairs."""
        return None if self.spend is None else _minutes(self.spend)

    @property
    def text(self) -> str | None:
        """The budget with its unit, such as "200 pairs" or "6h"; `None` without one."""
        return self.spend if self.pairs is None else counted(self.pairs, "pair")


def _pairs(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,15}", text) else None


def _minutes(text: str) -> float | None:
    """Return a time in minutes, `None` for another text; no text is no time.

    >>> _minutes("1.5h"), _minutes("1h30m"), _minutes("90 min"), _minutes("90")
    (90.0, 90.0, 90.0, None)
    """
    found = _TIME.fullmatch(text)
    return None if found is None or not any(found.groups()) else 60 * float(found[1] or 0) + float(found[2] or 0)
